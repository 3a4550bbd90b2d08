#!/usr/bin/env bash
# simplejpeg 1.9.0, decode_jpeg(data, strict=False) of a JPEG whose JFIF version is 2.01
#   (the rest as Pillow wrote it; libjpeg warns of such a number and decodes on).
# Expected: "strict: if True, raise ValueError for recoverable errors", so strict=False
#   decodes what libjpeg only warns of, as it does for a file cut short.
# Happens: decode_jpeg raises ValueError all the same ("Warning: unknown JFIF revision
#   number 2.01"), while decode_jpeg_header(strict=False) accepts the file. Pillow decodes it.
# For users: strict=False does not let through every warning; keep a second decoder.
# Seen (2026-12):
#   JFIF 1.01, strict=True: decode decoded (32, 48, 3), header (32, 48, 'YCbCr', '420')
#   JFIF 1.01, strict=False: decode decoded (32, 48, 3), header (32, 48, 'YCbCr', '420')
#      Pillow: (200, 31, 90)
#   JFIF 2.01, strict=True: decode ValueError: Warning: unknown JFIF revision number 2.01, header ValueError: Warning: unknown JFIF revision number 2.01
#   JFIF 2.01, strict=False: decode ValueError: Warning: unknown JFIF revision number 2.01, header (32, 48, 'YCbCr', '420')
#      Pillow: (200, 31, 90)
#   JFIF 1.01, cut short, strict=True: decode ValueError: Premature end of JPEG file, header (32, 48, 'YCbCr', '420')
#   JFIF 1.01, cut short, strict=False: decode decoded (32, 48, 3), header (32, 48, 'YCbCr', '420')
set -u
d=$(mktemp -d) || exit 2
trap 'rm -rf "$d"' EXIT
cd "$d" || exit 2
python3.11 -m venv v || exit 2
v/bin/pip install --quiet --disable-pip-version-check simplejpeg==1.9.0 numpy==2.4.6 \
    pillow==13.0.0 || exit 2
v/bin/python - <<'PY'
import io, simplejpeg
from PIL import Image

b = io.BytesIO()
Image.new("RGB", (48, 32), (200, 30, 90)).save(b, "JPEG")
good = b.getvalue()
at = good.index(b"JFIF\0") + 5
def call(f, d, strict):
    try:
        r = f(d, strict=strict)
        return r if isinstance(r, tuple) else f"decoded {r.shape}"
    except ValueError as e:
        return f"ValueError: {e}"
got = {}
for name, d in (("JFIF 1.01", good), ("JFIF 2.01", good[:at] + b"\2" + good[at + 1:]),
                ("JFIF 1.01, cut short", good[:-20])):
    for strict in (True, False):
        got[name, strict] = call(simplejpeg.decode_jpeg, d, strict)
        print(f"{name}, strict={strict}: decode {got[name, strict]},",
              "header", call(simplejpeg.decode_jpeg_header, d, strict))
    if "cut" not in name:
        print("   Pillow:", Image.open(io.BytesIO(d)).convert("RGB").getpixel((5, 5)))
same = (got["JFIF 2.01", False].startswith("ValueError: Warning: unknown JFIF")
        and got["JFIF 1.01, cut short", False].startswith("decoded")
        and got["JFIF 1.01", True].startswith("decoded"))
print("as stated" if same else "CHANGED: no longer as stated above")
raise SystemExit(not same)
PY
