#!/usr/bin/env bash
# OpenCV 5.0.0.93, cv2.imdecode of PGM and PPM whose maxval is not 255 or 65535.
# Expected: values scaled so that maxval is white (Netpbm: a sample is a share of maxval),
#   or never scaled; in any case the same for raw (P5, P6) and plain (P2) files.
# Happens: raw files are not scaled (maxval 100: white is 100; maxval 4095: 4095, and 15
#   when read to 8 bits); a plain P2 with maxval 100 is scaled (white is 255).
#   Pillow scales all of them.
# For users: a 12-bit PGM from a camera is almost black when read to 8 bits.
# Seen (2026-12):
#   P5 maxval 100 unchanged [0, 50, 100] to 8 bits [0, 50, 100] Pillow [0, 128, 255]
#   P6 maxval 100 unchanged [0, 50, 100] to 8 bits [0, 50, 100] Pillow [0, 128, 255]
#   P2 maxval 100 unchanged [0, 127, 255] to 8 bits [0, 127, 255] Pillow [0, 128, 255]
#   P5 maxval 4095 unchanged [0, 2048, 4095] to 8 bits [0, 8, 15] Pillow [0, 32776, 65535]
set -u
d=$(mktemp -d) || exit 2
trap 'rm -rf "$d"' EXIT
cd "$d" || exit 2
python3.11 -m venv v || exit 2
v/bin/pip install --quiet --disable-pip-version-check opencv-python-headless==5.0.0.93 \
    numpy==2.4.6 pillow==13.0.0 || exit 2
v/bin/python - <<'PY'
import io, cv2, numpy as np
from PIL import Image
s = np.array([0, 2048, 4095], ">u2").tobytes()
got = {}
for name, d in (("P5 maxval 100", b"P5\n3 1\n100\n" + bytes([0, 50, 100])),
                ("P6 maxval 100", b"P6\n1 1\n100\n" + bytes([0, 50, 100])),
                ("P2 maxval 100", b"P2\n3 1\n100\n0 50 100\n"),
                ("P5 maxval 4095", b"P5\n3 1\n4095\n" + s)):
    x = np.frombuffer(d, np.uint8)
    u = cv2.imdecode(x, cv2.IMREAD_UNCHANGED)
    c = cv2.imdecode(x, cv2.IMREAD_COLOR)
    if u.ndim == 3:
        got[name] = u[0, 0, ::-1].tolist(), c[0, 0, ::-1].tolist()
    else:
        got[name] = u[0].tolist(), c[0, :, 0].tolist()
    print(name, "unchanged", got[name][0], "to 8 bits", got[name][1],
          "Pillow", np.array(Image.open(io.BytesIO(d))).ravel().tolist())
same = (got["P5 maxval 100"] == got["P6 maxval 100"] == ([0, 50, 100],) * 2
        and got["P2 maxval 100"][0] == [0, 127, 255]
        and got["P5 maxval 4095"] == ([0, 2048, 4095], [0, 8, 15]))
print("as stated" if same else "CHANGED: no longer as stated above")
raise SystemExit(not same)
PY
