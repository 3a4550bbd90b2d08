import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from lockon.crops import CropSpec
from lockon.data.augment import (
    Jitter,
    Placed,
    bend,
    beside,
    double,
    occlude,
    paste,
    place,
    reframe,
    scene,
)
from lockon.data.light import Light
from lockon.data.loader import PairDataset, load_pairs
from lockon.data.pairs import PairConfig, PairSampler
from lockon.data.sources import PictureFile, Shot, Source, Track, read_clips, read_images, read_source, read_sources
from lockon.errors import DataError
from lockon.tracker import PairBatch
from lockon.training.recipe import parse_data
from tests import scenes

TEMPLATE, SEARCH = CropSpec(2, 64), CropSpec(4, 128)
PLAIN = Light(0, 0, 0, 0, 0, 0, 0, 0)
CALM = PairConfig(clips=0.5, regions=0, pasted=0, surrounded=0, absent=0, occluded=0, light=PLAIN)


def sampler(tmp_path: Path, config: PairConfig = CALM, masks: bool = True) -> PairSampler:
    images = scenes.write_tar(tmp_path / "images.tar", scenes.image_set(masks=masks))
    clips = scenes.write_tar(tmp_path / "clips.tar", scenes.clip_set())
    sources = read_sources({"images": [str(images)], "clips": [str(clips)]})
    return PairSampler(sources, config, TEMPLATE, SEARCH)


def red_box(image: np.ndarray) -> tuple[float, float, float, float]:
    """Bounds of the red disc in an RGB image."""
    pixels = image.astype(int)
    ys, xs = np.nonzero((pixels[..., 0] > 178) & (pixels[..., 1] < 62) & (pixels[..., 2] < 62))
    return xs.min(), ys.min(), xs.max() - xs.min() + 1, ys.max() - ys.min() + 1


@pytest.mark.parametrize("write", [scenes.write_tar, scenes.write_folder])
def test_images_are_read_from_a_tar_or_a_folder(write: object, tmp_path: Path) -> None:
    place = write(tmp_path / "set.tar", scenes.image_set()) if write is scenes.write_tar else None
    place = place or scenes.write_folder(tmp_path / "set", scenes.image_set())
    stills = read_images(str(place))
    assert len(stills) == 3
    shot = stills[1].shot(0)
    assert shot.image.shape == (scenes.HEIGHT, scenes.WIDTH, 3)
    assert shot.box == scenes.picture(1)[1]
    assert shot.mask is not None
    assert set(np.unique(shot.mask)) == {0, 255}


def test_a_glob_reads_several_sets(tmp_path: Path) -> None:
    for name in ("a", "b"):
        scenes.write_tar(tmp_path / f"images_{name}.tar", scenes.image_set(2))
    assert len(read_images(str(tmp_path / "images_*.tar"))) == 4


def test_a_folder_of_plain_pictures_is_unlabelled(tmp_path: Path) -> None:
    scenes.write_folder(tmp_path, {"a.jpg": scenes.jpeg(scenes.picture()[0])})
    assert len(read_images(str(tmp_path))[0].boxes) == 0


def test_clips_know_where_the_target_is_absent(tmp_path: Path) -> None:
    (track,) = read_clips(str(scenes.write_tar(tmp_path / "c.tar", scenes.clip_set())))
    assert np.flatnonzero(track.visible).tolist() == [0, 1, 3, 4, 5]
    assert not track.has_box(2)
    assert track.shot(3).box == scenes.picture(3)[1]


def unlabelled(place: Path, name: str = "disc") -> tuple[Path, bytes]:
    """A tar of one clip without annotations, and the line that it lacks."""
    files = {path.replace("disc", name): data for path, data in scenes.clip_set().items()}
    line = files.pop("annotations.jsonl").replace(b"disc", name.encode())
    return scenes.write_tar(place, files), line


def test_clips_take_annotations_from_a_file_beside_them(tmp_path: Path) -> None:
    videos, line = unlabelled(tmp_path / "videos.tar")
    (tmp_path / "labels.jsonl").write_bytes(line)
    (made,) = read_sources(parse_data([f"clips:{tmp_path}/labels.jsonl={videos}"]))
    assert made.name == "clips"
    assert [track.name for track in made.tracks] == ["disc"]
    assert made.tracks[0].shot(3).box == scenes.picture(3)[1]


