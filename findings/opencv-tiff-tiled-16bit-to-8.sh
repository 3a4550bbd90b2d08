#!/usr/bin/env bash
# OpenCV 5.0.0.93, cv2.imdecode of a tiled 16-bit grey TIFF, read to 8 bits.
# Expected: IMREAD_GRAYSCALE and IMREAD_COLOR give the high byte of every value, as they do
#   for the same picture in strips.
# Happens: where a tile reaches past the right edge, its part of the picture is filled from
#   the wrong places of the tile (its padding for the most part). No error, no warning.
#   IMREAD_UNCHANGED of the same file is right.
# For users: a 16-bit tiled TIFF whose width is no multiple of the tile's has a broken
#   right edge when read to 8 bits; read it unchanged and take the high byte.
# Seen (2026-12):
#   strips, grey: 0 of 3500 values wrong, by up to 0 first columns [] unchanged right: True
#   strips, colour: 0 of 3500 values wrong, by up to 0 first columns [] unchanged right: True
#   tiles 32x32, grey: 288 of 3500 values wrong, by up to 230 first columns [64, 65, 66] unchanged right: True
#   tiles 32x32, colour: 288 of 3500 values wrong, by up to 230 first columns [64, 65, 66] unchanged right: True
#   tiles 32x32, deflated, grey: 288 of 3500 values wrong, by up to 230 first columns [64, 65, 66] unchanged right: True
#   tiles 32x32, deflated, colour: 288 of 3500 values wrong, by up to 230 first columns [64, 65, 66] unchanged right: True
#   row 1, columns 62-69: got [123, 125, 0, 0, 0, 0, 0, 0] right [123, 125, 126, 128, 130, 132, 134, 136]
set -u
d=$(mktemp -d) || exit 2
trap 'rm -rf "$d"' EXIT
cd "$d" || exit 2
python3.11 -m venv v || exit 2
v/bin/pip install --quiet --disable-pip-version-check opencv-python-headless==5.0.0.93 \
    numpy==2.4.6 tifffile==2026.3.3 || exit 2
v/bin/python - <<'PY'
import io, cv2, numpy as np, tifffile
a = np.add.outer(np.arange(50) * 500, np.arange(70) * 500).astype(np.uint16)
high = (a >> 8).astype(int)
def read(flag, **how):
    b = io.BytesIO()
    tifffile.imwrite(b, a, photometric="minisblack", **how)
    assert (tifffile.imread(io.BytesIO(b.getvalue())) == a).all()
    return cv2.imdecode(np.frombuffer(b.getvalue(), np.uint8), flag)
n = {}
for name, how in (("strips", {}), ("tiles 32x32", {"tile": (32, 32)}),
                  ("tiles 32x32, deflated", {"tile": (32, 32), "compression": "zlib"})):
    grey, colour = read(cv2.IMREAD_GRAYSCALE, **how), read(cv2.IMREAD_COLOR, **how)[..., 0]
    for flag, got in (("grey", grey), ("colour", colour)):
        bad = np.argwhere(got != high)
        n[name, flag] = len(bad), bool((read(cv2.IMREAD_UNCHANGED, **how) == a).all())
        print(f"{name}, {flag}: {len(bad)} of {a.size} values wrong, by up to",
              abs(got - high).max(), "first columns", sorted({int(x) for _, x in bad})[:3],
              "unchanged right:", n[name, flag][1])
print("row 1, columns 62-69: got", grey[1, 62:].tolist(), "right", high[1, 62:].tolist())
same = (all(ok for _, ok in n.values())
        and all((k[0] == "strips") == (bad == 0) for k, (bad, _) in n.items()))
print("as stated" if same else "CHANGED: no longer as stated above")
raise SystemExit(not same)
PY
