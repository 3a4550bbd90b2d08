"""The folder of a run: claimed by one run at a time, in which nothing is written over that is not the run's own."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from lockon.errors import DataError, LockonError, ModelError, OutputError, first_few
from lockon.files import RECORDS, lock, why
from lockon.training.checkpoint import changed_fields
from lockon.training.logs import LINES, SCORES, read_table
from lockon.training.processes import Team
from lockon.training.recipe import Recipe
from lockon.weights import read_model_name

CHECKPOINT, WEIGHTS, BEST = "checkpoint.pt", "weights.safetensors", "best.safetensors"
RECIPE, BOARD = "recipe.json", "tensorboard"
RUN = (CHECKPOINT, WEIGHTS, RECIPE)  # what tells that a folder has a run
NAMES = (*RUN, BEST, LINES, SCORES, BOARD)
LONGEST = 2**20  # bytes of recipe.json


class RunFolder:
    """A claim on a folder by a run, until it is closed or the process ends.

    Args:
        resume: go on with the run that is there, if there is one.
        inputs: what the run reads, whatever it is called.

    Raises:
        OutputError: the folder cannot be written, another run writes there, a name that the run needs is taken, or it
            would write over its own input.
        DataError: the run that is there is of another recipe.
    """

    def __init__(self, out: Path, recipe: Recipe, resume: bool, inputs: Iterable[str | Path] = ()) -> None:
        self.out = out
        self._refuse_inputs(inputs)
        self._lock = self._claim()
        try:
            present = [name for name in NAMES if self._is_there(name)]
            if resume:
                self._check_own(present, recipe)
            elif set(present) & set(RUN):
                raise OutputError(f"{out} has a run already: go on with it by --resume, or give another --out")
            elif present:
                raise self._not_own(present[0])
        except BaseException:
            self._lock.close()
            raise

    def close(self) -> None:
        """Lets others have the folder."""
        self._lock.close()

    def _refuse_inputs(self, inputs: Iterable[str | Path]) -> None:
        mine = [self.out, *(self.out / name for name in NAMES)]
        for given in map(Path, inputs):
            for path in mine:
                with suppress(OSError, ValueError):
                    if path.samefile(given):
                        raise OutputError(f"{path}: is an input of this run and is not written to; give another --out")

    def _claim(self) -> IO[str]:
        try:
            (self.out / RECORDS).mkdir(parents=True, exist_ok=True)
            file = (self.out / RECORDS / "train.lock").open("a")
        except OSError as error:
            raise OutputError(f"{self.out}: cannot write here: {why(error)}") from None
        if not lock(file):
            file.close()
            raise OutputError(f"{self.out}: another run is training here; wait for its end, or give another --out")
        return file

    def _is_there(self, name: str) -> bool:
        """Whether something has the name; a folder for TensorBoard may be there if it is empty."""
        try:
            kind = (self.out / name).lstat().st_mode
        except FileNotFoundError:
            return False
        except OSError as error:
            raise OutputError(f"{self.out / name}: cannot be looked at: {why(error)}") from None
        wanted = stat.S_ISDIR if name == BOARD else stat.S_ISREG
        if not wanted(kind):
            raise OutputError(f"{self.out / name}: is no {'folder' if name == BOARD else 'regular file'}; move it away")
        return name != BOARD or any((self.out / name).iterdir())

    def _check_own(self, present: list[str], recipe: Recipe) -> None:
        """Whether all that is there can be of a run of this recipe."""
        if present and not set(present) & {CHECKPOINT, RECIPE}:
            raise self._not_own(present[0])
        if RECIPE in present:
            self._check_recipe(recipe)
        for name in (LINES, SCORES):
            if name in present:
                read_table(self.out / name)
        for name in (WEIGHTS, BEST):
            if name in present and self._model_of(name) != recipe.model:
                raise self._not_own(name)

    def _check_recipe(self, recipe: Recipe) -> None:
        path = self.out / RECIPE
        try:
            with path.open("rb") as file:
                changed = changed_fields(recipe, json.loads(file.read(LONGEST)))
        except OSError as error:
            raise OutputError(f"{path}: cannot be read: {why(error)}") from None
        except (ValueError, TypeError, AttributeError, RecursionError):
            raise self._not_own(RECIPE) from None
        if changed:
            raise DataError(f"{path} is of another recipe ({first_few(changed, 8)} differ); give another --out")

    def _model_of(self, name: str) -> str | None:
        try:
            return read_model_name(self.out / name)
        except ModelError:
            return None

    def _not_own(self, name: str) -> OutputError:
        return OutputError(
            f"{self.out / name}: is not of a run of this recipe and is not written over; move it away, or give another "
            "--out"
        )


@contextmanager
def claimed(team: Team, out: Path, recipe: Recipe, resume: bool, inputs: Iterable[str | Path] = ()) -> Iterator[None]:
    """The folder, claimed by the first process of a team for all of them.

    Raises:
        LockonError: as ``RunFolder``, in every process.
    """
    claim: RunFolder | None = None
    fault: LockonError | None = None
    if team.leads:
        try:
            claim = RunFolder(out, recipe, resume, inputs)
        except LockonError as error:
            fault = error
    try:
        fault = team.gather(fault)[0]
        if fault is not None:
            raise fault
        yield
    finally:
        if claim is not None:
            claim.close()
