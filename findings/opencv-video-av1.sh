#!/usr/bin/env bash
# OpenCV 5.0.0.93 (the headless wheel for Linux), cv2.VideoCapture of an AV1 MP4.
# Expected: it reads, or does not open: the same wheel decodes AVIF stills (AV1 inside).
# Happens: isOpened() is True and the frame count right, but the first read() gives False:
#   its FFmpeg has no AV1 decoder that works without hardware ("Your platform doesn't
#   support hardware accelerated AV1 decoding"). PyAV decodes the file.
# For users: isOpened() does not tell that a video can be read; an AV1 one looks empty.
# Seen (2026-12):
#   PyAV decodes 3 frames; OpenCV: opened True count 3.0 first read False
set -u
d=$(mktemp -d) || exit 2
trap 'rm -rf "$d"' EXIT
cd "$d" || exit 2
python3.11 -m venv v || exit 2
v/bin/pip install --quiet --disable-pip-version-check opencv-python-headless==5.0.0.93 \
    av==18.1.0 numpy==2.4.6 || exit 2
SVT_LOG=0 v/bin/python - <<'PY'
import av, cv2, numpy as np
av.logging.set_level(av.logging.FATAL)

with av.open("a.mp4", "w") as c:
    s = c.add_stream("libsvtav1", rate=25)
    s.width, s.height, s.pix_fmt = 64, 64, "yuv420p"
    for i in range(3):
        pic = np.full((64, 64, 3), i * 20, np.uint8)
        c.mux(s.encode(av.VideoFrame.from_ndarray(pic, format="rgb24")))
    c.mux(s.encode())
with av.open("a.mp4") as c:
    n = sum(1 for _ in c.decode(video=0))
cap = cv2.VideoCapture("a.mp4")
opened, count = cap.isOpened(), cap.get(cv2.CAP_PROP_FRAME_COUNT)
read = cap.read()[0]
print("PyAV decodes", n, "frames; OpenCV: opened", opened, "count", count, "first read", read)
same = n == 3 and opened and count == 3 and not read
print("as stated" if same else "CHANGED: no longer as stated above")
raise SystemExit(not same)
PY
