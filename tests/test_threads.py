from collections.abc import Iterator

import pytest
import torch

from lockon.errors import ModelError
from lockon.registry import create_model, list_models
from lockon.threads import MOST, check_threads, set_threads, usual_threads
from lockon.track import load_tracker


@pytest.fixture(autouse=True)
def threads_as_before() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_every_shipped_network_runs_in_one_thread_whatever_the_machine_does() -> None:
    torch.set_num_threads(2)
    for name in list_models(shipped=True):
        load_tracker(name, None, "cpu", None)
        assert torch.get_num_threads() == 1
        torch.set_num_threads(2)


@pytest.mark.parametrize("name", ["stark-s50", "stark-lightning"])
def test_a_large_network_runs_in_all_threads(name: str) -> None:
    torch.set_num_threads(2)
    with torch.device("meta"):
        assert usual_threads(create_model(name)) == 2


def test_a_number_that_is_asked_for_is_set() -> None:
    torch.set_num_threads(1)
    set_threads(2, create_model("stark-tiny"))
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize("threads", [0, -1, MOST + 1, 10**9, 10**400, True, 2.0, float("nan"), "2", "9" * 10**6, [2]])
def test_a_number_of_threads_that_no_machine_has_is_refused_before_pytorch_hears_of_it(threads: object) -> None:
    before = torch.get_num_threads()
    with pytest.raises(ModelError, match=f"whole number from 1 to {MOST}") as caught:
        load_tracker("stark-tiny", None, "cpu", threads)  # type: ignore[arg-type]
    assert len(str(caught.value)) < 200
    assert torch.get_num_threads() == before


def test_all_sensible_numbers_of_threads_are_taken() -> None:
    assert [check_threads(count) for count in (1, 2, MOST)] == [1, 2, MOST]
