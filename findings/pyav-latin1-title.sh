#!/usr/bin/env bash
# PyAV 18.1.0, av.open of an AVI whose title (INAM) is Latin-1.
# Expected: the file opens; nothing in the file says how INAM is encoded, and the
#   title has nothing to do with the pictures.
# Happens: av.open raises UnicodeDecodeError: titles are decoded as UTF-8, errors="strict".
#   With metadata_errors="replace" the same file opens and decodes.
# For users: pass metadata_errors="replace" when opening files of others.
# Seen (2026-12):
#   av.open(path): UnicodeDecodeError: 'utf-8' codec can't decode byte 0xe9 in position 3: invalid continuation byte
#   av.open(path, metadata_errors="replace"): ("'caf\\ufffd bar'", 5)
set -u
d=$(mktemp -d) || exit 2
trap 'rm -rf "$d"' EXIT
cd "$d" || exit 2
python3.11 -m venv v || exit 2
v/bin/pip install --quiet --disable-pip-version-check av==18.1.0 numpy==2.4.6 || exit 2
v/bin/python - <<'PY'
import av, numpy as np
av.logging.set_level(av.logging.FATAL)

with av.open("t.avi", "w") as c:
    c.metadata["title"] = "cafQQQQQ"
    s = c.add_stream("mpeg4", rate=25)
    s.width, s.height, s.pix_fmt = 64, 48, "yuv420p"
    for i in range(5):
        pic = np.full((48, 64, 3), i * 20, np.uint8)
        c.mux(s.encode(av.VideoFrame.from_ndarray(pic, format="rgb24")))
    c.mux(s.encode())
d = open("t.avi", "rb").read()
assert d.count(b"cafQQQQQ") == 1
open("t.avi", "wb").write(d.replace(b"cafQQQQQ", "caf\u00e9 bar".encode("latin-1")))
def call(**kw):
    try:
        with av.open("t.avi", **kw) as c:
            return ascii(c.metadata["title"]), sum(1 for _ in c.decode(video=0))
    except UnicodeDecodeError as e:
        return f"UnicodeDecodeError: {e}"
plain, loose = call(), call(metadata_errors="replace")
print("av.open(path):", plain)
print('av.open(path, metadata_errors="replace"):', loose)
same = plain.__class__ is str and loose == ("'caf\\ufffd bar'", 5)
print("as stated" if same else "CHANGED: no longer as stated above")
raise SystemExit(not same)
PY
