#!/usr/bin/env bash
# OpenCV 5.0.0.93, CAP_PROP_FRAME_COUNT ("number of frames in the video file").
# Expected: the number of frames that read() gives, or 0 where the file does not say.
# Happens: a Matroska file with a pause of one second in it: 39 for 15 frames (duration
#   times frame rate); an animated PNG: a huge negative number for 3 frames.
#   The same 15 frames in MP4 are counted right.
# For users: count by reading; never size an array or a progress bar by this property.
# Seen (2026-12):
#   a.mp4: CAP_PROP_FRAME_COUNT 15, frames read 15
#   a.mkv: CAP_PROP_FRAME_COUNT 39, frames read 15
#   a.png: CAP_PROP_FRAME_COUNT -9.22337e+14, frames read 3
set -u
d=$(mktemp -d) || exit 2
trap 'rm -rf "$d"' EXIT
cd "$d" || exit 2
python3.11 -m venv v || exit 2
v/bin/pip install --quiet --disable-pip-version-check opencv-python-headless==5.0.0.93 \
    av==18.1.0 numpy==2.4.6 pillow==13.0.0 || exit 2
v/bin/python - <<'PY'
import av, cv2, numpy as np
av.logging.set_level(av.logging.FATAL)

from fractions import Fraction
from PIL import Image
ms = [0, 40, 80, 120, 160] + [1160 + 40 * i for i in range(10)]
for path in ("a.mp4", "a.mkv"):
    with av.open(path, "w") as c:
        s = c.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
        s.width, s.height, s.pix_fmt = 64, 48, "yuv420p"
        s.codec_context.time_base = Fraction(1, 1000)
        for i, t in enumerate(ms):
            pic = np.full((48, 64, 3), 8 * i, np.uint8)
            f = av.VideoFrame.from_ndarray(pic, format="rgb24")
            f.pts, f.time_base = t, Fraction(1, 1000)
            c.mux(s.encode(f))
        c.mux(s.encode())
pics = [Image.new("RGB", (32, 32), (v, 0, 0)) for v in (0, 100, 200)]
pics[0].save("a.png", save_all=True, append_images=pics[1:], duration=100)
got = {}
for path in ("a.mp4", "a.mkv", "a.png"):
    cap = cv2.VideoCapture(path)
    count, n = cap.get(cv2.CAP_PROP_FRAME_COUNT), 0
    while cap.read()[0]:
        n += 1
    got[path] = count, n
    print(f"{path}: CAP_PROP_FRAME_COUNT {count:g}, frames read {n}")
same = got["a.mp4"] == (15, 15) and got["a.mkv"] == (39, 15) and got["a.png"][0] < 0
print("as stated" if same else "CHANGED: no longer as stated above")
raise SystemExit(not same)
PY
