"""Opening benchmarks: names, wrong folders, incomplete copies, and what the shipped lists say."""

import pickle
from pathlib import Path

import numpy as np
import pytest

from lockon.benchmarks import BENCHMARKS
from lockon.errors import DataError
from lockon.evaluation.benchmarks import check, find_name, open_benchmark
from lockon.evaluation.benchmarks.files import read_list
from lockon.evaluation.benchmarks.opening import READERS
from tests import layouts

DOCS = Path(__file__).parents[1] / "docs" / "evaluation.md"


@pytest.fixture
def otb(tmp_path: Path) -> Path:
    """Two whole sequences of OTB's hundred."""
    root = tmp_path / "data" / "OTB100"
    layouts.write_otb(root, "Deer", range(1, 72), layouts.lines(range(1, 72)))
    layouts.write_otb(root, "Matrix", range(1, 101), layouts.lines(range(1, 101)))
    return root


def test_a_benchmark_has_all_names_and_reads_what_is_asked_for(otb: Path) -> None:
    benchmark = open_benchmark("otb2015", otb)
    assert (benchmark.name, benchmark.toolkit, len(benchmark)) == ("otb2015", "pysot", 100)
    deer = benchmark.read("Deer")
    assert (deer.name, len(deer), deer.boxes.shape, deer.hidden) == ("Deer", 71, (71, 4), False)
    assert deer.files[70] == otb / "Deer" / "img" / "0071.jpg"
    assert next(deer.frames()).shape == (layouts.HEIGHT, layouts.WIDTH, 3)


def test_nothing_is_read_before_it_is_asked_for(otb: Path) -> None:
    (otb / "Deer" / "groundtruth_rect.txt").write_text("rubbish")
    benchmark = open_benchmark("otb2015", otb)
    with pytest.raises(
        DataError, match=r"otb2015, Deer: .*Deer/groundtruth_rect.txt, line 1: 'rubbish' is not x,y,w,h"
    ):
        benchmark.read("Deer")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Skating2-1", "Skating2-1"),
        ("skating2_1", "Skating2-1"),
        ("Skating2.1", "Skating2-1"),
        ("Human4", "Human4-2"),
        ("human4_2", "Human4-2"),
        ("deer", "Deer"),
    ],
)
def test_names_are_found_in_the_spellings_of_other_toolkits(otb: Path, text: str, name: str) -> None:
    assert find_name(text, open_benchmark("otb2015", otb).names) == name


def test_a_sequence_is_read_by_any_spelling_and_keeps_its_name(otb: Path) -> None:
    assert open_benchmark("otb2015", otb).read("deer").name == "Deer"


def test_names_that_differ_in_case_alone_are_kept_apart() -> None:
    assert find_name("aB-_0", ["aB-_0", "ab-_0"]) == "aB-_0"
    with pytest.raises(DataError, match="no sequence is called 'AB-_0'"):
        find_name("AB-_0", ["aB-_0", "ab-_0"])


def test_an_unknown_sequence_gets_the_closest(otb: Path) -> None:
    with pytest.raises(DataError, match="no sequence is called 'Dear'; did you mean Deer"):
        open_benchmark("otb2015", otb).read("Dear")


def test_an_unknown_benchmark_gets_the_closest(otb: Path) -> None:
    with pytest.raises(DataError, match="unknown benchmark 'otb100'; did you mean otb"):
        open_benchmark("otb100", otb)


def test_a_benchmark_goes_to_other_processes(otb: Path) -> None:
    benchmark = pickle.loads(pickle.dumps(open_benchmark("otb2015", otb)))
    np.testing.assert_array_equal(benchmark.read("Deer").boxes[:, 0], np.arange(1, 72))


def test_a_folder_that_is_not_there_says_what_is_expected(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=rf"lasot: {tmp_path}/LaSOT is no folder; expected one with CLASS/NAME"):
        open_benchmark("lasot", tmp_path / "LaSOT")


@pytest.mark.parametrize("step", ["..", "../..", "Deer"])
def test_the_folder_above_or_below_is_recognised(otb: Path, step: str) -> None:
    """The parent, a single sequence; not two levels above, which would take long to look through."""
    with pytest.raises(DataError, match=r"is not the folder of OTB-2015; .*expected there: NAME/img/0001.jpg") as error:
        open_benchmark("otb2015", (otb / step).resolve())
    assert (f"did you mean {otb}?" in str(error.value)) == (step != "../..")


def test_a_wrong_folder_tells_what_is_in_it(tmp_path: Path) -> None:
    for name in ("a", "b", "c", "d", "e", "f", "g"):
        layouts.write(tmp_path / f"{name}.txt", "")
    with pytest.raises(DataError, match=r"found: a\.txt, b\.txt, c\.txt, d\.txt, e\.txt and 2 more"):
        open_benchmark("trackingnet", tmp_path)


@pytest.mark.parametrize("name", BENCHMARKS)
def test_every_benchmark_says_what_it_expects_of_an_empty_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError) as error:
        open_benchmark(name, tmp_path)
    assert str(error.value).startswith(f"{name}: {tmp_path} is not the folder of {BENCHMARKS[name].title}; expected")
    assert str(error.value).endswith(f"{BENCHMARKS[name].layout}; found: nothing")


