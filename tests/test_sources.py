"""What holds for every source: names and parts, pooling, pictures that cannot be used."""

import logging
import pickle
import struct
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from lockon.crops import CropSpec
from lockon.data.loader import PairDataset
from lockon.data.mix import Mix
from lockon.data.pairs import PairConfig, PairSampler
from lockon.data.papers import PaperPairs, SiamattnPairs, SparsettPairs, StarkPairs, paper_sampler
from lockon.data.sources import SOURCES, PictureFile, Source, Still, Track, decode, read_source, read_sources
from lockon.errors import DataError, PictureError
from lockon.tracker import PairBatch
from tests import scenes
from tests.small import SMALL

TEMPLATE, SEARCH = CropSpec(2, 64), CropSpec(4, 128)
ORIENTATION_6 = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"


def with_segment(jpeg: bytes, content: bytes) -> bytes:
    """A JPEG with one more APP1 segment at its beginning."""
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(content) + 2) + content + jpeg[2:]


def track(folder: Path, frames: int = 4, box: tuple[float, ...] | None = None) -> Track:
    boxes = np.array(scenes.write_frames(folder, "{}.jpg", range(frames)), float)
    if box is not None:
        boxes[-1] = box
    return Track(tuple(PictureFile(str(folder / f"{n}.jpg")) for n in range(frames)), boxes, np.ones(frames, bool))


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("got-10k", "did you mean got10k"),
        ("got10k:vot-trian", "unknown part 'vot-trian' of got10k; did you mean vot-train"),
        ("coco:train", "did you mean train2017"),
        ("images:", "unknown part '' of images; it has none"),
        ("images:train", "train: no such file; --data images:FILE=PATH"),
        ("lasot:", "unknown part '' of lasot"),
    ],
)
def test_unknown_names_and_parts_get_the_closest(name: str, says: str, tmp_path: Path) -> None:
    for file in ("train/list.txt", "training_set.txt"):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text("x-1\n")
    with pytest.raises(DataError, match=says):
        read_source(name, [str(tmp_path)])


@pytest.mark.parametrize("name", [n for n in SOURCES if n not in ("images", "clips")])
def test_an_empty_folder_is_named_with_what_is_expected_there(name: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"{name}: no .* in {tmp_path}; expected there: .*(train|TRAIN)"):
        read_source(name, [str(tmp_path)])


def test_paths_and_parts_of_one_name_are_pooled_in_the_order_of_names(tmp_path: Path) -> None:
    for name in ("a", "b"):
        scenes.write_tar(tmp_path / f"{name}.tar", scenes.image_set(2))
    scenes.write_folder(tmp_path / "clips", scenes.clip_set())
    data = {"images": [str(tmp_path / "a.tar"), str(tmp_path / "b.tar")], "clips": [str(tmp_path / "clips")]}
    clips, images = read_sources(data)
    assert (clips.name, len(clips.tracks), images.name, len(images.stills)) == ("clips", 1, "images", 4)
    assert str(images) == "images: 4 pictures"


def test_boxes_that_cannot_be_used_keep_their_number_and_are_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    line = b'{"image": "a.jpg", "w": 160, "h": 120, "boxes": [[0, 0, 0, 9], [200, 5, 9, 9], [34, 34, 33, 33]]}'
    files = {"annotations.jsonl": line, "a.jpg": scenes.jpeg(scenes.picture()[0])}
    (made,) = read_sources({"images": [str(scenes.write_folder(tmp_path / "set", files))]})
    assert made.dropped == {"empty": 1, "outside the picture": 1}
    assert "1 boxes left out (empty), 1 boxes left out (outside the picture)" in caplog.text
    assert np.isnan(made.stills[0].boxes[:2]).all()
    assert made.stills[0].shot(2).box == (34, 34, 33, 33)
    assert len(PairSampler([made], PairConfig(), TEMPLATE, SEARCH).objects) == 1


def test_pictures_stay_on_disk_until_they_are_drawn(tmp_path: Path) -> None:
    files = scenes.clip_set() | {"disc/00000002.jpg": b"not a picture"}
    source = read_source("clips", [str(scenes.write_tar(tmp_path / "clips.tar", files))])
    assert len(pickle.dumps(source)) < 2000  # places, no pictures: this goes to each worker process
    with pytest.raises(PictureError, match=r"clips.tar \(at byte \d+\): the picture is not a readable"):
        source.tracks[0].shot(1)
    assert source.tracks[0].shot(0).image.shape == (scenes.HEIGHT, scenes.WIDTH, 3)


def test_a_compressed_tar_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(b"\x1f\x8b" + bytes(600))
    with pytest.raises(DataError, match=r"a.tar: cannot read this data"):
        read_source("images", [str(tmp_path / "a.tar")])


