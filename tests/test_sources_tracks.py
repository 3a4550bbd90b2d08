"""GOT-10k, LaSOT and TrackingNet: one target per video. Miniatures in the published layout."""

from pathlib import Path

import numpy as np
import pytest

from lockon.crops import CropSpec
from lockon.data.loader import PairDataset, load_pairs
from lockon.data.pairs import PairConfig, PairSampler
from lockon.data.sources import read_source, read_sources
from lockon.data.sources.trackingnet import keyframes
from lockon.errors import DataError
from tests import scenes


def flags(*values: int) -> str:
    return "".join(f"{v}\n" for v in values)


def write_got10k(root: Path, count: int = 3, part: str = "train") -> list[str]:
    """Videos of five frames: absent in the third, wholly covered in the fourth, without a box in the fifth."""
    names = [f"GOT-10k_{part.title()}_{n:06d}" for n in range(1, count + 1)]
    for name in names:
        folder = root / part / name
        boxes = scenes.write_frames(folder, "{:08d}.jpg", range(1, 6))
        (folder / "groundtruth.txt").write_text(scenes.box_lines([*boxes[:4], (0, 0, 0, 0)]))
        (folder / "absence.label").write_text(flags(0, 0, 1, 0, 0))
        (folder / "cover.label").write_text(flags(8, 1, 8, 0, 8))
        (folder / "cut_by_image.label").write_text(flags(0, 1, 0, 0, 0))
    (root / part / "list.txt").write_text("\n".join(names) + "\n")
    return names


def write_lasot(root: Path) -> None:
    """Two videos of four frames: wholly occluded in the second, out of view in the third."""
    for name in ("airplane-1", "electric-fan-20"):
        folder = root / name.rsplit("-", 1)[0] / name
        boxes = scenes.write_frames(folder / "img", "{:08d}.jpg", range(1, 5))
        (folder / "groundtruth.txt").write_text(scenes.box_lines([boxes[0], boxes[1], (0, 0, 0, 0), boxes[3]]))
        (folder / "full_occlusion.txt").write_text("0,1,0,0")
        (folder / "out_of_view.txt").write_text("0,0,1,0")
    (root / "training_set.txt").write_text("airplane-1\n")
    (root / "testing_set.txt").write_text("electric-fan-20\n")


def write_trackingnet(root: Path, *chunks: int, frames: int = 3) -> None:
    for chunk in chunks:
        name = f"video{chunk}_0"
        boxes = scenes.write_frames(root / f"TRAIN_{chunk}" / "frames" / name, "{}.jpg", range(frames))
        (root / f"TRAIN_{chunk}" / "anno").mkdir()
        (root / f"TRAIN_{chunk}" / "anno" / f"{name}.txt").write_text(scenes.box_lines(boxes))


def test_got10k_shows_targets_that_are_neither_absent_nor_covered(tmp_path: Path) -> None:
    write_got10k(tmp_path)
    source = read_source("got10k", [str(tmp_path)])
    assert (source.name, len(source.tracks), source.dropped) == ("got10k", 3, {"empty": 3})
    track = source.tracks[0]
    assert len(track) == len(track.frames) == 5
    assert track.visible.tolist() == [True, True, False, False, False]
    assert [track.has_box(n) for n in range(5)] == [True, True, True, True, False]
    shot = track.shot(1)
    assert shot.box == scenes.picture(1)[1]
    assert shot.image[51, 52].tolist() == pytest.approx([250, 20, 20], abs=12)


def test_got10k_val_is_a_part(tmp_path: Path) -> None:
    write_got10k(tmp_path, 2, "val")
    tracks = read_source("got10k:val", [str(tmp_path)]).tracks
    assert tracks[1].frames[0].path.endswith("val/GOT-10k_Val_000002/00000001.jpg")


def test_got10k_reads_the_videos_that_a_file_chooses(tmp_path: Path) -> None:
    names = write_got10k(tmp_path)
    (tmp_path / "mine.txt").write_text(f"2\n{names[0]}\n")
    tracks = read_source(f"got10k:{tmp_path / 'mine.txt'}", [str(tmp_path)]).tracks
    assert [Path(t.frames[0].path).parent.name for t in tracks] == [names[2], names[0]]
    (tmp_path / "mine.txt").write_text("GOT-10k_Train_00002\n")
    with pytest.raises(DataError, match=r"not in train/list.txt; did you mean GOT-10k_Train_000002"):
        read_source(f"got10k:{tmp_path / 'mine.txt'}", [str(tmp_path)])


