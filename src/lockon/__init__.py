"""lockon: transformer single-object visual tracking.

>>> tracker = lockon.load("stark-tiny")
>>> tracker.init(frame, (x, y, w, h))
>>> result = tracker.update(next_frame)
"""

from lockon.errors import LockonError
from lockon.registry import create_model, list_models, load
from lockon.track import track
from lockon.tracker import Result, Tracker

__version__ = "0.1.0"
__all__ = ["LockonError", "Result", "Tracker", "__version__", "create_model", "list_models", "load", "track"]
