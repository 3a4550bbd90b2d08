#!/usr/bin/env bash
# OpenCV 5.0.0.93, cv2.imdecode of an uncompressed 8-bit TIFF in small tiles.
# Expected: tiles of any size that TIFF allows (multiples of 16) are read.
# Happens: an uncompressed tile whose size in bytes is no multiple of 1024 is refused (None;
#   the log says "Invalid tile byte count for tile 0. Expected 768, got 1024", though the
#   file says 768). The same picture deflated, or in tiles of 32x32, is read.
#   Pillow and tifffile read them all.
# For users: imread gives None for plain tiled TIFFs of 16x16 grey (256 bytes) or RGB (768).
# Seen (2026-12):
#   (32, 48) tile (16, 16) uncompressed, 256 bytes a tile: refused | Pillow right: True
#   (32, 48) tile (32, 32) uncompressed, 1024 bytes a tile: read | Pillow right: True
#   (32, 48, 3) tile (16, 16) uncompressed, 768 bytes a tile: refused | Pillow right: True
#   (32, 48, 3) tile (32, 48) uncompressed, 4608 bytes a tile: refused | Pillow right: True
#   (32, 48, 3) tile (32, 32) uncompressed, 3072 bytes a tile: read | Pillow right: True
#   (32, 48, 3) tile (16, 16) zlib read | Pillow right: True
set -u
d=$(mktemp -d) || exit 2
trap 'rm -rf "$d"' EXIT
cd "$d" || exit 2
python3.11 -m venv v || exit 2
v/bin/pip install --quiet --disable-pip-version-check opencv-python-headless==5.0.0.93 \
    numpy==2.4.6 tifffile==2026.3.3 pillow==13.0.0 || exit 2
OPENCV_LOG_LEVEL=OFF v/bin/python - <<'PY'
import io, cv2, numpy as np, tifffile
from PIL import Image
rng = np.random.default_rng(0)
same = True
for shape, tile, how, refused in (
        ((32, 48), (16, 16), None, True), ((32, 48), (32, 32), None, False),
        ((32, 48, 3), (16, 16), None, True), ((32, 48, 3), (32, 48), None, True),
        ((32, 48, 3), (32, 32), None, False), ((32, 48, 3), (16, 16), "zlib", False)):
    a = rng.integers(0, 256, shape).astype(np.uint8)
    b = io.BytesIO()
    tifffile.imwrite(b, a, tile=tile, compression=how,
                     photometric="rgb" if len(shape) == 3 else "minisblack")
    d = b.getvalue()
    with tifffile.TiffFile(io.BytesIO(d)) as t:
        sizes = set(t.pages[0].tags["TileByteCounts"].value)
    ok = (np.array(Image.open(io.BytesIO(d))) == a).all()
    got = cv2.imdecode(np.frombuffer(d, np.uint8), cv2.IMREAD_UNCHANGED)
    print(shape, "tile", tile, how or f"uncompressed, {max(sizes)} bytes a tile:",
          "refused" if got is None else "read", "| Pillow right:", bool(ok))
    same &= bool(ok) and (got is None) == refused
print("as stated" if same else "CHANGED: no longer as stated above")
raise SystemExit(not same)
PY
