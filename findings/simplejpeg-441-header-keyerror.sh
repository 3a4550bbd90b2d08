#!/usr/bin/env bash
# simplejpeg 1.9.0, decode_jpeg_header of a JPEG with 4:4:1 chroma (luma sampled 1 x 4).
# Expected: (32, 8, "YCbCr", "441"), or a ValueError as for other refusals.
# Happens: KeyError: 6, with strict=True and strict=False alike; decode_jpeg of the same
#   file works and agrees with Pillow.
# For users: a reader that asks for the size first must catch KeyError too.
# Seen (2026-12):
#   4:2:0 header: (16, 16, 'YCbCr', '420') (16, 16, 'YCbCr', '420') | decoded (16, 16, 3) as Pillow: True
#   4:4:1 header: KeyError: 6 KeyError: 6 | decoded (32, 8, 3) as Pillow: True
set -u
d=$(mktemp -d) || exit 2
trap 'rm -rf "$d"' EXIT
cd "$d" || exit 2
python3.11 -m venv v || exit 2
v/bin/pip install --quiet --disable-pip-version-check simplejpeg==1.9.0 numpy==2.4.6 \
    pillow==13.0.0 || exit 2
v/bin/python - <<'PY'
import io, struct, numpy as np, simplejpeg
from PIL import Image

def seg(marker, body):
    return bytes([255, marker]) + struct.pack(">H", len(body) + 2) + body
def grey(luma):  # the smallest baseline JPEG: one MCU, every coefficient 0
    comps = [(1, luma), (2, 0x11), (3, 0x11)]
    bits = 2 * ((luma >> 4) * (luma & 15) + 2)  # a 0 for each DC, a 0 for each end of block
    scan = ("0" * bits).ljust(-(-bits // 8) * 8, "1")
    return (b"\xff\xd8" + seg(0xDB, b"\0" + bytes([8] * 64))
            + seg(0xC0, struct.pack(">BHHB", 8, 8 * (luma & 15), 8 * (luma >> 4), 3)
                  + b"".join(bytes([i, s, 0]) for i, s in comps))
            + seg(0xC4, b"\0\1" + bytes(15) + b"\0")
            + seg(0xC4, b"\x10\1" + bytes(15) + b"\0")
            + seg(0xDA, b"\3" + b"".join(bytes([i, 0]) for i, _ in comps) + b"\0\x3f\0")
            + int(scan, 2).to_bytes(len(scan) // 8, "big") + b"\xff\xd9")
def header(d, strict):
    try:
        return simplejpeg.decode_jpeg_header(d, strict=strict)
    except Exception as e:
        return f"{type(e).__name__}: {e}"
got = {}
for name, luma in (("4:2:0", 0x22), ("4:4:1", 0x14)):
    d = grey(luma)
    got[name] = header(d, True), header(d, False)
    pix = simplejpeg.decode_jpeg(d)
    ok = (pix == np.array(Image.open(io.BytesIO(d)))).all()
    print(name, "header:", *got[name], "| decoded", pix.shape, "as Pillow:", bool(ok))
same = bool(ok) and got == {"4:2:0": ((16, 16, "YCbCr", "420"),) * 2,
                            "4:4:1": ("KeyError: 6",) * 2}
print("as stated" if same else "CHANGED: no longer as stated above")
raise SystemExit(not same)
PY
