"""Overlap of VOT regions: pixels that two regions share over pixels that either has, as each toolkit draws them.

On a row of pixels a rectangle or polygon is a few spans. All rows of all frames are drawn at once, as arrays of the
spans' first and last pixels, and no picture is made. Only masks are compared as pictures.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lockon.errors import DataError
from lockon.evaluation.regions import Code, Mask, Polygon, Rectangle, Region, enclosing_box, numbers
from lockon.evaluation.sequences import Array

Toolkit = Literal["pysot", "vot"]
Size = tuple[float, float]
AT_ONCE = 2**19  # rows times corners that are drawn together
MOST_DRAWN = 2**24  # rows times corners of two regions, or, with masks, four times as many pixels
FEW_SPANS = 64  # pairs of spans on a row up to which they are compared pair by pair


def overlaps(a: Sequence[Region], b: Sequence[Region], size: Size | None, toolkit: Toolkit) -> Array:
    """(T,) overlap of paired regions, 0 to 1.

    Args:
        a, b: (T,) each.
        size: width and height of the frames: what lies outside does not count. None counts everything.
        toolkit: "vot" draws a rectangle as w x h pixels, and a code as nothing: two codes agree (1). In "pysot" (and
            TraX) a rectangle is a polygon of its corners, which has one pixel more on either side; the frame's far
            border counts as inside; two regions without pixels, and a code with anything, give NaN.

    Raises:
        DataError: masks with pysot, which has none; regions that are too large to be drawn, because there is no size
            or a nonsensical one.
    """
    result = np.zeros(len(a))
    kinds = defaultdict(list)
    for frame, pair in enumerate(zip(a, b, strict=True)):
        kinds[type(pair[0]), type(pair[1])].append(frame)
    for kind, frames in kinds.items():
        if Code in kind:
            result[frames] = np.nan if toolkit == "pysot" else float(kind == (Code, Code))
        else:
            compare = _TOOLKITS[toolkit]
            result[frames] = compare([a[frame] for frame in frames], [b[frame] for frame in frames], size)
    return result


def _in_parts(window: _Boxes, corners: int) -> Iterator[NDArray[np.int64]]:
    """Places of windows that are drawn together, so that the memory this takes has a bound.

    Raises:
        DataError: one of them is too large by itself.
    """
    costs = (window.high - window.low + 1)[:, 1] * corners
    if not len(costs):
        return
    if costs.max() > MOST_DRAWN:
        raise _too_large(window, int(costs.argmax()))
    parts = (costs.cumsum() // AT_ONCE).astype(np.int64)
    yield from np.split(np.arange(len(costs)), np.flatnonzero(np.diff(parts)) + 1)


def _too_large(window: _Boxes, place: int) -> DataError:
    width, height = (window.high - window.low + 1)[place]
    return DataError(
        f"regions over {width:.0f} x {height:.0f} pixels are too large to be compared; give the frame's size"
    )


class _Boxes(NamedTuple):
    """Upright boxes in pixels: the first and the last pixel, (N, 2) x, y each."""

    low: Array
    high: Array

    def hull(self, other: _Boxes) -> _Boxes:
        return _Boxes(np.minimum(self.low, other.low), np.maximum(self.high, other.high))

    def common(self, other: _Boxes) -> _Boxes:
        return _Boxes(np.maximum(self.low, other.low), np.minimum(self.high, other.high))

    def take(self, places: NDArray[Any] | list[int]) -> _Boxes:
        return _Boxes(self.low[places], self.high[places])


def _bounds(size: Size | None, border: int) -> _Boxes:
    """The pixels that count."""
    if size is None:
        return _Boxes(np.full(2, -np.inf), np.full(2, np.inf))
    return _Boxes(np.zeros(2), np.asarray(size, float) - border)


# The toolkits: overlaps of N regions of one type with N of one type.


def _pysot(a: Sequence[Region], b: Sequence[Region], size: Size | None) -> Array:
    """In single precision; corners are rounded, half away from zero, from where the two regions' boxes begin."""
    corners = [_corners(a), _corners(b)]
    boxes = [
        _Boxes(np.floor(np.nanmin(x, 1)), np.ceil(np.nanmax(x, 1))).common(_bounds(size, border=0)) for x in corners
    ]
    # Drawn is where the boxes share an area; and where neither has one, which gives 0 / 0.
    shared, hull = boxes[0].common(boxes[1]), boxes[0].hull(boxes[1])
    flat = [(box.high - box.low).prod(1) == 0 for box in boxes]
    drawn = (shared.high > shared.low).all(1) | (flat[0] & flat[1] & (hull.high >= hull.low).all(1))
    result = np.zeros(len(a))
    places = np.flatnonzero(drawn)
    for part in _in_parts(hull.take(places), max(x.shape[1] for x in corners)):
        rows = _Rows.of(hull.take(places[part]))
        low = rows.window.low[:, None].astype(np.float32)
        spans = [_polygon_spans(_round_half_away(x[places[part]] - low), rows, thin=False) for x in corners]
        result[places[part]] = _ratio(spans[0], spans[1], rows, nothing=np.nan)
    return result