def test_a_file_of_annotations_is_used_in_place_of_the_clips_own(tmp_path: Path) -> None:
    videos = scenes.write_folder(tmp_path / "videos", scenes.clip_set())
    (tmp_path / "labels.jsonl").write_text('{"clip": "disc", "frames": [2, 3], "boxes": [[0, 0, 9, 9], null]}')
    (track,) = read_source(f"clips:{tmp_path}/labels.jsonl", [str(videos)]).tracks
    assert track.visible.tolist() == [True, False]


def test_pictures_that_a_file_of_annotations_does_not_name_keep_their_own(tmp_path: Path) -> None:
    scenes.write_tar(tmp_path / "images_a.tar", scenes.image_set(2))
    plain = {f"{n}.jpg": scenes.jpeg(scenes.picture(n)[0]) for n in (7, 8)}
    scenes.write_tar(tmp_path / "images_b.tar", plain)
    (tmp_path / "labels.jsonl").write_text('{"image": "8.jpg", "boxes": [[1, 2, 30, 20]]}')
    alone = read_images(str(tmp_path / "images_*.tar"))
    stills = read_source(f"images:{tmp_path}/labels.jsonl", [str(tmp_path / "images_*.tar")]).stills
    assert [len(still.boxes) for still in alone] == [1, 1, 0, 0]
    assert [len(still.boxes) for still in stills] == [1, 1, 0, 1]
    assert stills[-1].boxes.tolist() == [[1, 2, 30, 20]]


def test_a_file_of_annotations_may_be_of_clips_in_several_tars(tmp_path: Path) -> None:
    lines = [unlabelled(tmp_path / f"videos_{name}.tar", name)[1] for name in ("cat", "dog")]
    (tmp_path / "labels.jsonl").write_bytes(b"\n".join(lines))
    made = read_source(f"clips:{tmp_path}/labels.jsonl", [str(tmp_path / "videos_*.tar")])
    assert [track.name for track in made.tracks] == ["cat", "dog"]


def test_images_take_annotations_with_polygons_from_a_file_beside_them(tmp_path: Path) -> None:
    pictures = scenes.write_tar(tmp_path / "pictures.tar", {"1.jpg": scenes.jpeg(scenes.picture()[0])})
    height, width = scenes.picture()[0].shape[:2]
    line: dict[str, Any] = {"image": "1.jpg", "w": width, "h": height, "boxes": [[10, 20, 5, 4], [0, 0, 30, 30]]}
    line["polygons"] = [[[10, 20, 14, 20, 14, 23, 10, 23]], None]
    (tmp_path / "labels.jsonl").write_text(json.dumps(line))
    (made,) = read_sources(parse_data([f"images:{tmp_path}/labels.jsonl={pictures}"]))
    outlined, plain = made.stills[0].shot(0), made.stills[0].shot(1)
    assert outlined.mask is not None
    assert np.argwhere(outlined.mask).min(0).tolist() == [20, 10]
    assert (outlined.mask > 0).sum() == 5 * 4
    assert plain.mask is None


@pytest.mark.parametrize("polygons", ["[[[1, 2, 3]]]", "[7]", "[null, null]", '["abc"]'])
def test_polygons_that_fit_no_box_are_named(polygons: str, tmp_path: Path) -> None:
    pictures = scenes.write_tar(tmp_path / "pictures.tar", {"1.jpg": scenes.jpeg(scenes.picture()[0])})
    line = f'{{"image": "1.jpg", "w": 64, "h": 48, "boxes": [[1, 2, 9, 9]], "polygons": {polygons}}}'
    (tmp_path / "labels.jsonl").write_text(line)
    with pytest.raises(DataError, match=r"the polygons of 1\.jpg are not, for each of its 1 boxes"):
        read_source(f"images:{tmp_path}/labels.jsonl", [str(pictures)])


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (None, "labels.jsonl: no such file; --data clips:FILE=PATH"),
        (b"{broken", "labels.jsonl is not JSON lines"),
        (b"\xff\xd8", "labels.jsonl, line 1 is not UTF-8 text"),
        (b"[1, 2]", "labels.jsonl is not JSON lines of one object each"),
        (b"", "no annotated clips found"),
        (b'{"clip": "gone", "frames": [1, 1], "boxes": [null]}', "gone/00000001.jpg is annotated but missing"),
        (
            b'{"clip": "disc", "frames": 6}',
            "labels.jsonl, line 1: the frames of disc are not given as first, last: 6",
        ),
        (b'{"image": "1.jpg", "boxes": []}', "labels.jsonl: the annotations are of images, not of clips"),
    ],
)
def test_what_is_wrong_with_a_file_of_annotations_is_said(lines: bytes | None, says: str, tmp_path: Path) -> None:
    videos, _ = unlabelled(tmp_path / "videos.tar")
    if lines is not None:
        (tmp_path / "labels.jsonl").write_bytes(lines)
    with pytest.raises(DataError, match=says):
        read_source(f"clips:{tmp_path}/labels.jsonl", [str(videos)])


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({"annotations.jsonl": b'{"image": "gone.jpg", "boxes": []}'}, "gone.jpg is annotated but missing"),
        ({"annotations.jsonl": b"{broken"}, "not JSON lines"),
        ({"annotations.jsonl": b'{"clip": "x", "frames": [1, 1], "boxes": [[0, 0, 1, 1]]}'}, "clips=..."),
        ({"readme.txt": b""}, "no images found"),
    ],
)
def test_damaged_image_sets_are_named(files: dict[str, bytes], says: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=says):
        read_images(str(scenes.write_folder(tmp_path / "set", files)))


