#!/usr/bin/env bash
# OpenCV 5.0.0.93, cv2.imdecode of an AVIF with the irot property (a quarter turn).
# Expected: turned, as a JPEG, PNG or WebP is turned by its Exif orientation; in AVIF a
#   reader has to apply irot, it is part of the picture.
# Happens: the picture comes as coded, not turned, with IMREAD_COLOR.
#   PyAV and Pillow both name the turn of the same file.
# For users: a portrait AVIF comes lying on its side; boxes for the turned one do not fit.
# Seen (2026-12):
#   JPEG: coded 32 x 64 (rows x columns), to be shown 64 x 32; OpenCV: (64, 32) Pillow's orientation: 6
#   PNG: coded 32 x 64 (rows x columns), to be shown 64 x 32; OpenCV: (64, 32) Pillow's orientation: 6
#   WEBP: coded 32 x 64 (rows x columns), to be shown 64 x 32; OpenCV: (64, 32) Pillow's orientation: 6
#   AVIF: coded 32 x 64 (rows x columns), to be shown 64 x 32; OpenCV: (32, 64) Pillow's orientation: 6
#   AVIF: irot boxes 1 Exif items 0 PyAV's turn -90
set -u
d=$(mktemp -d) || exit 2
trap 'rm -rf "$d"' EXIT
cd "$d" || exit 2
python3.11 -m venv v || exit 2
v/bin/pip install --quiet --disable-pip-version-check opencv-python-headless==5.0.0.93 \
    av==18.1.0 numpy==2.4.6 pillow==13.0.0 || exit 2
v/bin/python - <<'PY'
import io, av, cv2, numpy as np
from PIL import Image
a = np.zeros((32, 64, 3), np.uint8)
a[:16, :32] = 255
exif = Image.Exif()
exif[274] = 6  # Pillow writes this as irot in an AVIF
got = {}
for fmt in ("JPEG", "PNG", "WEBP", "AVIF"):
    b = io.BytesIO()
    Image.fromarray(a).save(b, fmt, exif=exif)
    d = b.getvalue()
    got[fmt] = cv2.imdecode(np.frombuffer(d, np.uint8), cv2.IMREAD_COLOR).shape[:2]
    print(f"{fmt}: coded 32 x 64 (rows x columns), to be shown 64 x 32; OpenCV:", got[fmt],
          "Pillow's orientation:", Image.open(io.BytesIO(d)).getexif().get(274))
with av.open(io.BytesIO(d)) as c:
    turn = next(c.decode(video=0)).rotation
print("AVIF: irot boxes", d.count(b"irot"), "Exif items", d.count(b"Exif"), "PyAV's turn", turn)
same = (got.pop("AVIF") == (32, 64) and set(got.values()) == {(64, 32)}
        and d.count(b"irot") == 1 and turn == -90)
print("as stated" if same else "CHANGED: no longer as stated above")
raise SystemExit(not same)
PY
