#!/usr/bin/env bash
# PyAV 18.1.0 (its bundled FFmpeg), av.open of an animated WebP written by Pillow.
# Expected: frames, as from an animated PNG or GIF of the same pictures; FFmpeg opens the
#   file and names a webp stream.
# Happens: InvalidDataError on decoding ("Invalid data found when processing input").
#   A still WebP decodes; Pillow reads the animated one.
# For users: an animated WebP has to be read with Pillow or OpenCV, not as a video.
# Seen (2026-12):
#   WEBP, animated | PyAV: InvalidDataError | Pillow: 3 frames
#   PNG, animated | PyAV: 3 frames | Pillow: 3 frames
#   GIF, animated | PyAV: 3 frames | Pillow: 3 frames
#   WEBP, still | PyAV: 1 frames | Pillow: 1 frames
set -u
d=$(mktemp -d) || exit 2
trap 'rm -rf "$d"' EXIT
cd "$d" || exit 2
python3.11 -m venv v || exit 2
v/bin/pip install --quiet --disable-pip-version-check av==18.1.0 numpy==2.4.6 \
    pillow==13.0.0 || exit 2
v/bin/python - <<'PY'
import io, av
from PIL import Image
av.logging.set_level(av.logging.PANIC)
pics = [Image.new("RGB", (48, 32), (c, c, c)) for c in (40, 120, 200)]
got = {}
for fmt, more in (("WEBP", pics[1:]), ("PNG", pics[1:]), ("GIF", pics[1:]), ("WEBP", [])):
    b = io.BytesIO()
    if more:
        pics[0].save(b, fmt, save_all=True, append_images=more, duration=100)
    else:
        pics[0].save(b, fmt)
    name = fmt + (", animated" if more else ", still")
    try:
        with av.open(io.BytesIO(b.getvalue())) as c:
            got[name] = f"{sum(1 for _ in c.decode(video=0))} frames"
    except av.error.FFmpegError as e:
        got[name] = type(e).__name__
    print(name, "| PyAV:", got[name], "| Pillow:", Image.open(b).n_frames, "frames")
same = got == {"WEBP, animated": "InvalidDataError", "PNG, animated": "3 frames",
               "GIF, animated": "3 frames", "WEBP, still": "1 frames"}
print("as stated" if same else "CHANGED: no longer as stated above")
raise SystemExit(not same)
PY
