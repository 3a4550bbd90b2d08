"""The runner finds what is wrong, reads folders by their own salt and fill, and drops no case."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from .runner import (
    CASES,
    Adapter,
    Case,
    Deviation,
    Json,
    Lack,
    Report,
    check,
    compare,
    fill,
    find_adapter,
    read_cases,
    table,
    tools,
)

NUMBERS = np.arange(12, dtype=np.float32).reshape(3, 4)
CORNERS = np.array([[0, 0], [4, 0], [4, 2], [0, 2]], np.float64)


def spec(stored: np.ndarray, /, **changes: Any) -> Json:
    whole = {"dtype": str(stored.dtype), "shape": list(stored.shape), "stored": "whole", "atol": 1e-3, "rtol": 0}
    return whole | changes


def fault(answer: Any, stored: np.ndarray, /, **changes: Any) -> str:
    return compare("out", spec(stored, **changes), stored, answer).fault


# Comparing


def test_close_is_within_tolerance() -> None:
    near = NUMBERS + np.float32(0.0009)
    assert not fault(near, NUMBERS)
    assert not fault(torch.from_numpy(near).requires_grad_(), NUMBERS)
    assert not fault(NUMBERS * np.float32(1.01), NUMBERS, atol=0, rtol=0.011)
    assert fault(NUMBERS * np.float32(1.01), NUMBERS, atol=0, rtol=0.009)


def test_one_changed_number_fails_and_is_named() -> None:
    changed = NUMBERS.copy()
    changed[1, 2] = 6.002
    assert fault(changed, NUMBERS) == "1 of 12 differ, most 6.00199986 for 6, number 6"


def test_errors_are_reported() -> None:
    found = compare("out", spec(NUMBERS), NUMBERS, NUMBERS + np.float32(0.0005))
    assert found.absolute == pytest.approx(5e-4, rel=1e-2)
    assert found.relative == pytest.approx(5e-4 / 11, rel=1e-2)
    assert found.share == pytest.approx(0.5, rel=1e-2)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_number_that_is_not_finite_fails(bad: float) -> None:
    broken = NUMBERS.copy()
    broken[0, 0] = bad
    assert fault(broken, NUMBERS, atol=1e9)
    assert fault(NUMBERS, broken, atol=1e9)
    assert not fault(broken, broken)


@pytest.mark.parametrize("answer", [NUMBERS.T, NUMBERS[None], NUMBERS.reshape(-1), NUMBERS[:2]])
def test_a_wrong_shape_fails(answer: np.ndarray) -> None:
    assert fault(answer, NUMBERS).startswith("shape")


@pytest.mark.parametrize("dtype", ["int64", "bool", "float16"])
def test_a_wrong_type_fails(dtype: str) -> None:
    assert fault(NUMBERS.astype(dtype), NUMBERS) == f"{dtype}, not float32"


def test_higher_precision_is_the_same_type() -> None:
    assert not fault(NUMBERS.tolist(), NUMBERS)
    assert fault(NUMBERS.astype(np.int32), NUMBERS.astype(np.int64))


def test_stride_compares_what_is_stored() -> None:
    told, stored = spec(NUMBERS, stored={"stride": 5}), NUMBERS.reshape(-1)[::5]
    between, on = NUMBERS.copy(), NUMBERS.copy()
    between[0, 1], on[1, 1] = 7, 7  # numbers 1 and 5
    assert not compare("out", told, stored, between).fault
    assert compare("out", told, stored, on).fault.startswith("1 of 3 differ")
    assert compare("out", told, NUMBERS.reshape(-1), NUMBERS).fault == "3 numbers, but 12 are stored"


def test_equal_allows_no_error() -> None:
    assert not fault(NUMBERS, NUMBERS, compare="equal", atol=1)
    assert fault(NUMBERS + np.float32(1e-6), NUMBERS, compare="equal", atol=1)


def test_unsigned_numbers_do_not_wrap() -> None:
    low, high = np.zeros(2, np.uint8), np.full(2, 255, np.uint8)
    assert not fault(high - 1, high, atol=1)
    assert fault(high, low, atol=1)


@pytest.mark.parametrize("order", [[0, 1, 2, 3], [2, 0, 3, 1], [3, 2, 1, 0]])
def test_set_takes_rows_in_any_order(order: list[int]) -> None:
    assert not fault(CORNERS[order] + 5e-4, CORNERS, compare="set")
    assert bool(fault(CORNERS[order], CORNERS)) == (order != [0, 1, 2, 3])


def test_set_uses_each_row_once() -> None:
    assert fault(CORNERS[[0, 1, 2, 2]], CORNERS, compare="set")
    assert fault(CORNERS + np.eye(4, 2), CORNERS, compare="set")


def test_set_pairs_rows_that_fit_several() -> None:
    stored = np.array([[0.0, 0.0], [1.0, 0.0]])
    assert not fault([[0.4, 0.0], [0.0, 0.0]], stored, compare="set", atol=0.6)  # the first fits both


# Filling


def filled(rules: Sequence[Json], skip: Sequence[str] = (), salt: str = "") -> dict[str, np.ndarray]:
    names = {"head.weight": [2, 3], "head.bias": [2], "norm.num_batches_tracked": []}
    return fill(names, {"default": "weights.tensor", "rules": rules, "skip": skip}, salt, tools(CASES))


def test_the_first_rule_that_matches_counts() -> None:
    plain = filled([])
    made = filled([{"match": "bias$", "scale": 2.0, "shift": 1.0}, {"match": "^head", "scale": 3.0}])
    np.testing.assert_array_equal(made["head.bias"], plain["head.bias"] * np.float32(2) + np.float32(1))
    np.testing.assert_array_equal(made["head.weight"], plain["head.weight"] * np.float32(3))
    assert {value.dtype.name for value in made.values()} == {"float32", "int64"}


def test_a_rule_searches_the_name() -> None:
    assert (filled([{"match": "ad.w", "value": [0] * 6}])["head.weight"] == 0).all()


def test_salts() -> None:
    assert not np.array_equal(filled([], salt="a")["head.weight"], filled([])["head.weight"])
    own = [{"match": "weight", "salt": "b"}]
    np.testing.assert_array_equal(filled(own, salt="a")["head.weight"], filled([], salt="b")["head.weight"])
    np.testing.assert_array_equal(filled(own, salt="a")["head.bias"], filled([], salt="a")["head.bias"])


def test_a_value_is_put_in_place() -> None:
    made = filled([{"match": "weight", "value": [1, 2, 3, 4, 5, 6]}])["head.weight"]
    np.testing.assert_array_equal(made, np.array([[1, 2, 3], [4, 5, 6]], np.float32))


def test_skipped_names_are_not_filled() -> None:
    assert filled([], skip=[r"^norm\.", "bias"]).keys() == {"head.weight"}


# Whole cases


def case(**changes: Any) -> Case:
    """A case with the two outputs ``a`` and ``b``, both stored nowhere."""
    outputs = {name: {"file": "none.npz", "key": name} for name in "ab"}
    return dataclasses.replace(Case(CASES, "stark", "", "case", "kind", "tiny", {}, {}, outputs), **changes)


def test_a_case_that_nothing_answers_is_an_error() -> None:
    report = Report(case())
    with pytest.raises(LookupError, match="nothing in the adapter"):
        check(case(), Adapter([]), report)
    assert "FAILED" in table([report])[1]


def test_what_is_lacking_is_told() -> None:
    report = Report(case())
    check(case(), Adapter([Lack("a reason", "kind", variants="^tiny$")]), report)
    assert not report.faults
    assert "not implemented: a reason" in table([report])[2]


def test_what_is_lacking_must_not_be_answered() -> None:
    adapter = Adapter([Lack("a reason", "kind")])
    adapter.answers("kind")(lambda _: {"b": NUMBERS})
    report = Report(case())
    check(case(), adapter, report)
    assert report.deviations == [Deviation("b", "answered, though declared lacking")]


def test_an_output_without_an_answer_fails() -> None:
    adapter = Adapter([Lack("a reason", "kind", outputs=("a",))])
    adapter.answers("kind")(lambda _: {})
    report = Report(case())
    check(case(), adapter, report)
    assert report.faults == ["b: no answer"]


# Other folders


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """Folders of two small cases with another salt, another scale and another input: one right, one not."""
    shutil.copy(CASES / "weights.py", tmp_path)
    content = json.loads((CASES / "stark" / "cases.json").read_text())
    few = [entry for entry in content["cases"] if entry["id"] in ("soft-argmax", "score-head")]
    few[0]["inputs"]["score"] = {"values": ["another", [2, 1, 20, 20]]}
    content |= {"salt": "another", "cases": few}
    content["fill"]["rules"].insert(0, {"match": "^cls_head.*weight$", "scale": 1.5})
    _write(tmp_path / "right", content, by=0.0)
    _write(tmp_path / "wrong", content | {"cases": [*few, few[0] | {"id": "new", "kind": "unknown"}]}, by=0.01)
    return tmp_path


def _write(folder: Path, content: Json, by: float) -> None:
    """A folder whose stored outputs are lockon's own, moved a little."""
    folder.mkdir()
    shutil.copy(CASES / "stark" / "names.json", folder)
    (folder / "cases.json").write_text(json.dumps(content))
    for one in (one for one in read_cases(folder) if one.kind != "unknown"):
        answer = find_adapter("stark").answer(one)
        stored = {place["key"]: np.asarray(answer[name] + by) for name, place in one.outputs.items()}
        for place in one.outputs.values():
            old = np.load(folder / place["file"]) if (folder / place["file"]).is_file() else {}
            np.savez(folder / place["file"], **{**old, **stored})


