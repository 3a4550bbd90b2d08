#!/usr/bin/env bash
# libx264 through PyAV 18.1.0, preset ultrafast (no B-frames, no lookahead), one thread.
# Expected: every encode(frame) returns that frame's packet; nothing asks for a delay.
# Happens: the first call returns nothing and every packet comes one call late, even with
#   bframes=0, rc-lookahead=0 and sync-lookahead=0 spelt out. x264-params force-cfr=1, or
#   tune zerolatency, ends that.
# For users: when streaming live, a frame is stuck until the next one is there.
# Seen (2026-12):
#   ultrafast  packets of each call: [0, 1, 1, 1, 1] at the end: 1
#   ultrafast {'x264_params': 'rc-lookahead=0:sync-lookahead=0:bframes=0'} packets of each call: [0, 1, 1, 1, 1] at the end: 1
#   ultrafast {'x264_params': 'force-cfr=1'} packets of each call: [1, 1, 1, 1, 1] at the end: 0
#   ultrafast {'tune': 'zerolatency'} packets of each call: [1, 1, 1, 1, 1] at the end: 0
set -u
d=$(mktemp -d) || exit 2
trap 'rm -rf "$d"' EXIT
cd "$d" || exit 2
python3.11 -m venv v || exit 2
v/bin/pip install --quiet --disable-pip-version-check av==18.1.0 numpy==2.4.6 || exit 2
v/bin/python - <<'PY'
import av, numpy as np
av.logging.set_level(av.logging.FATAL)

from fractions import Fraction
def packets(**opts):
    c = av.CodecContext.create("libx264", "w")
    c.width, c.height, c.pix_fmt, c.thread_count = 64, 48, "yuv420p", 1
    c.time_base, c.framerate = Fraction(1, 25), Fraction(25)
    c.options = {"preset": "ultrafast"} | {k.replace("_", "-"): v for k, v in opts.items()}
    n = []
    for i in range(5):
        f = av.VideoFrame.from_ndarray(np.full((48, 64, 3), i * 20, np.uint8), format="rgb24")
        f.pts, f.time_base = i, c.time_base
        n.append(len(c.encode(f)))
    return n, len(c.encode(None))
zero = "rc-lookahead=0:sync-lookahead=0:bframes=0"
got = []
for kw in ({}, {"x264_params": zero}, {"x264_params": "force-cfr=1"}, {"tune": "zerolatency"}):
    got.append(packets(**kw))
    print("ultrafast", kw or "", "packets of each call:", got[-1][0], "at the end:", got[-1][1])
late, prompt = ([0, 1, 1, 1, 1], 1), ([1, 1, 1, 1, 1], 0)
same = got == [late, late, prompt, prompt]
print("as stated" if same else "CHANGED: no longer as stated above")
raise SystemExit(not same)
PY