def test_the_vot_parts_of_got10k_are_the_official_ones(tmp_path: Path) -> None:
    """The error for videos that are not there tells how many were chosen and which come first."""
    (tmp_path / "train").mkdir()
    (tmp_path / "train/list.txt").write_text("".join(f"GOT-10k_Train_{n:06d}\n" for n in range(1, 9336)))
    with pytest.raises(DataError, match=r"7086 of 7086 .*_000001/.*_000003/.*_000004/.*_000006/.*_000007/.* 7081 more"):
        read_source("got10k:vot-train", [str(tmp_path)])
    with pytest.raises(DataError, match=r"1249 of 1249 .*_000002/.*_000012/.*_000026/.*_000029/.*_000041/.* 1244 more"):
        read_source("got10k:vot-val", [str(tmp_path)])
    (tmp_path / "train/list.txt").write_text("GOT-10k_Train_000001\n")
    with pytest.raises(DataError, match=r"vot-val needs a train/list.txt of 9335 lines, not of 1"):
        read_source("got10k:vot-val", [str(tmp_path)])


def test_a_half_copied_got10k_is_named_video_by_video(tmp_path: Path) -> None:
    one, two, three = write_got10k(tmp_path)
    (tmp_path / "train" / one / "00000005.jpg").unlink()
    (tmp_path / "train" / two / "absence.label").write_text(flags(0, 0))
    says = rf"2 of 3 sequences in {tmp_path} are incomplete: train/{one}/00000005.jpg is annotated but missing; .*"
    with pytest.raises(DataError, match=says + r"absence.label has 2 numbers for 5 frames; .*expected: train/list.txt"):
        read_source("got10k", [str(tmp_path)])
    truth = tmp_path / "train" / three / "groundtruth.txt"
    good = truth.read_text()
    for file, text, reason in [
        ("groundtruth.txt", "1,2,3\n", ", line 1: '1,2,3' is not x,y,w,h"),
        ("groundtruth.txt", "1,2,3,4\n1,2", ", line 2: '1,2' is not x,y,w,h"),
        ("groundtruth.txt", "", " is empty"),
        ("cover.label", "a\n", " is not made of whole numbers"),
    ]:
        truth.write_text(good)
        (tmp_path / "train" / three / file).write_text(text)
        with pytest.raises(DataError, match=rf"3 of 3 .*{three}/{file}{reason}"):
            read_source("got10k", [str(tmp_path)])


def test_a_video_is_chosen_once_and_by_its_name(tmp_path: Path) -> None:
    names = write_got10k(tmp_path)
    mine = tmp_path / "mine.txt"
    for text, says in [
        (f"0\n{names[0]}\n", f"names {names[0]} twice, once by its number"),
        ("0\n0\n", "mine.txt, line 2: 0 is in line 1 already"),
        ("../val\n", "mine.txt, line 1: '../val' is a path, not a name"),
        ("9" * 5000 + "\n", "mine.txt, line 1: .* is too long"),
    ]:
        mine.write_text(text)
        with pytest.raises(DataError, match=says):
            read_source(f"got10k:{mine}", [str(tmp_path)])
    (tmp_path / "train/list.txt").write_text(f"{tmp_path}\n")
    with pytest.raises(DataError, match=r"train/list.txt, line 1: .* is a path, not a name"):
        read_source("got10k", [str(tmp_path)])


def test_names_of_videos_may_have_blanks(tmp_path: Path) -> None:
    (name,) = write_got10k(tmp_path, 1)
    (tmp_path / "train" / name).rename(tmp_path / "train/my cat")
    (tmp_path / "train/list.txt").write_text("my cat\n")
    assert len(read_source("got10k", [str(tmp_path)]).tracks) == 1


@pytest.mark.parametrize(
    ("row", "reason"), [("5,5,-3,3", "negative size"), ("0,0,0,0", "empty"), ("nan,nan,nan,nan", "not finite")]
)
def test_boxes_that_are_left_out_are_counted_by_reason(tmp_path: Path, row: str, reason: str) -> None:
    write_trackingnet(tmp_path, 0)
    file = tmp_path / "TRAIN_0/anno/video0_0.txt"
    file.write_text("\n".join([*file.read_text().splitlines()[:-1], row]))
    source = read_source("trackingnet:0", [str(tmp_path)])
    assert str(source) == f"trackingnet: 1 tracks, 1 boxes left out ({reason})"
    assert source.tracks[0].visible.tolist() == [True, True, False]


