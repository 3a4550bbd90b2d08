"""What the toolkits of one-pass evaluation do differently, as data: one ``Convention`` each.

They agree on overlap, centre error and the curves (Wu et al., OTB, TPAMI 2015). They differ in which frames count, in
what happens to odd rows of a result, and in how a curve becomes a score; papers don't say, and the same boxes differ by
points. The facts are those of got-10k/toolkit, STVIR/pysot, visionml/pytracking, jwlim/tracker_benchmark (OTB),
HengLan/LaSOT_Evaluation_Toolkit and SilvioGiancola/TrackingNet-devkit. ``plain`` is what the papers' text says, of the
frames that show the target.

Not told apart, because no score shows it: the ways to write the intersection, a tiny number added to the union or to
the number of frames, and clipping an overlap to 0..1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from lockon.errors import DataError
from lockon.evaluation.agreement import (
    Mask,
    annotated,
    has_area,
    has_centre,
    has_relative_centre,
    positive,
    relative_error,
    relative_error_in_steps,
    relative_error_of_quotients,
)
from lockon.evaluation.sequences import Array
from lockon.registry import closest

Outcome = Literal["judge", "hit", "miss", "drop"]  # of a frame; dropped frames are not in the denominator either


# From curves to scores: (S, K) to (S,)


def mean(values: Array) -> Array:
    """Of all points."""
    return values.mean(1)


def at_20(values: Array) -> Array:
    """The point number 20: 20 pixels, or a fifth of the target's size."""
    return values[:, 20]


def area(values: Array) -> Array:
    """Trapezoids over an axis from 0 to 1."""
    return (values[:, 1:] + values[:, :-1]).mean(1) / 2


# Rows of a result that are no boxes: (T, 4) to (T,)


def zero_size(boxes: Array) -> Mask:
    """A width or height of exactly 0."""
    return np.any(boxes[:, 2:] == 0, axis=1)


def no_size_or_nan(boxes: Array) -> Mask:
    """A width or height of 0 or less, or NaN."""
    return ~(has_area(boxes) & annotated(boxes))


@dataclass(frozen=True, eq=False)
class Measure:
    """One curve and its score.

    Attributes:
        thresholds: (K,) of an overlap, pixels, or shares of the target's size.
        score: (S, K) curves to (S,).
        valid: which rows of the truth are judged at all.
        invalid: what the others are.
        absent: what frames are in which the benchmark labels the target as absent; the toolkit may ignore the label
            ("judge").
    """

    thresholds: Array
    score: Callable[[Array], Array]
    valid: Callable[[Array], Mask] = annotated
    invalid: Outcome = "drop"
    absent: Outcome = "drop"


@dataclass(frozen=True)
class Convention:
    """How a toolkit scores.

    Attributes:
        success: share of frames whose overlap is above a threshold.
        precision: share of frames whose centre is at most so many pixels off; None where the toolkit has none.
        norm_precision: the same, the offset in x divided by the truth's width, in y by its height.
        rates: names of the success curve's values at some overlaps.
        average_overlap: whether the mean overlap of the judged frames is a score ("ao").
        inclusive: whether an overlap equal to the threshold is a success.
        given: what becomes of the result's first row, the given box: judged as it is, replaced by the truth, or
            dropped.
        longer: what is done with a result of more rows than the truth.
        shorter: with one of fewer: an error, the truth is cut, or rows of zeros are added.
        missing: with none: an error, or rows of zeros.
        repair: rows of the result, from the second, that are replaced by the row before them; not where the truth
            has a NaN.
        strict: whether NaN or a negative size in a result is an error.
        nan_truth: whether the truth may have NaN.
        rounded: whether all coordinates are rounded to the nearest integer, halves to the even one.
        clipped: whether both boxes are fitted into the picture: the corner first, then the size.
        decimals: that centre errors are rounded to.
        relative: the distance of centres in sizes of the truth.
        per_valid: whether shares are of the frames with a valid truth, though others can be hits as well.
        absent_label: "absent" (1 is absent) or "cover" (0 is absent).
        pooled: whether a frame counts the same whatever its sequence; else a sequence does.
        coverage: whether the share of rows with anything in them is told, pooled ("coverage").
    """

    success: Measure
    precision: Measure | None = None
    norm_precision: Measure | None = None
    rates: Mapping[str, float] = field(default_factory=lambda: {"op50": 0.5, "op75": 0.75})
    average_overlap: bool = False
    inclusive: bool = False
    given: Literal["judged", "replaced", "dropped"] = "replaced"
    longer: Literal["error", "cut"] = "error"
    shorter: Literal["error", "cut", "zeros"] = "error"
    missing: Literal["error", "zeros"] = "error"
    repair: Callable[[Array], Mask] | None = None
    strict: bool = False
    nan_truth: bool = True
    rounded: bool = False
    clipped: bool = False
    decimals: int | None = None
    relative: Callable[[Array, Array], Array] = relative_error
    per_valid: bool = False
    absent_label: Literal["absent", "cover"] = "absent"
    pooled: bool = False
    coverage: bool = False

    @property
    def errors(self) -> dict[str, Measure]:
        """The measures of the centre error that the toolkit has, by name."""
        both = {"precision": self.precision, "norm_precision": self.norm_precision}
        return {name: measure for name, measure in both.items() if measure}


