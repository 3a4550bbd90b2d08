"""Names and paths that data brings along."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lockon.errors import DataError
from lockon.names import LONGEST, alike, name_of, path_inside

HOSTILE = st.text(st.sampled_from("a./\\:C \t\n\x00\u2028é"), max_size=8)


@pytest.mark.parametrize(
    "name", ["walk", "GOT-10k_Val_000001", "-Ab_0", "my cat", "a.b", "Jogging-1", "猫", "x" * LONGEST]
)
def test_what_benchmarks_call_sequences_is_a_name(name: str) -> None:
    assert name_of(name, "list.txt") == name


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("/tmp/victim", "is a path, not a name"),
        ("../victim", "is a path, not a name"),
        ("a/b", "is a path, not a name"),
        ("a\\b", "is a path, not a name"),
        ("C:victim", "is a path, not a name"),
        ("..", "begins with a dot"),
        (".", "begins with a dot"),
        (".lockon", "begins with a dot"),
        ("", "is no name"),
        (" ", "is no name"),
        ("a\0b", "has characters that no name has"),
        ("a\nb", "has characters that no name has"),
        ("a\x1b[2J", "has characters that no name has"),
        ("\ud800", "has characters that no name has"),
        ("x" * (LONGEST + 1), "is too long: 201 bytes"),
        ("é" * LONGEST, "is too long: 400 bytes"),
        (None, "is no name"),
        (["a"], "is no name"),
    ],
)
def test_what_is_no_name_is_refused(name: object, says: str) -> None:
    with pytest.raises(DataError, match="list.txt, line 3: .*" + says):
        name_of(name, "list.txt, line 3")


@pytest.mark.parametrize(
    ("path", "meant"),
    [
        ("a.jpg", "a.jpg"),
        ("sub/a.jpg", "sub/a.jpg"),
        ("./sub//a.jpg", "sub/a.jpg"),
        ("clip/", "clip"),
        ("sub\\a.jpg", "sub/a.jpg"),
        ("..a/b..", "..a/b.."),
    ],
)
def test_a_path_inside_may_have_folders(path: str, meant: str) -> None:
    assert path_inside(path, "x") == meant


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/etc/passwd", "leads out of the data set"),
        ("\\\\server\\share", "leads out of the data set"),
        ("a/../../b", "leads out of the data set"),
        ("a\\..\\..\\b", "leads out of the data set"),
        ("C:\\pictures\\a.jpg", "leads out of the data set"),
        ("", "is not the path of a file"),
        ("./.", "is not the path of a file"),
        ("a\0.jpg", "has characters that no name has"),
        ("a/" * 600, "is too long"),
        (None, "is not the path of a file"),
        (7, "is not the path of a file"),
    ],
)
def test_a_path_that_leads_elsewhere_is_refused(path: object, says: str) -> None:
    with pytest.raises(DataError, match="x, line 1: .*" + says):
        path_inside(path, "x, line 1")


@settings(max_examples=200)
@given(HOSTILE)
def test_whatever_passes_is_one_part_of_a_path_or_stays_inside(text: str) -> None:
    for check in (name_of, path_inside):
        try:
            passed = check(text, "x")
        except DataError:
            continue
        parts = passed.split("/")
        assert check is path_inside or len(parts) == 1
        assert not {"", ".", ".."} & set(parts)
        assert "\\" not in passed
        assert not any(ord(letter) < 32 for letter in passed)


def test_names_that_some_disks_take_for_one_are_found() -> None:
    assert alike(["Walk", "walk", "cafe\u0301", "caf\u00e9", "run"]) == [("Walk", "walk"), ("cafe\u0301", "caf\u00e9")]
