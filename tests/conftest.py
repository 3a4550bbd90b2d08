from pathlib import Path

import hypothesis
import pytest

from lockon.data.sources import Source, read_sources
from lockon.models import MODELS, ModelInfo
from tests import scenes
from tests.small import SMALL

hypothesis.settings.register_profile(  # the same examples every time, and other work on the machine fails no test
    "untimed", deadline=None, derandomize=True, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("untimed")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--reference",
        type=Path,
        metavar="DIR",
        help="check this folder of reference cases (or folder of such folders) in place of tests/reference/cases",
    )
    parser.addoption(
        "--real",
        type=Path,
        metavar="DIR",
        default=Path(__file__).parents[2] / "shared/reference/metrics/real",
        help="published results of other trackers with their scores; tests that read them are skipped without",
    )


@pytest.fixture
def data(tmp_path: Path) -> dict[str, list[str]]:
    """Stills and a clip to train with."""
    images = scenes.write_tar(tmp_path / "images.tar", scenes.image_set())
    clips = scenes.write_tar(tmp_path / "clips.tar", scenes.clip_set())
    return {"images": [str(images)], "clips": [str(clips)]}


@pytest.fixture
def small_stark(monkeypatch: pytest.MonkeyPatch) -> str:
    """The name under which the smallest STARK can be trained."""
    monkeypatch.setitem(MODELS, "small", ModelInfo(SMALL["stark"], "none", str))
    return "model=small"


@pytest.fixture(scope="session")
def sources(tmp_path_factory: pytest.TempPathFactory) -> list[Source]:
    """Stills and a longer clip, as the papers' samplers take them."""
    place = tmp_path_factory.mktemp("data")
    images = scenes.write_folder(place / "images", scenes.image_set())
    clips = scenes.write_folder(place / "clips", scenes.clip_set(24))
    return read_sources({"images": [str(images)], "clips": [str(clips)]})