def _vot(a: Sequence[Region], b: Sequence[Region], size: Size | None) -> Array:
    """Coordinates and sizes are rounded first, half to even, in single precision."""
    boxes = _pixel_boxes(a), _pixel_boxes(b)
    hull = boxes[0].hull(boxes[1])
    window = hull.common(_bounds(size, border=1))
    shared = window.common(boxes[0]).common(boxes[1])
    equal = (hull.high <= hull.low).any(1)  # the toolkit takes regions on one row or column for equal
    drawn = (window.high > window.low).all(1) & (shared.high >= shared.low).all(1)
    result = equal.astype(float)
    places = np.flatnonzero(drawn)
    if isinstance(a[0], Mask) or isinstance(b[0], Mask):
        for place in places.tolist():
            result[place] = _ratio_of_pictures(a[place], b[place], window.take([place]))
        return result
    for part in _in_parts(window.take(places), max(map(_corner_count, (*a, *b)))):
        own = places[part].tolist()
        rows = _Rows.of(window.take(own))
        spans = [_vot_spans([regions[place] for place in own], rows) for regions in (a, b)]
        result[own] = _ratio(spans[0], spans[1], rows, nothing=0)
    return result


def _corner_count(region: Region) -> int:
    return len(region.points) if isinstance(region, Polygon) else 4


_TOOLKITS = {"pysot": _pysot, "vot": _vot}


def _pixel_boxes(regions: Sequence[Region]) -> _Boxes:
    """The pixels between which regions of one type are drawn by the VOT toolkit."""
    if isinstance(regions[0], Polygon):
        corners = _corners(regions).round()
        return _Boxes(np.nanmin(corners, 1), np.nanmax(corners, 1))
    boxes = np.array([enclosing_box(region) for region in regions if not isinstance(region, Code)], np.float32)
    low, extent = np.split(boxes.round().astype(float), 2, axis=1)
    return _Boxes(low, low + extent - 1)


# Rows of pixels


class _Rows(NamedTuple):
    """All pixel rows of N windows, one window after the other: L in all.

    Attributes:
        window: N of them.
        owner: (L,) the window that a row is of.
        y: (L,) counted from the window's top.
        last: (L,) the window's last column, counted from its left.
    """

    window: _Boxes
    owner: NDArray[np.int64]
    y: Array
    last: Array

    @classmethod
    def of(cls, window: _Boxes) -> _Rows:
        columns, heights = (window.high - window.low + [0, 1]).T
        owner = np.repeat(np.arange(len(heights)), heights.astype(np.int64))
        top = np.cumsum(heights) - heights
        return cls(window, owner, np.arange(len(owner)) - top[owner], columns[owner])


