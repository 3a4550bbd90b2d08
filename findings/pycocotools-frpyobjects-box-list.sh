#!/usr/bin/env bash
# pycocotools 2.0.11, mask.frPyObjects with boxes given as lists.
# Expected: "frPyObjects - Convert polygon, bbox, and uncompressed RLE", boxes "stored as
#   [x y w h]", [pyObjects] a list; polygons go in as lists of lists.
# Happens: a list of boxes raises TypeError (expected numpy.ndarray, got list), though the
#   code looks for lists of four; a NumPy array of the same boxes works.
# For users: wrap boxes in numpy.array before frPyObjects; polygons need no such thing.
# Seen (2026-12):
#   [box] -> TypeError: Argument 'bb' has incorrect type (expected numpy.ndarray, got list)
#   [box, box] -> TypeError: Argument 'bb' has incorrect type (expected numpy.ndarray, got list)
#   np.array([box]) -> bbox [[1.0, 2.0, 3.0, 4.0]]
#   [polygon] -> bbox [[1.0, 2.0, 3.0, 4.0]]
set -u
d=$(mktemp -d) || exit 2
trap 'rm -rf "$d"' EXIT
cd "$d" || exit 2
python3.11 -m venv v || exit 2
v/bin/pip install --quiet --disable-pip-version-check pycocotools==2.0.11 numpy==2.4.6 \
    || exit 2
v/bin/python - <<'PY'
import numpy as np
from pycocotools import mask
def call(o):
    try:
        return "bbox " + str(mask.toBbox(mask.frPyObjects(o, 48, 64)).tolist())
    except TypeError as e:
        return f"TypeError: {e}"
box = [1.0, 2.0, 3.0, 4.0]
poly = [1.0, 2.0, 4.0, 2.0, 4.0, 6.0, 1.0, 6.0]
got = [call([box]), call([box, box]), call(np.array([box])), call([poly])]
for name, g in zip(("[box]", "[box, box]", "np.array([box])", "[polygon]"), got):
    print(name, "->", g)
same = (got[0] == got[1] == "TypeError: Argument 'bb' has incorrect type "
        "(expected numpy.ndarray, got list)" and got[2] == got[3] == f"bbox {[box]}")
print("as stated" if same else "CHANGED: no longer as stated above")
raise SystemExit(not same)
PY
