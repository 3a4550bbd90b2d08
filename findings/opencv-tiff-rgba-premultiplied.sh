#!/usr/bin/env bash
# OpenCV 5.0.0.93, cv2.imdecode of an RGBA TIFF with unassociated alpha (ExtraSamples 2).
# Expected: the colours as stored, as with the same pixels in a PNG; IMREAD_UNCHANGED says
#   the picture is loaded as is.
# Happens: at 8 bits every colour comes multiplied by its alpha (IMREAD_UNCHANGED and
#   IMREAD_COLOR); at 16 bits unchanged, it does not. A PNG's colours are never multiplied.
# For users: the same RGBA picture gives other colours as an 8-bit TIFF than as a PNG or
#   a 16-bit TIFF, and black where alpha is 0.
# Seen (2026-12):
#   stored, RGBA: [[200, 100, 50, 0], [200, 100, 50, 64], [200, 100, 50, 255]]
#   PNG, 8 bits unchanged, RGB: [[200, 100, 50], [200, 100, 50], [200, 100, 50]]
#   TIFF, 8 bits unchanged, RGB: [[0, 0, 0], [50, 25, 13], [200, 100, 50]]
#   TIFF, 16 bits unchanged, RGB: [[51400, 25700, 12850], [51400, 25700, 12850], [51400, 25700, 12850]]
#   TIFF, 8 bits, colour: [[0, 0, 0], [50, 25, 13], [200, 100, 50]]
set -u
d=$(mktemp -d) || exit 2
trap 'rm -rf "$d"' EXIT
cd "$d" || exit 2
python3.11 -m venv v || exit 2
v/bin/pip install --quiet --disable-pip-version-check opencv-python-headless==5.0.0.93 \
    numpy==2.4.6 tifffile==2026.3.3 pillow==13.0.0 || exit 2
v/bin/python - <<'PY'
import io, cv2, numpy as np, tifffile
from PIL import Image
a = np.empty((1, 3, 4), np.uint8)
a[:] = 200, 100, 50, 0
a[0, :, 3] = 0, 64, 255
def dec(d, flag):
    return cv2.imdecode(np.frombuffer(d, np.uint8), flag)[0, :, :3][:, ::-1].tolist()
def tiff(x):
    b = io.BytesIO()
    tifffile.imwrite(b, x, photometric="rgb", extrasamples=["unassalpha"])
    return b.getvalue()
b = io.BytesIO()
Image.fromarray(a).save(b, "PNG")
files = {"PNG, 8 bits": b.getvalue(), "TIFF, 8 bits": tiff(a),
         "TIFF, 16 bits": tiff(a.astype(np.uint16) * 257)}
got = {k: dec(d, cv2.IMREAD_UNCHANGED) for k, d in files.items()}
print("stored, RGBA:", a[0].tolist())
for k, v in got.items():
    print(k, "unchanged, RGB:", v)
print("TIFF, 8 bits, colour:", dec(files["TIFF, 8 bits"], cv2.IMREAD_COLOR))
plain = a[0, :, :3].tolist()
same = (got["PNG, 8 bits"] == plain and got["TIFF, 8 bits"][0] == [0, 0, 0]
        and got["TIFF, 8 bits"][1] == [50, 25, 13] == dec(files["TIFF, 8 bits"], 1)[1]
        and got["TIFF, 16 bits"] == (a[0, :, :3].astype(int) * 257).tolist())
print("as stated" if same else "CHANGED: no longer as stated above")
raise SystemExit(not same)
PY
