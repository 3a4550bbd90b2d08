#!/usr/bin/env bash
# vot-toolkit 0.7.4 and 0.9.0 (attributee 0.1.9 under both), the rectangle of a mask.
# Expected: a mask 5 pixels wide and 3 high has the rectangle 5 x 3, and its overlap with
#   it is 1.
# Happens: 0.7.4 makes it 4 x 2 (last pixel minus first), with an overlap of 0.53. In 0.9.0
#   Rectangle.convert returns a Polygon, which has no x, y, width or height; converted
#   once more it is the same 4 x 2.
# For users: rectangles made from masks by the toolkit are one pixel short each way.
# Seen (2026-12):
#   0.7.4: Rectangle 3.0,2.0,4.0,2.0; overlap with the mask 0.5333, that of 3,2,5,3: 1.0
#   0.9.0, converted once: Polygon 3.0,2.0,7.0,2.0,7.0,4.0,3.0,4.0
#   0.9.0: Rectangle 3.0,2.0,4.0,2.0; overlap with the mask 0.5333, that of 3,2,5,3: 1.0
set -u
d=$(mktemp -d) || exit 2
trap 'rm -rf "$d"' EXIT
cd "$d" || exit 2
python3.11 -m venv v || exit 2
v/bin/pip install --quiet --disable-pip-version-check numpy==2.4.6 numba==0.68.1 \
    opencv-python-headless==5.0.0.93 attributee==0.1.9 lazy-object-proxy==1.13.0 \
    phx-class-registry==5.1.1 six==1.17.0 colorama==0.4.6 cachetools==8.0.2 requests==2.34.2 \
    packaging==26.4 matplotlib==3.11.2 PyYAML==6.0.4 tqdm==4.70.1 || exit 2
rc=0
for version in 0.7.4 0.9.0; do
    v/bin/pip install --quiet --disable-pip-version-check --no-deps --target "$version" \
        vot-toolkit=="$version" || exit 2
    PYTHONPATH="$version" v/bin/python - <<'PY' || rc=1
import numpy as np
import vot
from vot.region import calculate_overlap
from vot.region.shapes import Mask, Rectangle
m = np.zeros((10, 12), np.uint8)
m[2:5, 3:8] = 1
mask = Mask(m)
if vot.__version__.startswith("0.7"):
    from vot.region import RegionType
    r, same_once = mask.convert(RegionType.RECTANGLE), True
else:
    once = Rectangle.convert(mask)
    print("0.9.0, converted once:", type(once).__name__, once)
    same_once = type(once).__name__ == "Polygon"
    r = Rectangle.convert(once)
of_it, of_5x3 = calculate_overlap(mask, r), calculate_overlap(mask, Rectangle(3, 2, 5, 3))
print(f"{vot.__version__}: {type(r).__name__} {r}; overlap with the mask {of_it:.4f},",
      f"that of 3,2,5,3: {of_5x3}")
same = same_once and str(r) == "3.0,2.0,4.0,2.0" and of_5x3 == 1 and of_it < 0.6
print("as stated" if same else "CHANGED: no longer as stated above")
raise SystemExit(not same)
PY
done
exit $rc
