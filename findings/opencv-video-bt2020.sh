#!/usr/bin/env bash
# OpenCV 5.0.0.93 (VideoCapture) against PyAV 18.1.0 (to_ndarray) on tagged H.264.
# Expected: the same colours from the same file: both use FFmpeg and the stream's tags.
# Happens: alike for BT.709 and for no tags; for BT.2020 OpenCV's colours differ by up to
#   40 levels, with the PQ curve and with the plain one: PyAV's are what the BT.2020 matrix
#   alone gives, OpenCV's lie near what a change of primaries to BT.709 would make of them.
# For users: with HDR or wide-colour video, what a model sees depends on the reader.
# Seen (2026-12):
#   no tags: PyAV RGB [211, 52, 20], OpenCV RGB [211, 52, 20], apart by 0
#   BT.709: PyAV RGB [226, 66, 16], OpenCV RGB [226, 66, 16], apart by 0
#   BT.2020, PQ: PyAV RGB [217, 57, 15], OpenCV RGB [255, 43, 22], apart by 38
#   BT.2020, 10-bit curve: PyAV RGB [217, 57, 15], OpenCV RGB [253, 17, 4], apart by 40
set -u
d=$(mktemp -d) || exit 2
trap 'rm -rf "$d"' EXIT
cd "$d" || exit 2
python3.11 -m venv v || exit 2
v/bin/pip install --quiet --disable-pip-version-check opencv-python-headless==5.0.0.93 \
    av==18.1.0 numpy==2.4.6 || exit 2
v/bin/python - <<'PY'
import av, cv2, numpy as np
av.logging.set_level(av.logging.FATAL)

def write(space, primaries, curve):
    tags = {"colorspace": space, "color_primaries": primaries, "color_trc": curve}
    with av.open("c.mp4", "w") as c:
        s = c.add_stream("libx264", rate=25, options={"crf": "0", "preset": "ultrafast"})
        s.width, s.height, s.pix_fmt = 64, 48, "yuv420p"
        for i in range(3):
            f = av.VideoFrame(64, 48, "yuv420p")
            for p, v in zip(f.planes, (100, 90, 200)):
                p.update(bytes([v]) * p.buffer_size)
            for k, v in tags.items():
                setattr(s.codec_context, k, v)
                setattr(f, k, v)
            c.mux(s.encode(f))
        c.mux(s.encode())
worst = []
for name, tags in (("no tags", (2, 2, 2)), ("BT.709", (1, 1, 1)),
                   ("BT.2020, PQ", (9, 9, 16)), ("BT.2020, 10-bit curve", (9, 9, 14))):
    write(*tags)
    with av.open("c.mp4") as c:
        f = next(c.decode(video=0))
        assert (f.colorspace, f.color_primaries, f.color_trc) == tags
        a = f.to_ndarray(format="rgb24")[20, 20].astype(int)
    b = cv2.VideoCapture("c.mp4").read()[1][20, 20, ::-1].astype(int)
    worst.append(int(abs(a - b).max()))
    print(f"{name}: PyAV RGB {a.tolist()}, OpenCV RGB {b.tolist()}, apart by {worst[-1]}")
same = max(worst[:2]) <= 1 and min(worst[2:]) > 20
print("as stated" if same else "CHANGED: no longer as stated above")
raise SystemExit(not same)
PY