class _Spans(NamedTuple):
    """(L, K) first and last pixels of up to K spans on each row, apart from each other; last < first for none."""

    first: Array
    last: Array

    def inside(self, rows: _Rows) -> _Spans:
        """The parts inside the windows."""
        return _Spans(np.maximum(self.first, 0), np.minimum(self.last, rows.last[:, None]))


def _vot_spans(regions: Sequence[Region], rows: _Rows) -> _Spans:
    """Rectangles or polygons as the VOT toolkit draws them."""
    if isinstance(regions[0], Polygon):
        return _polygon_spans((_corners(regions).round() - rows.window.low[:, None]).astype(float), rows, thin=True)
    box = _pixel_boxes(regions)
    # The toolkit cuts the far side, counted from the window, at the window's far side, counted from the frame: this
    # takes effect at negative coordinates, when there is no size.
    (left, top), (right, bottom) = (
        side[rows.owner].T
        for side in (box.low - rows.window.low, np.minimum(box.high - rows.window.low, rows.window.high))
    )
    drawn = (top <= rows.y) & (rows.y <= bottom)
    return _Spans(left[:, None], np.where(drawn, right, -1)[:, None]).inside(rows)


def _polygon_spans(corners: Array, rows: _Rows, thin: bool) -> _Spans:
    """Polygons whose corners lie on pixels, drawn by scan lines.

    Each edge that touches a row gives a node, its x there without decimals. From left to right, a node and the next
    bound a span; of nodes in one place all but the last are skipped.

    Args:
        corners: (N, V, 2) from the window's corner; NaN after a polygon's last.
        rows: of the windows.
        thin: whether level edges give a node, too, and the row's last two nodes a span even if they are in one place.
    """
    x, y = np.moveaxis(corners[rows.owner], -1, 0)  # (L, V)
    x0, y0 = np.moveaxis(_previous(corners)[rows.owner], -1, 0)
    row, level = rows.y[:, None], y0 == y
    touched = (np.minimum(y0, y) <= row) & (row <= np.maximum(y0, y)) & (thin | ~level)
    nodes = np.trunc(x + (row - y) / np.where(level, 1, y0 - y) * (x0 - x))
    most = max(2, int(touched.sum(1).max(initial=0)))
    nodes = np.sort(np.where(touched, nodes, np.nan), axis=1)[:, :most]  # NaN comes last
    nodes = np.pad(nodes, [(0, 0), (0, 1)], constant_values=np.nan)
    spans = _Spans(*np.zeros((2, len(nodes), most - 1)))
    bounded, end = np.zeros(len(nodes), bool), np.full(len(nodes), -np.inf)
    for k, (here, following, after) in enumerate(zip(nodes.T, nodes.T[1:], nodes.T[2:])):
        lone = (here == following) & np.isnan(after) & thin
        bounded = ~bounded & ((here < following) | lone)  # the end of a span does not begin another
        spans.first[:, k] = np.where(bounded, np.maximum(here, end + 1), np.inf)  # two spans may meet in a pixel
        spans.last[:, k] = end = np.where(bounded, following, end)
    return spans.inside(rows)


def _ratio(a: _Spans, b: _Spans, rows: _Rows, nothing: float) -> Array:
    """(N,) pixels in both over pixels in either; ``nothing`` where there are none."""
    if a.first.shape[1] * b.first.shape[1] <= FEW_SPANS:
        both = np.zeros(len(rows.owner))
        for i, j in np.ndindex(a.first.shape[1], b.first.shape[1]):
            both += _length(np.maximum(a.first[:, i], b.first[:, j]), np.minimum(a.last[:, i], b.last[:, j]))
    else:
        both = _common_pixels(a, b)
    total = _length(*a).sum(1) + _length(*b).sum(1)
    windows = len(rows.window.low)
    shared = np.bincount(rows.owner, both, windows)
    union = np.bincount(rows.owner, total, windows) - shared
    return np.divide(shared, union, out=np.full(windows, float(nothing)), where=union > 0)


