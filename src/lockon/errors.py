"""What can go wrong. Each error carries one clear message that says what, where and what to do."""


class LockonError(Exception):
    """Base of every error that this library raises on purpose."""


class SourceError(LockonError):
    """Frames cannot be read: the source is missing, empty, or neither picture nor video."""


class FrameError(SourceError):
    """A source failed part-way: the frames before number `index` were good and have been delivered."""

    def __init__(self, message: str, index: int = -1) -> None:  # a default, so that the error can be pickled
        super().__init__(message)
        self.index = index


class OutputError(LockonError):
    """A result cannot be written."""


class BoxError(LockonError, ValueError):
    """A box is not one: wrong shape, not finite, no area, or outside the frame."""


class ModelError(LockonError):
    """A model cannot be had: unknown name, wrong or corrupt weights, device absent."""


class TrackerError(LockonError):
    """A tracker that runs as a process of its own, or the client of one, cannot be started, breaks off or is silent."""


class DataError(LockonError):
    """Training or evaluation data is missing or malformed."""


class PictureError(DataError):
    """One picture or mask of the training data cannot be used; another can be drawn in its place."""
