#!/usr/bin/env bash
# opencv-contrib 5.0.0.93, getTrackingScore() of cv2.TrackerKCF, TrackerCSRT, TrackerMIL.
# Expected: a score of the last update, since the method is there and documented ("Return
#   tracking score"), and higher on the target than on a picture without it.
# Happens: -1 after every update, found or not.
# For users: the flag of update() is all there is (and MIL says True on black); do not compare
#   the score with a threshold.
# Seen (2026-12):
#   TrackerKCF on the target, moved by 2, black (found, score): [(True, -1.0), (True, -1.0), (False, -1.0)]
#   TrackerCSRT on the target, moved by 2, black (found, score): [(True, -1.0), (True, -1.0), (False, -1.0)]
#   TrackerMIL on the target, moved by 2, black (found, score): [(True, -1.0), (True, -1.0), (True, -1.0)]
set -u
d=$(mktemp -d) || exit 2
trap 'rm -rf "$d"' EXIT
cd "$d" || exit 2
python3.11 -m venv v || exit 2
v/bin/pip install --quiet --disable-pip-version-check \
    opencv-contrib-python-headless==5.0.0.93 numpy==2.4.6 || exit 2
v/bin/python - <<'PY'
import cv2, numpy as np
def blobs(h, w, sigma, rng=np.random.default_rng(1)):
    x = cv2.GaussianBlur(rng.integers(0, 256, (h, w, 3)).astype(np.uint8), (0, 0), sigma)
    return cv2.normalize(x, None, 0, 255, cv2.NORM_MINMAX)
ground, target = blobs(240, 320, 3), blobs(40, 60, 2)
def frame(x):
    f = ground.copy()
    f[100:140, x:x + 60] = target
    return f

same = True
for kind in (cv2.TrackerKCF, cv2.TrackerCSRT, cv2.TrackerMIL):
    t = kind.create()
    t.init(frame(100), (100, 100, 60, 40))
    out = []
    for f in (frame(100), frame(102), np.zeros_like(ground)):
        found, _ = t.update(f)
        out.append((found, t.getTrackingScore()))
    print(kind.__name__, "on the target, moved by 2, black (found, score):", out)
    same &= all(s == -1 for _, s in out) and out[0][0]
print("as stated" if same else "CHANGED: no longer as stated above")
raise SystemExit(not same)
PY
