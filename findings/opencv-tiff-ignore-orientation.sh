#!/usr/bin/env bash
# OpenCV 5.0.0.93, cv2.imdecode with IMREAD_IGNORE_ORIENTATION or IMREAD_UNCHANGED.
# Expected: both leave the orientation tag unused, so the picture comes as stored.
# Happens: true for JPEG; an 8-bit TIFF is turned by its tag whatever the flag.
# For users: boxes drawn on the stored pixels do not fit what these flags give for a TIFF.
# Seen (2026-12):
#   JPEG, colour: stored 32 x 64 (rows x columns), got (64, 32)
#   JPEG, unchanged: stored 32 x 64 (rows x columns), got (32, 64)
#   JPEG, colour, ignore orientation: stored 32 x 64 (rows x columns), got (32, 64)
#   TIFF, colour: stored 32 x 64 (rows x columns), got (64, 32)
#   TIFF, unchanged: stored 32 x 64 (rows x columns), got (64, 32)
#   TIFF, colour, ignore orientation: stored 32 x 64 (rows x columns), got (64, 32)
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
a = np.zeros((32, 64, 3), np.uint8)
a[:16, :32] = 255
exif = Image.Exif()
exif[274] = 6
j, t = io.BytesIO(), io.BytesIO()
Image.fromarray(a).save(j, "JPEG", exif=exif)
tifffile.imwrite(t, a, photometric="rgb", extratags=[(274, "H", 1, 6, True)])
flags = {"colour": cv2.IMREAD_COLOR, "unchanged": cv2.IMREAD_UNCHANGED,
         "colour, ignore orientation": cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION}
got = {}
for name, b in (("JPEG", j), ("TIFF", t)):
    for k, f in flags.items():
        got[name, k] = cv2.imdecode(np.frombuffer(b.getvalue(), np.uint8), f).shape[:2]
        print(f"{name}, {k}: stored 32 x 64 (rows x columns), got", got[name, k])
turned, stored = (64, 32), (32, 64)
same = all(v == (turned if k[0] == "TIFF" or k[1] == "colour" else stored)
           for k, v in got.items())
print("as stated" if same else "CHANGED: no longer as stated above")
raise SystemExit(not same)
PY
