"""Make the bundled demonstration clip: a flying saucer visits a launch pad at dusk.

Every pixel comes from openly licensed photographs inside the scikit-image wheel, so nothing is
downloaded; who took them and under which licence stands in `src/lockon/assets/README.md`.

    pip install scikit-image
    python scripts/make_clip.py --out src/lockon/assets

writes `clip.mp4` and `clip.txt` (one `x,y,w,h` line per frame). The clip is deterministic.
"""

import argparse
from collections.abc import Iterable, Iterator
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline  # comes with scikit-image
from skimage import data

Image = NDArray[np.float32]  # (H, W, 3) RGB or (H, W, 4) premultiplied RGBA, 0..255
Points = NDArray[np.float64]  # (N, 2) x, y; pixel i spans [i, i + 1)

WIDTH, HEIGHT, FPS, FRAMES = 640, 360, 30, 210
SHUTTER = 0.7  # part of the frame time in which the moving saucer is exposed
SUBFRAMES = 12  # poses averaged over the shutter time
PATCH = 220  # side of the square the saucer is drawn in, in output pixels
SUPERSAMPLE = 3  # the patch is drawn this much larger, then averaged down

# The saucer in `coffee`: the plate, the rim of the cup, and the handle of the spoon that sticks out.
PLATE = ((277.7, 220.9), (402.6, 337.4), 6.0)  # centre, axes, degrees
RIM = ((290.6, 113.0), (234.8, 190.2), 6.5)
SPOON = [(396, 72), (404, 69), (410, 67.5), (417, 69), (421.5, 74), (422, 80), (417, 106), (410, 126)]

# The space shuttle in `astronaut`, the occluder; its feet are below the lower edge of the frame.
SHUTTLE = [
    (402, 0), (398.5, 12), (397, 30), (396.5, 66), (394, 66), (391, 53), (388, 44), (386.5, 44), (384, 52),
    (382, 62), (381, 76), (381, 104), (379, 114), (379, 183), (367, 197), (360, 206), (356.5, 216), (356, 225),
    (381, 229), (373, 250), (369, 262), (410, 262), (427, 262), (427, 238), (437, 238), (437, 262), (457, 262),
    (454, 250), (454, 210), (453, 200), (453.5, 62), (451, 53), (447, 44), (444, 42), (441, 44), (438, 52),
    (436.5, 40), (435, 26), (429, 8), (424, 0),
]  # fmt: skip
SHUTTLE_SCALE = 1.42
SHUTTLE_SPEED = -10.0  # pixels a frame
SHUTTLE_MEETS = (84, 444.0)  # the frame in which it hides the saucer, and its middle x then

# Pose of the saucer: seconds, centre x, centre y, width, degrees, light on it.
POSES = np.array([
    [0.0, 120, 105, 90, -6, 0.95],
    [0.9, 200, 180, 112, 14, 1.10],
    [1.7, 305, 220, 133, 8, 1.25],
    [2.8, 440, 145, 120, -14, 0.95],
    [3.6, 540, 105, 70, -23.5, 0.70],
    [4.3, 565, 130, 54, -4, 0.70],
    [4.9, 500, 100, 66, 10, 0.80],
    [5.6, 190, 180, 100, 25, 1.15],
    [6.3, 150, 250, 120, 8, 1.30],
    [7.0, 250, 215, 110, -10, 1.10],
])  # fmt: skip
pose_at = CubicSpline(POSES[:, 0], POSES[:, 1:])


def photograph(name: str) -> Image:
    """A photograph (H, W, 3) from the scikit-image wheel."""
    return np.asarray(getattr(data, name)(), np.float32)


def cut_out(photo: Image, shapes: Iterable[Points], feather: float) -> Image:
    """Premultiplied RGBA of the union of polygons (N, 2) in `photo`, with an edge `feather` pixels soft."""
    fine = 4  # the polygons are drawn this much larger: cv2 rounds to whole pixels
    mask = np.zeros((photo.shape[0] * fine, photo.shape[1] * fine), np.uint8)
    for shape in shapes:
        cv2.fillPoly(mask, [np.round(shape * fine - 0.5).astype(np.int32)], 255)
    small = cv2.resize(mask, (photo.shape[1], photo.shape[0]), interpolation=cv2.INTER_AREA)
    alpha = cv2.GaussianBlur(small.astype(np.float32), (0, 0), feather)[..., None].astype(np.float32)
    return np.concatenate([photo * alpha / 255, alpha], axis=2)


def ellipse(shape: tuple[tuple[float, float], tuple[float, float], float]) -> Points:
    """Outline (360, 2) of an ellipse given as centre, full axes and angle in degrees."""
    (x, y), (a, b), degrees = shape
    turn, t = np.radians(degrees), np.linspace(0, 2 * np.pi, 360, endpoint=False)
    u, v = a / 2 * np.cos(t), b / 2 * np.sin(t)
    sin, cos = np.sin(turn), np.cos(turn)
    return np.stack([x + u * cos - v * sin, y + u * sin + v * cos], axis=1)


def warp(image: Image, matrix: NDArray[np.float64], size: tuple[int, int], cubic: bool = False) -> Image:
    """`image` under the 2 x 3 `matrix` (in coordinates where pixel i spans [i, i + 1)), cut to `size`."""
    shifted = matrix.copy()
    shifted[:, 2] += matrix[:, :2] @ (0.5, 0.5) - 0.5  # cv2 puts whole numbers at pixel centres
    flags = cv2.INTER_CUBIC if cubic else cv2.INTER_LINEAR
    return cv2.warpAffine(image, shifted, size, flags=flags).astype(np.float32)


