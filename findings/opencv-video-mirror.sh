#!/usr/bin/env bash
# OpenCV 5.0.0.93, cv2.VideoCapture of an MP4 whose display matrix mirrors left to right.
# Expected: the picture mirrored (CAP_PROP_ORIENTATION_AUTO is on), or left as stored.
# Happens: it is turned by 180 degrees, so it comes upside down; an up-down mirror is left
#   as stored, and a transpose is turned by 90 degrees. CAP_PROP_ORIENTATION_META says
#   180, 0 and 90, as for turns.
# For users: a mirrored video is shown upside down, with no sign that it was mirrored.
# Seen (2026-12):
#   as stored: the white corner belongs top left, is top left; orientation 0.0
#   half turn: the white corner belongs bottom right, is bottom right; orientation 180.0
#   mirror left-right: the white corner belongs top right, is bottom right; orientation 180.0
#   mirror up-down: the white corner belongs bottom left, is top left; orientation 0.0
#   transpose: the white corner belongs top left, is top right; orientation 90.0
set -u
d=$(mktemp -d) || exit 2
trap 'rm -rf "$d"' EXIT
cd "$d" || exit 2
python3.11 -m venv v || exit 2
v/bin/pip install --quiet --disable-pip-version-check opencv-python-headless==5.0.0.93 \
    av==18.1.0 numpy==2.4.6 || exit 2
v/bin/python - <<'PY'
import struct, av, cv2, numpy as np
av.logging.set_level(av.logging.FATAL)

with av.open("a.mp4", "w") as c:
    s = c.add_stream("mpeg4", rate=25)
    s.width, s.height, s.pix_fmt = 64, 48, "yuv420p"
    for i in range(2):
        pic = np.zeros((48, 64, 3), np.uint8)
        pic[:16, :16] = 255
        c.mux(s.encode(av.VideoFrame.from_ndarray(pic, format="rgb24")))
    c.mux(s.encode())
d = open("a.mp4", "rb").read()
at = d.index(b"tkhd") + 44  # the matrix of the track header, nine 32-bit numbers

one, w = 65536, 1 << 30
same = True
for name, (a, b, e, f, x, y), right, stated in (
        ("as stored", (1, 0, 0, 1, 0, 0), "top left", "top left"),
        ("half turn", (-1, 0, 0, -1, 64, 48), "bottom right", "bottom right"),
        ("mirror left-right", (-1, 0, 0, 1, 64, 0), "top right", "bottom right"),
        ("mirror up-down", (1, 0, 0, -1, 0, 48), "bottom left", "top left"),
        ("transpose", (0, 1, 1, 0, 0, 0), "top left", "top right")):
    m = struct.pack(">9i", *(int(v * one) for v in (a, b, 0, e, f, 0, x, y)), w)
    open("b.mp4", "wb").write(d[:at] + m + d[at + 36:])
    cap = cv2.VideoCapture("b.mp4")
    g = cap.read()[1][..., 0]
    r, c = (np.argwhere(g > 128).mean(0) > np.array(g.shape) / 2)
    got = ("bottom " if r else "top ") + ("right" if c else "left")
    print(f"{name}: the white corner belongs {right}, is {got};",
          "orientation", cap.get(cv2.CAP_PROP_ORIENTATION_META))
    same &= got == stated
print("as stated" if same else "CHANGED: no longer as stated above")
raise SystemExit(not same)
PY