def test_missing_data_and_wrong_names_are_errors(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such tar file or folder"):
        read_images(str(tmp_path / "nothing"))
    with pytest.raises(DataError, match="cannot read this data"):
        read_images(str(tmp_path / "nothing.tar"))
    with pytest.raises(DataError, match="no training data"):
        PairSampler([], PairConfig(), TEMPLATE, SEARCH)


@pytest.mark.parametrize("masks", [True, False])
def test_the_box_of_a_pair_is_where_the_target_is(masks: bool, tmp_path: Path) -> None:
    """Through shift, scale, rotation, stretch and flip the box still bounds the red disc."""
    made = sampler(tmp_path, masks=masks)
    seen = 0
    for index in range(40):
        pair = made.draw(np.random.default_rng([0, index]))
        box = pair.boxes.numpy() * SEARCH.size
        if box[:2].min() < 1 or (box[:2] + box[2:]).max() > SEARCH.size - 1:
            continue  # partly outside the patch
        seen_box = np.array(red_box(pair.search.permute(1, 2, 0).numpy()))
        np.testing.assert_allclose(seen_box[:2] + seen_box[2:] / 2, box[:2] + box[2:] / 2, atol=1)
        np.testing.assert_allclose(seen_box[2:], box[2:], atol=3)  # the disc's soft edge counts as ground
        seen += 1
    assert seen > 20


def test_a_target_that_is_enlarged_and_moved_far_stays_in_its_patch(tmp_path: Path) -> None:
    made = sampler(tmp_path, replace(CALM, search=Jitter(shift=1.5, scale=1.0)))
    boxes = np.array([made.draw(np.random.default_rng(index)).boxes.numpy() for index in range(100)])
    centres = boxes[:, :2] + boxes[:, 2:] / 2
    assert centres.min() > 0
    assert centres.max() < 1
    assert centres.std(0).min() > 0.2


def test_the_template_is_centred_at_its_factor(tmp_path: Path) -> None:
    made = sampler(tmp_path, PairConfig(**(vars(CALM) | {"template": Jitter()})))
    pair = made.draw(np.random.default_rng(0))
    np.testing.assert_allclose(red_box(pair.templates[0].permute(1, 2, 0).numpy()), (16, 16, 32, 32), atol=2)
    np.testing.assert_allclose(pair.template_boxes[0], (0.25, 0.25, 0.5, 0.5), atol=0.02)


def test_pairs_do_not_depend_on_workers_or_restarts(tmp_path: Path) -> None:
    dataset = PairDataset(sampler(tmp_path, PairConfig()), pairs=12, seed=7)

    def draw(start: int, workers: int) -> list[PairBatch]:
        return list(load_pairs(dataset, 4, start, workers))

    whole, parted = draw(0, 0), draw(0, 2)
    assert len(whole) == 3
    for a, b in zip([*whole, whole[2]], [*parted, draw(8, 1)[0]], strict=True):
        assert all(torch.equal(x, y) for x, y in zip(a, b, strict=True))
    assert not torch.equal(whole[0].search, whole[1].search)


def test_a_batch_is_its_pairs_stacked(tmp_path: Path) -> None:
    dataset = PairDataset(sampler(tmp_path, masks=True), pairs=8, seed=7)
    _, batch = load_pairs(dataset, 4, 0, workers=1)
    for part, column in zip(batch, zip(*(dataset[i] for i in range(4, 8)), strict=True), strict=True):
        assert part.dtype == column[0].dtype
        assert torch.equal(part, torch.stack(column))


def test_all_templates_show_the_target(tmp_path: Path) -> None:
    made = sampler(tmp_path, PairConfig(**(vars(CALM) | {"template": Jitter()})))
    made.templates = 3
    for seed in range(4):
        pair = made.draw(np.random.default_rng(seed))
        assert pair.templates.shape[0] == len(pair.template_padding) == len(pair.template_boxes) == 3
        for template in pair.templates:
            np.testing.assert_allclose(red_box(template.permute(1, 2, 0).numpy()), (16, 16, 32, 32), atol=2)


def test_what_is_drawn_stays_as_it_was(tmp_path: Path) -> None:
    """Runs go on over new versions: the sequence of draws, which these numbers pin, must not change."""
    made = sampler(tmp_path, PairConfig(absent=0.2, hidden=0.4))
    made.templates = 2
    pinned = [
        (1.1801, 2.9935, True, 103.1, 0.640940),
        (1.2405, 3.0832, True, 132.4, 0.077865),
        (1.2544, 3.0600, True, 63.0, 0.118258),
        (0.7561, 3.0250, True, 37.6, 0.709858),
        (1.3853, 2.9502, False, 81.0, 0.795757),
        (1.2281, 3.0228, False, 61.1, 0.982874),
        (1.1332, 2.9036, True, 97.2, 0.109292),
        (1.1990, 2.9526, True, 32.1, 0.243563),
    ]
    for index, (box, template_boxes, present, light, after) in enumerate(pinned):
        rng = np.random.default_rng([5, index])
        pair = made.draw(rng)
        assert float(pair.boxes.sum()) == pytest.approx(box, abs=1e-3)
        assert float(pair.template_boxes.sum()) == pytest.approx(template_boxes, abs=1e-3)
        assert bool(pair.present) == present
        assert float(pair.search.float().mean()) == pytest.approx(light, abs=1)
        assert rng.random() == pytest.approx(after, abs=1e-6)  # as many numbers were drawn


def test_another_seed_draws_other_pairs(tmp_path: Path) -> None:
    made = sampler(tmp_path)
    one, two = (PairDataset(made, 1, seed)[0] for seed in (1, 2))
    assert not torch.equal(one.search, two.search)


def tracks(folder: Path, *names: str) -> Source:
    """Tracks of one disc in clips of these names, whose pictures need not be there."""
    boxes = np.array([scenes.picture(number)[1] for number in range(4)], float)

    def track(name: str) -> Track:
        frames = tuple(PictureFile(str(folder / name / f"{number}.jpg")) for number in range(4))
        return Track(frames, boxes, np.ones(4, bool), name=name)

    return Source("clips", tracks=[track(name) for name in names])


def test_some_tracks_are_drawn_more_often_than_others(tmp_path: Path) -> None:
    source = tracks(tmp_path, "sky_1", "dog", "sky_2", "bluesky", "cat_1")
    config = replace(CALM, favour={"sky": 0.5, "cat": 3.0})
    ends = PairSampler([source], config, TEMPLATE, SEARCH).shares["clips"]
    np.testing.assert_allclose(np.diff(ends, prepend=0) * 6, [0.5, 1, 0.5, 1, 3])


def test_a_track_of_weight_zero_is_never_drawn(tmp_path: Path) -> None:
    scenes.write_frames(tmp_path / "disc", "{}.jpg", range(4))
    source = tracks(tmp_path, *["gone"] * 20, "disc", *["gone"] * 20)
    made = PairSampler([source], replace(CALM, favour={"gone": 0.0}), TEMPLATE, SEARCH)
    for seed in range(10):
        assert made.draw(np.random.default_rng(seed)).present  # a track without pictures would be an error


def test_absent_targets_are_marked_and_not_shown(tmp_path: Path) -> None:
    made = sampler(tmp_path, PairConfig(**(vars(CALM) | {"absent": 1.0})))
    assert not any(made.draw(np.random.default_rng(i)).present for i in range(5))


def test_padding_is_black_after_all_augmentation(tmp_path: Path) -> None:
    made = sampler(tmp_path, PairConfig(clips=1.0))
    pairs = [made.draw(np.random.default_rng(i)) for i in range(10)]
    assert any(p.search_padding.any() for p in pairs)
    assert all(int(p.search[:, p.search_padding].sum()) == 0 for p in pairs)


def test_padding_has_the_colour_that_the_models_crops_have(tmp_path: Path) -> None:
    made = sampler(tmp_path, replace(CALM, clips=1.0, reframed=0.0))
    made.search = replace(SEARCH, border="mean")
    mean = torch.tensor(scenes.picture()[0].mean((0, 1)))
    pairs = [made.draw(np.random.default_rng(i)) for i in range(10)]
    colours = [p.search[:, p.search_padding].double() for p in pairs if p.search_padding.any()]
    assert colours
    for colour in colours:
        assert (colour == colour[:, :1]).all()  # light and noise leave it even
        assert ((colour[:, 0] - mean).abs() < 8).all()  # a pixel at the border mixes in the picture


def test_pasting_keeps_the_target_and_changes_the_rest() -> None:
    image, box = scenes.picture()
    mask = np.where((image == image[50, 50]).all(-1), np.uint8(255), np.uint8(0))
    rng = np.random.default_rng(0)
    placed = place(Shot(image, box, mask), SEARCH, Jitter(), False, rng)
    pasted = paste(placed, np.zeros_like(placed.image))
    np.testing.assert_allclose(red_box(pasted.image), placed.box, atol=3)
    assert pasted.image[:20].max() == 0
    assert not pasted.padding.any()


def test_an_occluder_covers_part_of_the_box_only() -> None:
    image, box = scenes.picture()
    placed = place(Shot(image, box), SEARCH, Jitter(), False, np.random.default_rng(0))
    x, y, w, h = (round(v) for v in placed.box)
    for seed in range(10):
        cover = np.full_like(placed.image, 7)
        hidden = (occlude(placed, cover, np.random.default_rng(seed)).image == 7).all(-1)[y : y + h, x : x + w]
        assert 0.02 < hidden.mean() < 0.8


def test_a_target_that_is_hidden_is_hidden_altogether() -> None:
    image, box = scenes.picture()
    placed = place(Shot(image, box), SEARCH, Jitter(), False, np.random.default_rng(0))
    x, y, w, h = (round(v) for v in placed.box)
    for seed in range(10):
        covered = occlude(placed, np.full_like(placed.image, 7), np.random.default_rng(seed), whole=True)
        assert (covered.image == 7).all(-1)[y : y + h, x : x + w].mean() > 0.9


def test_a_picture_can_be_cut_closer_around_its_target() -> None:
    image, box = scenes.picture()
    for seed in range(10):
        cut = reframe(Shot(image, box), np.random.default_rng(seed))
        assert cut.image.shape[0] < image.shape[0]
        np.testing.assert_allclose(red_box(cut.image), cut.box, atol=1)


def test_a_background_has_the_size_asked_for() -> None:
    assert scene(scenes.picture()[0], 100, np.random.default_rng(0)).shape == (100, 100, 3)


def test_pairs_bring_the_targets_mask_where_it_is_asked_for(tmp_path: Path) -> None:
    pairs = sampler(tmp_path, replace(CALM, occluded=1.0))
    assert pairs.draw(np.random.default_rng(0)).masks.numel() == 0
    pairs.masks = True
    seen = [pairs.draw(np.random.default_rng(seed)) for seed in range(12)]
    assert {bool(pair.has_mask) for pair in seen} == {True, False}  # the clips have none
    for pair in seen:
        red = (pair.search[0] > 178) & (pair.search[1] < 62) & (pair.search[2] < 62)
        assert pair.masks.shape == red.shape
        if pair.has_mask:
            assert (pair.masks & red).sum() > 0.8 * pair.masks.sum()  # what is occluded does not belong to it
            assert pair.masks.any()
        else:
            assert not pair.masks.any()


def disc(size: int = 96) -> Shot:
    """A red disc with its mask on grey."""
    mask = np.zeros((size, size), np.uint8)
    cv2.circle(mask, (48, 48), 16, 255, -1)
    image = np.where(mask[..., None] > 0, np.array([220, 20, 20], np.uint8), np.uint8(90))
    return Shot(image, (32.0, 32.0, 33.0, 33.0), mask)


def test_a_bent_target_keeps_a_box_that_fits() -> None:
    apart = []
    for seed in range(20):
        placed = place(disc(), SEARCH, Jitter(bend=0.05), False, np.random.default_rng(seed))
        assert placed.mask is not None
        x, y, w, h = cv2.boundingRect((placed.mask > 127).astype(np.uint8))
        np.testing.assert_allclose(placed.box, (x, y, w, h), atol=2.5)
        apart.append((w, h))
    assert len(set(apart)) > 5  # each its own shape


def test_a_field_of_nothing_bends_nothing() -> None:
    placed = place(disc(), SEARCH, Jitter(), False, np.random.default_rng(0))
    same = bend(placed, np.array([[40.0, 40.0], [80.0, 70.0]]), 0.0, np.random.default_rng(0))
    assert np.array_equal(same.image, placed.image)
    assert same.box == (40, 40, 40, 30)


def test_a_look_alike_stands_beside_the_target_and_behind_it() -> None:
    placed = place(disc(), SEARCH, Jitter(), False, np.random.default_rng(0))
    assert placed.mask is not None
    inside = cv2.erode(placed.mask, np.ones((5, 5))) > 0
    changed = []
    for seed in range(10):
        doubled = double(placed, np.random.default_rng(seed))
        assert doubled.box == placed.box
        assert np.array_equal(doubled.image[inside], placed.image[inside])
        changed.append((doubled.image != placed.image).any(-1).sum() / inside.sum())
    assert min(changed) > 0.3


def test_pairs_show_look_alikes_only_when_asked(tmp_path: Path) -> None:
    plain, doubled = sampler(tmp_path), sampler(tmp_path, replace(CALM, doubled=1.0))
    one, two = (s.draw(np.random.default_rng(3)) for s in (plain, doubled))
    assert torch.equal(one.templates, two.templates)
    assert not torch.equal(one.search, two.search)


def test_where_the_target_is_hidden_a_look_alike_may_still_be_seen(tmp_path: Path) -> None:
    shown = replace(CALM, replaced=1.0)
    gone = replace(CALM, absent=1.0, hidden=1.0)
    alone, beside_one = sampler(tmp_path, gone), sampler(tmp_path, replace(gone, replaced=1.0))
    one, two = (s.draw(np.random.default_rng(3)) for s in (alone, beside_one))
    assert not one.present
    assert not two.present
    assert not torch.equal(one.search, two.search)
    calm, same = (sampler(tmp_path, config).draw(np.random.default_rng(3)) for config in (CALM, shown))
    assert torch.equal(calm.search, same.search)


def left_half() -> Placed:
    """A green object that fills the left half of a search patch."""
    mask = np.zeros((SEARCH.size, SEARCH.size), np.uint8)
    mask[:, : SEARCH.size // 2] = 255
    image = np.where(mask[..., None] > 0, np.array([10, 200, 10], np.uint8), np.uint8(0))
    return Placed(image, np.zeros(mask.shape, bool), (0, 0, SEARCH.size / 2, SEARCH.size), mask)


@pytest.mark.parametrize("masked", [True, False])
def test_another_object_stands_beside_the_target_and_behind_it(masked: bool) -> None:
    placed = place(disc(), SEARCH, Jitter(), False, np.random.default_rng(0))
    assert placed.mask is not None
    target, other = cv2.erode(placed.mask, np.ones((13, 13))) > 0, left_half()
    around = (cv2.dilate(placed.mask, np.ones((13, 13))) == 0) & (other.image[..., 1] > 0)
    made = beside(placed if masked else replace(placed, mask=None), other)
    assert made.box == placed.box
    assert np.array_equal(made.image[target], placed.image[target])
    assert np.array_equal(made.image[around], other.image[around])
    assert np.array_equal(made.image[:, 65:], placed.image[:, 65:])
    assert placed.padding[:, :64].any()
    assert not made.padding[:, :64].any()  # what shows an object is no padding


def test_pairs_show_other_objects_only_when_asked(tmp_path: Path) -> None:
    plain, crowded = sampler(tmp_path), sampler(tmp_path, replace(CALM, beside=1.0))
    changed = []
    for seed in range(8):
        one, two = (s.draw(np.random.default_rng(seed)) for s in (plain, crowded))
        assert torch.equal(one.templates, two.templates)
        assert torch.equal(one.boxes, two.boxes)
        changed.append(not torch.equal(one.search, two.search))
    assert sum(changed) > 4  # some land outside of the patch or behind the target
