#!/usr/bin/env bash
# OpenCV 5.0.0.93, cv2.imdecode of a grey TIFF with PhotometricInterpretation 0.
# Expected: in such a file 0 is white, so the values are turned over, whatever the depth
#   and the flags, as OpenCV does for 8 bits.
# Happens: 16 bits read with IMREAD_UNCHANGED or IMREAD_ANYDEPTH come as stored (0 is black);
#   the same file read with IMREAD_GRAYSCALE (to 8 bits) is turned over.
# For users: a 16-bit WhiteIsZero picture is a negative or not depending on the flag.
# Seen (2026-12):
#   8 bits stored [[0, 1, 100, 200]] IMREAD_UNCHANGED [[255, 254, 155, 55]]
#   8 bits stored [[0, 1, 100, 200]] IMREAD_ANYDEPTH [[255, 254, 155, 55]]
#   8 bits stored [[0, 1, 100, 200]] IMREAD_GRAYSCALE [[255, 254, 155, 55]]
#   16 bits stored [[0, 257, 25700, 51400]] IMREAD_UNCHANGED [[0, 257, 25700, 51400]]
#   16 bits stored [[0, 257, 25700, 51400]] IMREAD_ANYDEPTH [[0, 257, 25700, 51400]]
#   16 bits stored [[0, 257, 25700, 51400]] IMREAD_GRAYSCALE [[255, 254, 155, 55]]
set -u
d=$(mktemp -d) || exit 2
trap 'rm -rf "$d"' EXIT
cd "$d" || exit 2
python3.11 -m venv v || exit 2
v/bin/pip install --quiet --disable-pip-version-check opencv-python-headless==5.0.0.93 \
    numpy==2.4.6 tifffile==2026.3.3 || exit 2
v/bin/python - <<'PY'
import io, cv2, numpy as np, tifffile
def read(a, flag):
    b = io.BytesIO()
    tifffile.imwrite(b, a, photometric="miniswhite")
    return cv2.imdecode(np.frombuffer(b.getvalue(), np.uint8), flag).tolist()
a8 = np.array([[0, 1, 100, 200]], np.uint8)
a16 = a8.astype(np.uint16) * 257
got = {}
for name, a in (("8 bits", a8), ("16 bits", a16)):
    for flag in ("IMREAD_UNCHANGED", "IMREAD_ANYDEPTH", "IMREAD_GRAYSCALE"):
        got[name, flag] = read(a, getattr(cv2, flag))
        print(name, "stored", a.tolist(), flag, got[name, flag])
turned = (255 - a8.astype(int)).tolist()
same = (all(got[k] == turned for k in got if k[0] == "8 bits" or k[1] == "IMREAD_GRAYSCALE")
        and got["16 bits", "IMREAD_UNCHANGED"] == a16.tolist()
        and got["16 bits", "IMREAD_ANYDEPTH"] == a16.tolist())
print("as stated" if same else "CHANGED: no longer as stated above")
raise SystemExit(not same)
PY