def test_check_reports_every_sequence_that_is_incomplete(otb: Path) -> None:
    (otb / "Deer" / "img" / "0003.jpg").unlink()
    (otb / "Deer" / "img" / "0071.jpg").unlink()
    faults = check(open_benchmark("otb50", otb))
    assert len(faults) == 49  # all but Matrix
    by_name = {fault.split(": ")[0]: fault for fault in faults}
    says = "OTB100/Deer/img: 2 of 71 pictures are missing, first 0003.jpg"
    assert by_name["otb50, Deer"] == f"otb50, Deer: {says}; copy it again, or mend it, in {otb}"
    assert by_name["otb50, Skating2-2"].startswith(
        "otb50, Skating2-2: OTB100/Skating2/groundtruth_rect.2.txt is missing"
    )
    assert by_name["otb50, Woman"].startswith("otb50, Woman: OTB100/Woman/groundtruth_rect.txt is missing")


def test_check_counts_sequences_and_frames_where_they_are_published(tmp_path: Path) -> None:
    layouts.write_got10k(tmp_path, "test", ["GOT-10k_Test_000001", "GOT-10k_Test_000002"])
    assert check(open_benchmark("got10k", tmp_path)) == ["got10k: 2 sequences, expected 180"]
    names = [f"GOT-10k_Test_{n:06d}" for n in range(1, 181)]
    layouts.write_got10k(tmp_path, "test", names, count=1)
    assert check(open_benchmark("got10k", tmp_path)) == ["got10k: 186 frames in all, expected 22834"]  # 2 x 4 + 178


def test_check_finds_nothing_in_a_complete_copy(tmp_path: Path) -> None:
    layouts.write_folder(tmp_path / "one")
    assert check(open_benchmark("folder", str(tmp_path))) == []


# Shipped lists


@pytest.mark.parametrize(
    ("name", "sequences", "frames"),
    [
        ("otb2015", 100, 59_035),
        ("otb2013", 51, 29_486),
        ("otb50", 50, 26_972),
        ("uav123", 123, 112_578),
        ("uav20l", 20, 58_670),
        ("nfs", 100, 47_953),
        ("lasot", 280, 685_360),
        ("lasot_ext", 150, None),
        ("vot2018", 60, 21_356),
        ("vot2019", 60, 19_935),
    ],
)
def test_the_shipped_lists_have_the_published_numbers_of_sequences_and_frames(
    name: str, sequences: int, frames: int | None
) -> None:
    lengths = _lengths(name)
    assert len(lengths) == sequences == BENCHMARKS[name].sequences
    if frames is not None:
        assert sum(lengths.values()) == frames
        assert BENCHMARKS[name].frames in (frames, None)


def _lengths(name: str) -> dict[str, int]:
    """Frames by sequence as the lists have them, 0 where they do not."""
    listed = read_list(BENCHMARKS[name].reader)
    if name.startswith("otb"):
        every = {key: last - first + 1 for key, (first, last, _) in listed["otb2015"].items()}
        return every if name == "otb2015" else {key: every[key] for key in listed[name].split()}
    if name.startswith("uav"):
        return {key: last - first + 1 for key, (_, first, last, _) in listed[name].items()}
    if name == "lasot":
        return {key: length for key, (length, _) in listed[name].items()}
    return dict.fromkeys(listed[name].split(), 0) if name == "lasot_ext" else listed.get(name, listed)


@pytest.mark.parametrize("name", ["otb2015", "uav123", "uav20l", "nfs", "lasot", "lasot_ext", "vot2018", "vot2019"])
def test_no_two_names_of_a_list_have_a_spelling_in_common(name: str) -> None:
    names = list(_lengths(name))
    assert [find_name(key.lower().replace("-", "_"), names) for key in names] == names


def test_attributes_are_the_benchmarks_own() -> None:
    kinds = {
        "otb": {"IV", "OPR", "SV", "OCC", "DEF", "MB", "FM", "IPR", "OV", "BC", "LR"},
        "uav": {"SV", "ARC", "LR", "FM", "FOC", "POC", "OV", "BC", "IV", "VC", "CM", "SOB"},
        "lasot": {"IV", "POC", "DEF", "MB", "CM", "ROT", "BC", "VC", "SV", "FOC", "FM", "OV", "LR", "ARC"},
    }
    for list_, key in (("otb", "otb2015"), ("uav", "uav123"), ("lasot", "lasot")):
        found = [entry[-1].split() for entry in read_list(list_)[key].values()]
        assert set().union(*found) == kinds[list_]


# The table of benchmarks


def test_every_benchmark_has_a_reader_and_every_reader_a_benchmark() -> None:
    assert {info.reader for info in BENCHMARKS.values()} == set(READERS)


@pytest.mark.parametrize("name", BENCHMARKS)
def test_the_documents_say_what_the_table_says(name: str) -> None:
    info = BENCHMARKS[name]
    (row,) = [line for line in DOCS.read_text().splitlines() if line.startswith(f"| `{name}` |")]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[1] == info.title
    assert info.sequences is None or cells[2] == str(info.sequences)
    assert info.frames is None or cells[3] == f"{info.frames:,}"
    assert cells[4] == f"`{info.toolkit}`"
