"""What to do about pictures that cannot be used: draw others, count them, and stop when they are many."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

from lockon.errors import DataError, PictureError

Item = TypeVar("Item")

SHARE = 0.01
FEW = 10
log = logging.getLogger(__name__)


class Damage:
    """Counts tries that met an unusable picture; each worker process has its own count."""

    def __init__(self) -> None:
        self.tries = self.failed = 0

    def draw(self, make: Callable[[], Item]) -> Item:
        """The first thing made without a ``PictureError``; ``make`` is to draw anew each time.

        Each failure is logged as a warning.

        Raises:
            DataError: more than 1 % of the tries so far, and more than ten, have failed.
        """
        while True:
            self.tries += 1
            try:
                return make()
            except PictureError as error:
                self.failed += 1
                log.warning("another pair is drawn (%d of %d so far): %s", self.failed, self.tries, error)
                if self.failed > max(FEW, SHARE * self.tries):
                    raise DataError(
                        f"{self.failed} of {self.tries} pairs met a picture that cannot be used, more than 1 %; "
                        f"the last: {error}; check the data and copy it again"
                    ) from None