OVERLAPS: Array = np.linspace(0, 1, 21)
PIXELS: Array = np.linspace(0, 50, 51)
SHARES: Array = np.arange(51) / 100
TWENTIETHS: Array = np.arange(21) / 20  # 6 / 20 is below 6 * 0.05, and an overlap of 0.3 between them

_ANY = Measure(PIXELS, at_20, annotated, "drop", "judge")
_POSITIVE = Measure(PIXELS, at_20, positive, "hit", "judge")
_GOT10K = Convention(
    success=replace(_ANY, thresholds=OVERLAPS, score=mean),
    precision=_ANY,
    longer="cut",
    shorter="cut",
)
_PYTRACKING = Convention(
    success=Measure(OVERLAPS, mean, positive, "miss", "miss"),
    precision=Measure(PIXELS, at_20, positive, "miss", "miss"),
    norm_precision=Measure(SHARES, at_20, positive, "hit", "hit"),
    average_overlap=True,
    longer="cut",
    shorter="zeros",
    repair=zero_size,
    strict=True,
    nan_truth=False,
    relative=relative_error_of_quotients,
)

CONVENTIONS: Mapping[str, Convention] = {
    "plain": Convention(
        success=Measure(OVERLAPS, mean),
        precision=Measure(PIXELS, at_20),
        norm_precision=Measure(SHARES, at_20),
        average_overlap=True,
        given="judged",
    ),
    "pysot": Convention(
        success=Measure(OVERLAPS, mean, has_area, "miss", "miss"),
        precision=Measure(PIXELS, at_20, has_centre, "hit", "miss"),
        norm_precision=Measure(SHARES, at_20, has_relative_centre, "hit", "miss"),
        given="judged",
        relative=relative_error_of_quotients,
    ),
    "pytracking": _PYTRACKING,
    "got10k": _GOT10K,
    "otb": Convention(
        success=replace(_POSITIVE, thresholds=TWENTIETHS, score=mean, invalid="miss"),
        precision=_POSITIVE,
        longer="cut",
        shorter="cut",
        decimals=4,
    ),
    "lasot": Convention(
        success=Measure(OVERLAPS, mean, positive, "miss", "miss"),
        precision=Measure(PIXELS, at_20, positive, "hit", "miss"),
        norm_precision=Measure(SHARES, at_20, positive, "hit", "miss"),
        longer="cut",
        repair=no_size_or_nan,
        relative=relative_error_of_quotients,
    ),
    "got10k-ao": Convention(
        success=Measure(np.linspace(0, 1, 101), mean),
        rates={"sr50": 0.5, "sr75": 0.75},
        average_overlap=True,
        given="dropped",
        clipped=True,
        absent_label="cover",
        pooled=True,
    ),
    "trackingnet": Convention(
        success=Measure(OVERLAPS, area, annotated, "miss", "judge"),
        precision=Measure(np.linspace(0, 50, 21), area, annotated, "miss", "judge"),
        norm_precision=Measure(np.linspace(0, 0.5, 21), area, annotated, "miss", "judge"),
        rates={},
        inclusive=True,
        missing="zeros",
        rounded=True,
        relative=relative_error_in_steps,
        coverage=True,
    ),
}
"""By toolkit."""

TOOLKITS: tuple[str, ...] = tuple(CONVENTIONS)

_GOT10K_LASOT = replace(_GOT10K, norm_precision=replace(_ANY, thresholds=SHARES, score=mean))
_UAV = replace(_PYTRACKING, precision=replace(_POSITIVE, absent="hit"), nan_truth=True)
ON_BENCHMARK: Mapping[tuple[str, str], Convention] = {
    ("got10k", "lasot"): _GOT10K_LASOT,
    ("got10k", "lasot_ext"): _GOT10K_LASOT,
    ("pytracking", "uav123"): _UAV,
    ("pytracking", "uav20l"): _UAV,
    ("pytracking", "lasot"): replace(
        _PYTRACKING,
        norm_precision=Measure(SHARES, at_20, positive, "hit", "miss"),
        shorter="error",
    ),
}
"""Where a toolkit has other rules for a benchmark, by both names."""


def find_convention(toolkit: str, benchmark: str = "", exclude_invalid_frames: bool = False) -> Convention:
    """A toolkit's rules on a benchmark.

    Args:
        benchmark: "lasot", "uav123" and so on; the rules of some toolkits depend on it.
        exclude_invalid_frames: pytracking's option of that name: shares are of the frames whose truth is valid.

    Raises:
        DataError: there is no such toolkit, or it has no such option.
    """
    if toolkit not in CONVENTIONS:
        raise DataError(f"unknown toolkit {toolkit!r}; {closest(toolkit, TOOLKITS)}")
    found = ON_BENCHMARK.get((toolkit, benchmark), CONVENTIONS[toolkit])
    if not exclude_invalid_frames:
        return found
    if toolkit != "pytracking":
        raise DataError(f"toolkit {toolkit!r} cannot exclude invalid frames; only pytracking has that option")
    return replace(found, per_valid=True)