def saucer_matrix(time: float, centre: Points) -> NDArray[np.float64]:
    """The 2 x 3 matrix from `coffee` to the frame at `time` (seconds)."""
    x, y, width, degrees, _ = pose_at(time)
    scale, turn = width / PLATE[1][0], np.radians(degrees)
    linear = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    return np.column_stack([linear, np.array([x, y]) - linear @ centre])


def over(frame: Image, layer: Image) -> Image:
    """Premultiplied `layer` in front of `frame`."""
    return frame * (1 - layer[..., 3:] / np.float32(255)) + layer[..., :3]


def make_background() -> Image:
    """The launch pad, with the galaxies of the deep field in its dark sky."""
    pad = photograph("rocket")
    height, width = pad.shape[:2]
    stars = cv2.resize(photograph("hubble_deep_field"), (width, 558), interpolation=cv2.INTER_AREA)[:height]
    blue = cv2.GaussianBlur(pad[..., 2] - pad[..., 0], (0, 0), 1)
    sky = np.clip((blue - 12) / 30, 0, 1) * np.clip((350 - np.arange(height)) / 200, 0, 1)[:, None]
    light = np.clip(stars - 28, 0, None) * sky[..., None] * 0.55
    return np.asarray(255 - (255 - pad) * (1 - light / 255), np.float32)  # "screen": light adds, never clips


def make_occluder() -> Image:
    """The shuttle in the light of dusk, soft from being near and blurred along its way."""
    shuttle = cut_out(photograph("astronaut"), [np.array(SHUTTLE)], feather=0.8)
    left, right, bottom = 345, 465, 256
    shuttle = shuttle[:bottom, left:right] * np.array([0.56, 0.58, 0.68, 1], np.float32)
    size = (round((right - left) * SHUTTLE_SCALE), round(bottom * SHUTTLE_SCALE))
    large = np.clip(cv2.resize(shuttle, size, interpolation=cv2.INTER_CUBIC), 0, 255)
    return cv2.blur(large, (7, 1)).astype(np.float32)


def render() -> Iterator[tuple[NDArray[np.uint8], tuple[float, float, float, float]]]:
    """Yield every frame (H, W, 3) uint8 RGB with its box x, y, w, h."""
    outlines = [ellipse(PLATE), ellipse(RIM), np.array(SPOON, np.float64)]
    saucer = cut_out(photograph("coffee"), outlines, feather=1.0)
    background, occluder = make_background(), make_occluder()
    points = np.concatenate(outlines)
    centre = (points.min(axis=0) + points.max(axis=0)) / 2
    for index in range(FRAMES):
        time = index / FPS
        frame = warp(background, camera_matrix(index / (FRAMES - 1)), (WIDTH, HEIGHT), cubic=True)

        matrix = saucer_matrix(time, centre)
        outline = points @ matrix[:, :2].T + matrix[:, 2]
        low, high = outline.min(axis=0), outline.max(axis=0)
        corner = np.floor((low + high - PATCH) / 2)
        patch = draw_saucer(saucer, time, centre, corner)
        patch[..., :3] *= pose_at(time)[4]
        frame = over(frame, warp(patch, np.array([[1, 0, corner[0]], [0, 1, corner[1]]]), (WIDTH, HEIGHT)))

        x = SHUTTLE_MEETS[1] + SHUTTLE_SPEED * (index - SHUTTLE_MEETS[0]) - occluder.shape[1] / 2
        frame = over(frame, warp(occluder, np.array([[1, 0, x], [0, 1, 0.0]]), (WIDTH, HEIGHT)))

        frame *= 1 + 0.2 * np.sin(2 * np.pi * time / 4.6)  # the light of the scene comes and goes
        yield np.clip(np.round(frame), 0, 255).astype(np.uint8), (*low, *(high - low))


def camera_matrix(part: float) -> NDArray[np.float64]:
    """Slow zoom and pan over the background, `part` 0..1 of the way."""
    scale = 1.30 - 0.20 * part
    x, y = 275 + 70 * part, 190 + 70 * part  # the point of the photograph in the middle of the frame
    return np.array([[scale, 0, WIDTH / 2 - scale * x], [0, scale, HEIGHT / 2 - scale * y]])


def draw_saucer(saucer: Image, time: float, centre: Points, corner: Points) -> Image:
    """The saucer (PATCH, PATCH, 4) over the shutter time, in a patch whose upper left is at `corner`."""
    size = PATCH * SUPERSAMPLE
    total = np.zeros((size, size, 4), np.float32)
    for offset in (np.arange(SUBFRAMES) + 0.5) / SUBFRAMES - 0.5:
        matrix = saucer_matrix(time + offset * SHUTTER / FPS, centre)
        matrix[:, 2] -= corner
        total += warp(saucer, matrix * SUPERSAMPLE, (size, size))
    return cv2.resize(total / SUBFRAMES, (PATCH, PATCH), interpolation=cv2.INTER_AREA).astype(np.float32)


def main() -> None:
    """Writes the clip, its boxes and prints their sizes."""
    parser = argparse.ArgumentParser(description="Make the bundled demonstration clip.")
    parser.add_argument("--out", type=Path, default=Path("src/lockon/assets"), help="where to write")
    parser.add_argument("--crf", type=int, default=22, help="x264 quality, smaller is better and larger")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)

    boxes = []
    with av.open(str(args.out / "clip.mp4"), "w", options={"movflags": "+faststart"}) as container:
        # One thread: the same file on every machine with the same ffmpeg.
        options = {"crf": str(args.crf), "preset": "slow", "threads": "1", "g": "30"}
        stream = container.add_stream("libx264", rate=FPS, options=options)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for image, box in render():
            boxes.append(box)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    lines = (",".join(f"{value:.2f}" for value in box) + "\n" for box in boxes)
    (args.out / "clip.txt").write_text("".join(lines))


if __name__ == "__main__":
    main()
