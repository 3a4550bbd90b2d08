#!/usr/bin/env bash
# PyAV 18.1.0, VideoFrame.rotation for an MP4 whose display matrix mirrors the picture.
# Expected: "the angle by which the transformation rotates the frame", and something to say
#   that it is mirrored.
# Happens: a left-right mirror says -180, the same as a half turn; an upside-down mirror
#   says 0, the same as no matrix at all; a transpose says -90, the same as a quarter turn.
# For users: turning by rotation shows mirrored videos (front cameras) wrong; read the
#   DISPLAYMATRIX side data and look at its determinant.
# Seen (2026-12):
#   as stored: determinant 1, rotation 0
#   half turn: determinant 1, rotation -180
#   mirror left-right: determinant -1, rotation -180
#   mirror up-down: determinant -1, rotation 0
#   quarter turn: determinant 1, rotation -90
#   transpose: determinant -1, rotation -90
set -u
d=$(mktemp -d) || exit 2
trap 'rm -rf "$d"' EXIT
cd "$d" || exit 2
python3.11 -m venv v || exit 2
v/bin/pip install --quiet --disable-pip-version-check av==18.1.0 numpy==2.4.6 || exit 2
v/bin/python - <<'PY'
import struct, av, numpy as np
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
got = {}
for name, (a, b, e, f, x, y) in {
        "as stored": (1, 0, 0, 1, 0, 0), "half turn": (-1, 0, 0, -1, 64, 48),
        "mirror left-right": (-1, 0, 0, 1, 64, 0), "mirror up-down": (1, 0, 0, -1, 0, 48),
        "quarter turn": (0, 1, -1, 0, 48, 0), "transpose": (0, 1, 1, 0, 0, 0)}.items():
    m = struct.pack(">9i", *(int(v * one) for v in (a, b, 0, e, f, 0, x, y)), w)
    open("b.mp4", "wb").write(d[:at] + m + d[at + 36:])
    with av.open("b.mp4") as c:
        got[name] = next(c.decode(video=0)).rotation
    print(f"{name}: determinant {a * f - b * e}, rotation {got[name]}")
same = list(got.values()) == [0, -180, -180, 0, -90, -90]
print("as stated" if same else "CHANGED: no longer as stated above")
raise SystemExit(not same)
PY