def test_an_infinite_box_is_named_with_its_line(tmp_path: Path) -> None:
    write_trackingnet(tmp_path, 0)
    file = tmp_path / "TRAIN_0/anno/video0_0.txt"
    file.write_text("1,2,3,4\ninf,2,3,4\n1,2,3,4\n")
    with pytest.raises(DataError, match=r"anno/video0_0.txt, line 2: inf,2,3,4 is no box"):
        read_source("trackingnet:0", [str(tmp_path)])


def test_lasot_hides_what_is_occluded_or_out_of_view(tmp_path: Path) -> None:
    write_lasot(tmp_path)
    (track,) = read_source("lasot", [str(tmp_path)]).tracks
    assert track.visible.tolist() == [True, False, False, True]
    assert [track.has_box(n) for n in range(4)] == [True, True, False, True]
    assert track.shot(3).box == scenes.picture(3)[1]
    assert read_source("lasot", [str(tmp_path)]).dropped == {}  # out of view, so an empty box is no fault
    (track,) = read_source("lasot:test", [str(tmp_path)]).tracks
    assert track.frames[0].path.endswith("electric-fan/electric-fan-20/img/00000001.jpg")


def test_a_half_copied_lasot_is_named_video_by_video(tmp_path: Path) -> None:
    write_lasot(tmp_path)
    (tmp_path / "mine.txt").write_text("airplane-1\nelectric-fan-20\nelectric-fan-3\n")
    (tmp_path / "airplane/airplane-1/out_of_view.txt").unlink()
    with pytest.raises(DataError, match=r"2 of 3 .*airplane-1/out_of_view.txt is missing.*electric-fan-3/groundtruth"):
        read_source(f"lasot:{tmp_path / 'mine.txt'}", [str(tmp_path)])


def test_trackingnet_reads_the_chunks_that_are_asked_for(tmp_path: Path) -> None:
    write_trackingnet(tmp_path, 0, 2, 3)
    tracks = read_source("trackingnet:0,2-3", [str(tmp_path)]).tracks
    assert [Path(t.frames[0].path).parent.name for t in tracks] == ["video0_0", "video2_0", "video3_0"]
    assert tracks[1].visible.all()
    assert tracks[1].shot(2).box == scenes.picture(2)[1]
    with pytest.raises(DataError, match=r"no TRAIN_1/anno in"):
        read_source("trackingnet", [str(tmp_path)])
    for bad in ("12", "a", "3-1", "0,0", "0-99999999999999", "-1", "1_0"):
        with pytest.raises(DataError, match="cannot read the chunks"):
            read_source(f"trackingnet:{bad}", [str(tmp_path)])


def test_trackingnet_without_its_frames_unpacked_is_named(tmp_path: Path) -> None:
    write_trackingnet(tmp_path, 0)
    (tmp_path / "TRAIN_0/frames/video0_0/0.jpg").unlink()
    with pytest.raises(DataError, match=r"1 of 1 .*frames/video0_0/0.jpg is annotated but missing"):
        read_source("trackingnet:0", [str(tmp_path)])


def test_only_every_thirtieth_frame_of_trackingnet_was_annotated_by_people(tmp_path: Path) -> None:
    write_trackingnet(tmp_path, 0, frames=65)
    (track,) = read_source("trackingnet:0", [str(tmp_path)]).tracks
    assert np.flatnonzero(keyframes(track).visible).tolist() == [0, 30, 60, 64]


def test_pairs_are_drawn_from_several_data_sets_in_worker_processes(tmp_path: Path) -> None:
    write_got10k(tmp_path / "got10k")
    write_lasot(tmp_path / "lasot")
    write_trackingnet(tmp_path / "trackingnet", 4)
    stills = scenes.write_folder(tmp_path / "stills", scenes.image_set())
    data = {
        "got10k": [str(tmp_path / "got10k")],
        "lasot": [str(tmp_path / "lasot")],
        "lasot:test": [str(tmp_path / "lasot")],
        "trackingnet:4": [str(tmp_path / "trackingnet")],
        "images": [str(stills)],
    }
    sampler = PairSampler(read_sources(data), PairConfig(), CropSpec(2, 64), CropSpec(4, 128))
    assert [(s.name, len(s.tracks)) for s in sampler.mix.sources][1:] == [
        ("images", 0),
        ("lasot", 2),
        ("trackingnet", 1),
    ]
    dataset = PairDataset(sampler, 16, seed=1)
    here, there = (list(load_pairs(dataset, 8, 0, workers)) for workers in (0, 2))
    for one, two in zip(here, there, strict=True):
        assert all(bool((a == b).all()) for a, b in zip(one, two, strict=True))