@pytest.mark.usefixtures("one_thread")
def test_another_folder_is_checked(folders: Path) -> None:
    done = _pytest(folders)
    assert done.returncode == 1
    assert "2 passed" in done.stdout
    assert "3 failed" in done.stdout
    for name in ("soft-argmax", "score-head", "new"):
        assert f"FAILED tests/reference/test_cases.py::test_case[wrong/{name}]" in done.stdout
    assert _pytest(folders / "right").returncode == 0


def test_another_folder_of_metrics_is_checked(tmp_path: Path) -> None:
    """Beside the case as it is stand one with another number, one with another array, and one of an unknown toolkit."""
    shutil.copy(CASES / "metrics" / "ope.npz", tmp_path)
    content = json.loads((CASES / "metrics" / "cases.json").read_text())
    right = content["cases"][0]
    changes: list[Json] = [
        {"expected": right["expected"] | {"success_score": right["expected"]["success_score"] + 1e-8}},
        {"arrays": right["arrays"] | {"success_curve": right["arrays"]["precision_curve"]}},
        {"toolkit": "new"},
    ]
    content["cases"] = [right, *(right | change | {"id": str(number)} for number, change in enumerate(changes))]
    (tmp_path / "cases.json").write_text(json.dumps(content))
    done = _pytest(tmp_path)
    assert done.returncode == 1
    assert "1 passed" in done.stdout
    assert "3 failed" in done.stdout
    assert "success_score: 1 of 1 differ" in done.stdout
    assert "success_curve: shape [21], not [51]" in done.stdout
    assert "skipped" not in done.stdout  # there is no tracker's case, and no test of one


def test_an_empty_folder_is_an_error(tmp_path: Path) -> None:
    done = _pytest(tmp_path)
    assert done.returncode not in (0, 1)
    assert "no reference cases" in done.stdout + done.stderr


def _pytest(folder: Path) -> subprocess.CompletedProcess[str]:
    files = [f"tests/reference/{name}.py" for name in ("test_cases", "test_metrics_cases")]
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *files]
    root = Path(__file__).parents[2]
    return subprocess.run([*command, "--reference", folder], cwd=root, capture_output=True, text=True)
