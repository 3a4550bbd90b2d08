#!/usr/bin/env bash
# OpenCV 5.0.0.93, cv2.imdecode with IMREAD_UNCHANGED of a packed 12- or 10-bit grey TIFF.
# Expected: the values as stored ("return the loaded image as is"), as tifffile gives them.
# Happens: every value comes multiplied by 16 (12 bits) or 64 (10 bits); nothing tells.
#   A 12-bit PGM (maxval 4095) is given as stored.
# For users: raw levels of a 12-bit (thermal, say) camera differ between readers and formats.
# Seen (2026-12):
#   16 bits: tifffile [0, 1, 2, 3, 500, 600, 700, 1023], OpenCV [0, 1, 2, 3, 500, 600, 700, 1023]
#   12 bits: tifffile [0, 1, 2, 3, 500, 600, 700, 1023], OpenCV [0, 16, 32, 48, 8000, 9600, 11200, 16368]
#   10 bits: tifffile [0, 1, 2, 3, 500, 600, 700, 1023], OpenCV [0, 64, 128, 192, 32000, 38400, 44800, 65472]
#   PGM, maxval 4095: OpenCV [0, 1, 2, 3, 500, 600, 700, 1023]
set -u
d=$(mktemp -d) || exit 2
trap 'rm -rf "$d"' EXIT
cd "$d" || exit 2
python3.11 -m venv v || exit 2
v/bin/pip install --quiet --disable-pip-version-check opencv-python-headless==5.0.0.93 \
    numpy==2.4.6 tifffile==2026.3.3 imagecodecs==2026.3.6 || exit 2
v/bin/python - <<'PY'
import io, cv2, numpy as np, tifffile
a = np.array([[0, 1, 2, 3, 500, 600, 700, 1023]] * 4, np.uint16)
got = {}
for bits in (16, 12, 10):
    b = io.BytesIO()
    tifffile.imwrite(b, a, bitspersample=bits, photometric="minisblack")
    ref = tifffile.imread(io.BytesIO(b.getvalue()))
    assert (ref == a).all()
    got[bits] = cv2.imdecode(np.frombuffer(b.getvalue(), np.uint8), cv2.IMREAD_UNCHANGED)
    print(f"{bits} bits: tifffile {ref[0].tolist()}, OpenCV {got[bits][0].tolist()}")
pgm = b"P5\n8 4\n4095\n" + a.astype(">u2").tobytes()
p = cv2.imdecode(np.frombuffer(pgm, np.uint8), cv2.IMREAD_UNCHANGED)
print("PGM, maxval 4095: OpenCV", p[0].tolist())
same = all((got[n] == a * k).all() for n, k in ((16, 1), (12, 16), (10, 64))) and (p == a).all()
print("as stated" if same else "CHANGED: no longer as stated above")
raise SystemExit(not same)
PY