def _length(first: Array, last: Array) -> Array:
    return (last - first + 1).clip(min=0)


def _common_pixels(a: _Spans, b: _Spans) -> Array:
    """(L,) pixels in both, row by row, where there are many spans: by how far both sides have come at each end."""
    both = np.zeros(len(a.first))
    for row in range(len(both)):
        begin, end = (np.concatenate([_drawn(spans, row)[side] for spans in (a, b)]) for side in (0, 1))
        places = np.concatenate([begin, end + 1])
        order = np.argsort(places, kind="stable")
        depth = np.repeat([1, -1], len(begin))[order].cumsum()  # spans of one side lie apart
        both[row] = np.diff(places[order])[depth[:-1] == 2].sum()
    return both


def _drawn(spans: _Spans, row: int) -> tuple[Array, Array]:
    """First and last pixels of the spans on a row that have any."""
    first, last = spans.first[row], spans.last[row]
    there = first <= last
    return first[there], last[there]


# Corners


def _corners(regions: Sequence[Region]) -> NDArray[np.float32]:
    """(N, V, 2) corners; those of polygons with fewer end in NaN.

    Raises:
        DataError: a mask.
    """
    if isinstance(regions[0], Rectangle):
        x, y, width, height = np.array([numbers(r) for r in regions if isinstance(r, Rectangle)], np.float32).T
        right, bottom = x + width, y + height
        return np.stack([x, y, right, y, right, bottom, x, bottom], axis=1).reshape(-1, 4, 2)
    points = [region.points for region in regions if isinstance(region, Polygon)]
    if len(points) < len(regions):
        raise DataError("pysot has no masks; compare them with toolkit vot")
    corners = np.full((len(points), max(map(len, points)), 2), np.nan, np.float32)
    for row, given in zip(corners, points, strict=True):
        row[: len(given)] = given
    return corners


def _previous(corners: Array) -> Array:
    """(N, V, 2) the corner before each; the first one's is the last."""
    count = (~np.isnan(corners[:, :, 0])).sum(1)
    before = np.tile(np.arange(-1, corners.shape[1] - 1), (len(corners), 1))
    before[:, 0] = count - 1
    return np.take_along_axis(corners, before[:, :, None], axis=1)


def _round_half_away(values: NDArray[np.float32]) -> Array:
    return np.trunc(values + np.copysign(0.5, values, dtype=np.float64))


# Pictures


def _ratio_of_pictures(a: Region, b: Region, window: _Boxes) -> float:
    """Of two regions in one window, at least one of them a mask.

    Raises:
        DataError: the window is too large.
    """
    width, height = (window.high - window.low + 1)[0]
    if width * height > 4 * MOST_DRAWN or height * max(_corner_count(a), _corner_count(b)) > MOST_DRAWN:
        raise _too_large(window, 0)
    rows = _Rows.of(window)
    pictures = _picture(a, rows), _picture(b, rows)
    union = np.count_nonzero(pictures[0] | pictures[1])
    return np.count_nonzero(pictures[0] & pictures[1]) / union if union else 0.0


def _picture(region: Region, rows: _Rows) -> NDArray[np.bool_]:
    """(height, width) of one window with a region in it."""
    width, height = int(rows.last[0]) + 1, len(rows.owner)
    if not isinstance(region, Mask):
        spans, columns = _vot_spans([region], rows), np.arange(width)
        drawn = np.zeros((height, width), bool)
        for first, last in zip(spans.first.T[..., None], spans.last.T[..., None]):
            drawn |= (first <= columns) & (columns <= last)
        return drawn
    picture = np.zeros((height, width), bool)
    left, top = (int(v) for v in rows.window.low[0] - [region.x, region.y])  # of the window in the mask
    part = region.pixels[max(top, 0) : top + height, max(left, 0) : left + width]
    picture[max(-top, 0) :, max(-left, 0) :][: part.shape[0], : part.shape[1]] = part
    return picture
