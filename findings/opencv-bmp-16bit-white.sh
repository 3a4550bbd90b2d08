#!/usr/bin/env bash
# OpenCV 5.0.0.93, cv2.imdecode of a 16-bit BMP (5-6-5 or 5-5-5 bits a pixel).
# Expected: full red, green, blue and white are 255, since 31 of 31 is all there is.
# Happens: the bits are moved up and the rest left 0: white is (248, 252, 248), or 248 in
#   all three with 5-5-5. Pillow gives 255.
# For users: such pictures come darker by up to 7 levels, and white ones faintly green.
# Seen (2026-12):
#   5-6-5 red, green, blue, white: OpenCV [[248, 0, 0], [0, 252, 0], [0, 0, 248], [248, 252, 248]] Pillow [[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]]
#   5-5-5 red, green, blue, white: OpenCV [[248, 0, 0], [0, 248, 0], [0, 0, 248], [248, 248, 248]] Pillow [[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]]
set -u
d=$(mktemp -d) || exit 2
trap 'rm -rf "$d"' EXIT
cd "$d" || exit 2
python3.11 -m venv v || exit 2
v/bin/pip install --quiet --disable-pip-version-check opencv-python-headless==5.0.0.93 \
    numpy==2.4.6 pillow==13.0.0 || exit 2
v/bin/python - <<'PY'
import io, struct, cv2, numpy as np
from PIL import Image
def bmp(pixels, masks):
    head = struct.pack("<IiiHHIIiiII", 40, 4, 1, 1, 16, 3 if masks else 0, 8, 0, 0, 0, 0)
    head += struct.pack(f"<{len(masks)}I", *masks)
    at = 14 + len(head)
    return b"BM" + struct.pack("<IHHI", at + 8, 0, 0, at) + head + struct.pack("<4H", *pixels)
got = {}
for name, d in (("5-6-5", bmp((0xF800, 0x07E0, 0x001F, 0xFFFF), (0xF800, 0x07E0, 0x001F))),
                ("5-5-5", bmp((0x7C00, 0x03E0, 0x001F, 0x7FFF), ()))):
    got[name] = cv2.imdecode(np.frombuffer(d, np.uint8), cv2.IMREAD_COLOR)[0, :, ::-1].tolist()
    pil = np.array(Image.open(io.BytesIO(d)))[0].tolist()
    print(name, "red, green, blue, white: OpenCV", got[name], "Pillow", pil)
    assert pil[3] == [255, 255, 255]
same = got["5-6-5"][3] == [248, 252, 248] and got["5-5-5"][3] == [248, 248, 248]
print("as stated" if same else "CHANGED: no longer as stated above")
raise SystemExit(not same)
PY