def test_a_jpeg_that_ends_too_early_is_noticed() -> None:
    whole = scenes.jpeg(scenes.picture()[0])
    thumbnail = with_segment(whole, scenes.jpeg(np.zeros((8, 8, 3), np.uint8)))  # brings an end mark of its own
    for good in (whole, thumbnail, thumbnail + bytes(7)):
        assert decode(good).shape == (scenes.HEIGHT, scenes.WIDTH, 3)
        with pytest.raises(PictureError, match="ends too early"):
            decode(good[: 2 * len(good) // 3])
    for bad in (b"", b"text", whole[:30]):
        with pytest.raises(PictureError, match="not a readable JPEG or PNG"):
            decode(bad)


def test_pictures_are_not_turned_by_their_orientation_tag() -> None:
    """Annotations, and the papers' training code, refer to the pixels as they are in the file."""
    turned = with_segment(scenes.jpeg(scenes.picture()[0]), ORIENTATION_6)
    by_tag = np.asarray(cv2.imdecode(np.frombuffer(turned, np.uint8), cv2.IMREAD_COLOR))
    assert by_tag.shape[:2] == (scenes.WIDTH, scenes.HEIGHT)
    assert decode(turned).shape[:2] == (scenes.HEIGHT, scenes.WIDTH)


def test_a_box_outside_its_picture_is_an_error_of_that_picture(tmp_path: Path) -> None:
    made = track(tmp_path, box=(500, 10, 20, 20))
    with pytest.raises(PictureError, match=r"3.jpg: box 500,10,20,20 lies outside it \(160 x 120"):
        made.shot(3)


def test_a_box_far_larger_than_its_picture_is_none(tmp_path: Path) -> None:
    made = track(tmp_path / "a", box=(-9e5, -9e5, 2e6, 2e6))
    with pytest.raises(PictureError, match=r"3.jpg: box -900000,-900000,2e\+06,2e\+06 is far larger than it"):
        made.shot(3)
    line = b'{"image": "a.jpg", "w": 160, "h": 120, "boxes": [[-9, -9, 1e8, 50], [34, 34, 33, 33]]}'
    files = {"annotations.jsonl": line, "a.jpg": scenes.jpeg(scenes.picture()[0])}
    source = read_source("images", [str(scenes.write_folder(tmp_path / "set", files))])
    assert source.dropped == {"far larger than the picture": 1}


def broken_set(tmp_path: Path) -> PairDataset:
    """One picture of three cannot be read."""
    files = scenes.image_set() | {"images/1.jpg": b"broken"}
    source = read_source("images", [str(scenes.write_folder(tmp_path / "set", files))])
    return PairDataset(PairSampler([source], PairConfig(), TEMPLATE, SEARCH), 100, seed=1)


def test_another_pair_is_drawn_in_place_of_a_corrupt_picture(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    dataset = broken_set(tmp_path)
    with caplog.at_level(logging.WARNING):
        pairs = [dataset[index] for index in range(4)]
    assert "images/1.jpg: the picture is not a readable JPEG or PNG" in caplog.text
    assert f"({dataset.damage.failed} of " in caplog.text
    again = broken_set(tmp_path / "again")
    for index in (3, 0):  # the pair depends on seed and index, not on what was drawn before
        assert all(torch.equal(a, b) for a, b in zip(pairs[index], again[index], strict=True))


def test_many_corrupt_pictures_stop_the_run(tmp_path: Path) -> None:
    dataset = broken_set(tmp_path)
    with pytest.raises(DataError, match=r"11 of \d+ pairs met a picture that cannot be used, more than 1 %") as error:
        list(dataset)  # type: ignore[call-overload]
    assert not isinstance(error.value, PictureError)


def test_one_corrupt_picture_in_a_hundred_is_borne() -> None:
    class Rarely:
        tries = 0

        def draw(self, rng: np.random.Generator) -> PairBatch:
            self.tries += 1
            if self.tries % 101 == 0:
                raise PictureError("x.jpg: broken")
            return PairBatch(*[torch.zeros(1)] * 7)

    dataset = PairDataset(Rarely(), 5000, seed=1)
    for index in range(5000):
        dataset[index]
    assert dataset.damage.failed == 49


def test_a_mix_draws_sources_by_weight() -> None:
    mix = Mix([Source("a"), Source("b"), Source("c")], [1, 0, 3])
    rng = np.random.default_rng(0)
    names = [mix.draw(rng).name for _ in range(4000)]
    assert names.count("a") == pytest.approx(1000, abs=100)
    assert "b" not in names


@pytest.mark.parametrize("weights", [[0, 0], [1, -1], [1]])
def test_weights_must_make_sense(weights: list[float]) -> None:
    with pytest.raises(DataError, match="weights of the sources"):
        Mix([Source("a"), Source("b")], weights)


def test_sources_share_equally_or_by_the_mix(tmp_path: Path) -> None:
    still = Still(PictureFile("a.jpg"), np.array([[0, 0, 20.0, 20]]))
    short = track(tmp_path / "short", frames=1)
    sources = [
        Source("got10k", tracks=[track(tmp_path / "one")]),
        Source("lasot", tracks=[track(tmp_path / "two")]),
        Source("coco", [still]),
        Source("vid", tracks=[short]),
    ]

    def shares(**mix: float) -> dict[str, float]:
        made = PairSampler(sources, PairConfig(clips=0.4, mix=mix), TEMPLATE, SEARCH).mix
        return dict(zip([s.name for s in made.sources], np.diff(made.ends, prepend=0).round(6), strict=True))

    assert shares() == {"got10k": 0.2, "lasot": 0.2, "coco": 0.6}  # one frame makes no pair
    assert shares(got10k=3, lasot=1, coco=0) == {"got10k": 0.75, "lasot": 0.25, "coco": 0}
    with pytest.raises(DataError, match=r"no weight for coco"):
        shares(got10k=3, lasot=1)
    with pytest.raises(DataError, match=r"names lasott, .*did you mean lasot"):
        shares(got10k=3, lasott=1, coco=1)


def test_the_guide_names_every_source_and_part() -> None:
    guide = (Path(__file__).parents[1] / "docs" / "training.md").read_text()
    for name, info in SOURCES.items():
        (row,) = [line for line in guide.splitlines() if line.startswith(f"| `{name}` |")]
        assert all(f"`{part}`" in row for part in info.parts)


def test_a_path_that_no_system_has_is_an_error_of_the_data() -> None:
    with pytest.raises(DataError, match=r"no path has a NUL in it"):
        read_source("coco", ["a\0b"])


def test_a_file_in_place_of_a_folder_is_named(tmp_path: Path) -> None:
    scenes.write_folder(tmp_path, {"annotations/instances_train2017.json": b"{}", "train2017": b""})
    with pytest.raises(DataError, match=r"train2017: cannot be read: Not a directory"):
        read_source("coco", [str(tmp_path)])


# Data of which nothing can be drawn


def test_tracks_that_are_never_drawn_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    once = Source("clips", tracks=[track(tmp_path / "a", frames=1), track(tmp_path / "b")])
    sampler = PairSampler([once], PairConfig(), TEMPLATE, SEARCH)
    assert len(sampler.tracks) == 1
    assert "clips: 2 tracks: 1 tracks show their target in fewer than two frames, and are not drawn" in caplog.text


def test_data_of_absent_targets_alone_is_an_error(tmp_path: Path) -> None:
    gone = replace(track(tmp_path / "a"), visible=np.zeros(4, bool))
    with pytest.raises(DataError, match=r"no training data in what was given \(clips: 1 tracks\): give --data"):
        PairSampler([Source("clips", tracks=[gone])], PairConfig(), TEMPLATE, SEARCH)


@pytest.mark.parametrize("box", [(np.nan,) * 4, (5.0, 5, 9, 9)])
def test_pictures_whose_boxes_are_all_left_out_are_an_error(box: tuple[float, ...]) -> None:
    """They would serve as background alone, though they have been annotated."""
    still = Still(PictureFile("a.jpg"), np.array([box]))
    with pytest.raises(DataError, match=r"images: 1 pictures: none of its 1 boxes can be drawn; .* below 14 pixels"):
        PairSampler([Source("images", [still])], PairConfig(), TEMPLATE, SEARCH)


def test_weights_that_are_no_numbers_are_refused() -> None:
    for weight in (float("nan"), float("inf")):
        with pytest.raises(DataError, match="weights of the sources"):
            Mix([Source("a"), Source("b")], [1, weight])


@pytest.mark.parametrize("paper", [StarkPairs, SparsettPairs, SiamattnPairs])
def test_a_paper_gets_an_error_for_data_without_a_usable_target(paper: type[PaperPairs], tmp_path: Path) -> None:
    still = Still(PictureFile("a.jpg"), np.full((1, 4), np.nan))
    gone = replace(track(tmp_path / "a"), visible=np.zeros(4, bool))
    model = SMALL["siamattn" if paper is SiamattnPairs else "sparsett" if paper is SparsettPairs else "stark"]()
    for source in (Source("coco", [still]), Source("coco", tracks=[gone]), Source("coco")):
        with pytest.raises(DataError, match=r"coco: .*: no annotated target in this data that can be used"):
            paper_sampler(paper(mix={"coco": 1.0}), [source], model)


@pytest.mark.parametrize("paper", [StarkPairs, SparsettPairs, SiamattnPairs])
def test_drawing_ends_where_no_pair_can_be_used(paper: type[PaperPairs], tmp_path: Path) -> None:
    """A clip too short for STARK, a box too long for SparseTT; SiamAttn takes both."""
    short = track(tmp_path / "a", frames=2, box=(5, 5, 150, 2))
    source = Source("coco", tracks=[replace(short, visible=np.array([False, True]), boxes=_second_alone(short))])
    model = SMALL["siamattn" if paper is SiamattnPairs else "sparsett" if paper is SparsettPairs else "stark"]()
    sampler = paper_sampler(paper(mix={"coco": 1.0}, absent=0.0), [source], model)
    rng = np.random.default_rng(0)
    if paper is SiamattnPairs:
        assert sampler.draw(rng).present
    else:
        with pytest.raises(DataError, match=r"1000 pairs in a row could not be used"):
            sampler.draw(rng)


def _second_alone(short: Track) -> np.ndarray:
    assert short.boxes is not None
    return np.array([[np.nan] * 4, short.boxes[1]])
