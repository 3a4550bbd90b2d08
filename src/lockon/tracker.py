"""The one flow: frame, crop, network, resolve, result; for one target or many.

The network is pure and batched, the state of a target is one explicit value. A model file supplies the network and
the paper's online rules; this file runs them and knows no paper. In one thing it departs from all papers: where a patch
shows nothing, as in a dark moment, the network is not asked, and what is known of the target stays as it was.
"""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from lockon.boxes import Box, Polygon, as_box, as_boxes, check_box, shortened
from lockon.crops import BLACK, CropSpec, Patch, Window, crop, is_blank, mean_colour
from lockon.errors import BoxError, ModelError, StateError
from lockon.pictures import as_rgb


@dataclass(frozen=True)
class Result:
    """Where a target is in one frame.

    Attributes:
        box: x, y, w, h in frame pixels.
        score: how sure the tracker is, 0 to 1; what it measures is the model's own (see its docstring).
        found: false where the model takes the target to be out of view, and where there is nothing to see; ``box`` is
            then the last place searched.
        mask: (height, width) bool of the frame's size, from models that segment, else None.
        polygon: the corners x, y of a rotated box in frame pixels, from models that segment, else None.
        fault: why the frame may not show what was recorded, where its source tells (``lockon.track``); else empty.
        times: milliseconds spent in "crop", "network" and "resolve" for the whole frame (all targets together).
    """

    box: Box
    score: float
    found: bool
    mask: np.ndarray | None = field(default=None, compare=False)
    polygon: Polygon | None = None
    fault: str = ""
    times: dict[str, float] = field(default_factory=dict, compare=False)


@dataclass(frozen=True)
class State:
    """Everything that changes per target: nothing else remembers anything. It can be pickled.

    Attributes:
        box: x, y, w, h in frame pixels: the next frame is searched around it.
        memory: what the network reads of the target: a named tuple of tensors with a batch dimension of 1; None where
            the first frame showed nothing there, so that the target will not be found.
        frame: frames since the first.
        refresh: the model asks for a new template, cut around ``box`` from the frame just seen.
        border: RGB that crops have outside the frame.
        past: what else the model keeps, for its own rules alone.
        single: the target came as one box, not in a list, and is answered with a result, not with a list.
    """

    box: Box
    memory: Any
    frame: int = 0
    refresh: bool = False
    border: tuple[float, float, float] = BLACK
    past: tuple[Any, ...] = ()
    single: bool = False


Divisors = Mapping[str, Tensor]
NO_DIVISORS: Divisors = MappingProxyType({})


class TrackingModel(nn.Module, ABC):
    """What a paper's file provides: a pure, batched network, and its online rules.

    Attributes:
        template_crop, search_crop: what it sees of a frame.
        segments: it draws masks, and its loss asks for them.
    """

    template_crop: CropSpec
    search_crop: CropSpec
    segments: bool = False

    @abstractmethod
    def memorize(self, images: Tensor, padding: Tensor, boxes: Tensor) -> Any:
        """All that can be computed once per template.

        Args:
            images: (B, 3, S, S) RGB template patches, 0 to 255, uint8 or float.
            padding: (B, S, S) bool, true outside the frame.
            boxes: (B, 4) x, y, w, h of the target relative to the patch, by ``Window.to_patch``.

        Returns:
            A named tuple of tensors whose first dimension is B.
        """

    def remember(self, memory: Any | None, template: Any) -> Any:
        """A target's memory with a new template in it; ``memory`` is None on the first frame."""
        return template

    @abstractmethod
    def forward(self, images: Tensor, padding: Tensor, memory: Any) -> Any:
        """Search patches against memories: (B, 3, S, S) and (B, S, S) as in ``memorize``.

        Returns:
            A named tuple of tensors, and of further tuples where a part is not for ``resolve`` to look into but to
            pass on (as memory, or to another part of the network): these stay on the model's device.
        """

    @abstractmethod
    def resolve(
        self, prediction: Any, windows: Sequence[Window], states: Sequence[State], frame_size: tuple[int, int]
    ) -> list[tuple[State, Result]]:
        """The online rules: the prediction (its tensors on the CPU), the windows and states it belongs to, the
        frame's (width, height), to each target's next state and result."""

    @abstractmethod
    def loss(self, batch: PairBatch, divisors: Divisors = NO_DIVISORS) -> dict[str, Tensor]:
        """The training losses of a batch by name, each a scalar; "total" is what is minimised.

        Args:
            divisors: what sums over targets, cells and so on are divided by, in place of the batch's own ``counts``. A
                part of a larger batch gets the larger one's counts over its number of parts (all of the same size);
                the mean of the parts' losses is then the larger batch's loss.
        """

    def counts(self, batch: PairBatch) -> dict[str, Tensor]:
        """What sums in the loss are divided by if that is not the number of pairs: scalars that follow from the labels
        alone and add up over the parts of a batch."""
        return {"present": batch.present.sum()}

    def enter_epoch(self, epoch: int) -> None:
        """Called before each epoch of a training that has epochs, counted from 1: what the paper changes over a run."""


class PairBatch(NamedTuple):
    """Training pairs.

    Attributes:
        templates: (B, T, 3, S, S) uint8 RGB patches of the template crop's size, in time order; most models take one.
        template_padding: (B, T, S, S) bool, true outside the frame.
        template_boxes: (B, T, 4) float32 x, y, w, h of the target relative to each template patch (0 to 1).
        search, search_padding: (B, 3, S, S) and (B, S, S), of the search crop's size.
        boxes: (B, 4) float32 x, y, w, h of the target relative to the search patch (0 to 1).
        present: (B,) bool, false where the search patch does not show the target.
        masks: (B, S, S) the target's pixels in the search patch, bool or 0 and 1, for models that segment; empty
            where there are none at all.
        has_mask: (B,) bool, true where ``masks`` says something; empty with it.
        light: (B, T + 1, 13) what is still to happen to the light of templates and search patch (``data.light``);
            empty for nothing.
    """

    templates: Tensor
    template_padding: Tensor
    template_boxes: Tensor
    search: Tensor
    search_padding: Tensor
    boxes: Tensor
    present: Tensor
    masks: Tensor = torch.empty(0)
    has_mask: Tensor = torch.empty(0, dtype=torch.bool)
    light: Tensor = torch.empty(0)

    def template(self, index: int) -> tuple[Tensor, Tensor, Tensor]:
        """The arguments of ``memorize`` for template number ``index``."""
        return self.templates[:, index], self.template_padding[:, index], self.template_boxes[:, index]

    def to(self, device: torch.device) -> PairBatch:
        """The same pairs on a device."""
        return PairBatch(*(x.to(device, non_blocking=True) for x in self))


Boxes = Iterable[Any] | np.ndarray | Tensor


class Tracker:
    """Follows one or several targets through frames, with OpenCV's habit: ``init``, then ``update`` per frame.

    Trackers in several threads can share a model; each thread needs a tracker of its own.

    Args:
        model: the network; it is moved to the device and put into evaluation mode.
        name: what messages call it.

    Example:
        >>> tracker = lockon.load("stark-tiny")
        >>> tracker.init(frames[0], (x, y, w, h))
        >>> for frame in frames[1:]:
        ...     result = tracker.update(frame)
    """

    def __init__(self, model: TrackingModel, device: torch.device | str = "cpu", name: str = "") -> None:
        self.device = torch.device(device)
        self.model = model.to(self.device).eval()
        self.name = name or type(model).__name__
        self._states: list[State] = []
        self._known: tuple[State, ...] = ()  # those that were checked or are the tracker's own

    @property
    def states(self) -> list[State]:
        """One value per target, which is all that the tracker remembers.

        Kept states go on where they were when they are put back, in this tracker or in another of the same model, in
        this process or in another: with the same results, and as one result or as a list like before.

        Raises:
            StateError: what is put in are not states, or those of another model.
        """
        return self._states

    @states.setter
    def states(self, states: Iterable[State]) -> None:
        self._put(self._checked(states))

    def init(self, frame: Any, boxes: Boxes) -> Result | list[Result]:
        """Starts on a frame; where it fails, the tracker is as it was before.

        Args:
            frame: (height, width, 3) uint8 RGB array or tensor; grey, 16-bit and alpha images are converted.
            boxes: four numbers x, y, w, h in pixels, or a list of such boxes; as a tuple, an array or tensor (4,) or
                (N, 4), or whatever else lists them.

        Returns:
            The given box as a result, or a list of them. Where the frame shows nothing at the box, neither an edge nor
            a texture, it is not ``found``, and it will not be until the next ``init``.

        Raises:
            BoxError: a box that is not four finite numbers, is smaller than a pixel or far larger than the frame, or
                lies outside of it.
            SourceError: something that is not an image.
            ModelError: the network answers with something that is no number.
        """
        image = as_rgb(frame)
        given, single = as_boxes(boxes)
        advanced = self.start([image] * len(given), given)
        return self._take([(replace(state, single=single), result) for state, result in advanced])

    def update(self, frame: Any) -> Result | list[Result]:
        """Finds the targets in the next frame, all in one batched forward; where it fails, the tracker is as before.

        A frame may have another size than the one before. Where it shows nothing around a target, as in a dark moment,
        the target is not found, its score is 0, and its box and all that is known of it are kept.

        Returns:
            A result, or a list of them in the order of the boxes given to ``init``.

        Raises:
            BoxError: called before ``init``.
            SourceError: something that is not an image.
            ModelError: the network answers with something that is no number.
            StateError: ``states`` was changed to something else.
        """
        image = as_rgb(frame)
        states = self._checked(self._states)
        if not states:
            raise BoxError("update() was called before init(): give the tracker a first frame and a box")
        return self._take(self.step([image] * len(states), states))

    def _take(self, advanced: Sequence[tuple[State, Result]]) -> Result | list[Result]:
        self._put([state for state, _ in advanced])
        results = [result for _, result in advanced]
        return results[0] if self._states[0].single else results

    def _put(self, states: list[State]) -> None:
        alone = len(states) == 1
        self._states = [replace(s, single=False) if s.single and not alone else s for s in states]
        self._known = tuple(self._states)

    def _checked(self, states: Iterable[State]) -> list[State]:
        """The states, those that came from elsewhere checked and on this tracker's device."""
        try:
            given = list(states)
        except TypeError:
            raise StateError(f"{shortened(states)}: a tracker's states are a list of what its ``states`` has") from None
        known = {id(state) for state in self._known}
        return [state if id(state) in known else self._adopted(state) for state in given]

    def _adopted(self, state: State) -> State:
        if not isinstance(state, State):
            raise StateError(f"{shortened(state)} is not the state of a target; keep what a tracker's ``states`` has")
        box = as_box(state.box)
        if min(box[2:]) <= 0 or not _alike(state.memory, self._example):
            raise StateError(f"a state of another model was put into {self.name}; states fit the model they came from")
        memory, past = _each((state.memory, state.past), lambda x: x.to(self.device))
        return replace(state, box=box, memory=memory, past=past)

    @cached_property
    @torch.inference_mode()
    def _example(self) -> Any:
        """A memory, to see what one of this model is like."""
        size = self.model.template_crop.size
        patch = np.zeros((size, size, 3), np.uint8), np.zeros((size, size), bool)
        box = torch.tensor([[0.25, 0.25, 0.5, 0.5]], device=self.device)
        template = self.model.memorize(*self._batch([Patch(*patch, Window(0.0, 0.0, 1.0, size))]), box)
        return self.model.remember(None, template)

    @torch.inference_mode()
    def start(self, frames: Sequence[np.ndarray], boxes: Sequence[Sequence[float]]) -> list[tuple[State, Result]]:
        """States of targets, each in a frame of its own, and the given boxes as results; ``init`` without a memory.

        Args:
            frames: (height, width, 3) uint8 RGB, the frame of each target; sizes may differ.
            boxes: x, y, w, h in pixels, as many.

        Raises:
            BoxError: as ``init``.
        """
        if len(frames) != len(boxes):
            raise BoxError(f"{len(boxes)} boxes for {len(frames)} frames; each target needs a frame of its own")
        checked = [check_box(box, f.shape[1], f.shape[0]) for box, f in zip(boxes, frames, strict=True)]
        begin = time.perf_counter()
        borders = [mean_colour(f) if self.model.search_crop.border == "mean" else BLACK for f in frames]
        states = [State(box, None, border=border) for box, border in zip(checked, borders, strict=True)]
        templates = self._memorize(frames, states)
        times = {"crop": 0.0, "network": 1000 * (time.perf_counter() - begin), "resolve": 0.0}
        out = []
        for state, template in zip(states, templates, strict=True):
            seen = template is not None
            memory = self.model.remember(None, template) if seen else None
            out.append((replace(state, memory=memory), Result(state.box, float(seen), seen, times=times)))
        return out

    @torch.inference_mode()
    def step(self, frames: Sequence[np.ndarray], states: Sequence[State]) -> list[tuple[State, Result]]:
        """The next states of targets and where they are, by one batched forward; ``update`` without a memory.

        Targets may be of one video or of several: a batch rounds otherwise than its targets alone, but nothing else
        passes between them.

        Args:
            frames: (height, width, 3) uint8 RGB, the frame of each target; sizes may differ.
            states: as many.
        """
        begin = time.perf_counter()
        pairs = list(zip(frames, states, strict=True))
        patches = [crop(frame, state.box, self.model.search_crop, state.border) for frame, state in pairs]
        seen = [i for i, patch in enumerate(patches) if states[i].memory is not None and not is_blank(patch)]
        batch = self._batch([patches[i] for i in seen]) if seen else None
        cropped = time.perf_counter()
        prediction = None if batch is None else self._predict(*batch, [states[i] for i in seen])
        computed = time.perf_counter()
        following = [self._held(*pair) for pair in pairs]
        if prediction is not None:
            windows, sizes = [patches[i].window for i in seen], [frames[i].shape[1::-1] for i in seen]
            resolved = self._resolve(prediction, windows, [states[i] for i in seen], sizes)
            refreshed = self._refresh([frames[i] for i in seen], [state for state, _ in resolved])
            for i, state, (_, result) in zip(seen, refreshed, resolved, strict=True):
                following[i] = state, self._sound(result)
        end = time.perf_counter()
        times = {"crop": cropped - begin, "network": computed - cropped, "resolve": end - computed}
        times = {stage: 1000 * seconds for stage, seconds in times.items()}
        return [(state, replace(result, times=times)) for state, result in following]

    def _predict(self, images: Tensor, padding: Tensor, states: Sequence[State]) -> Any:
        """What the network says, on the CPU."""
        prediction = self.model(images, padding, _stack([state.memory for state in states]))
        prediction = type(prediction)(*(x.cpu() if isinstance(x, Tensor) else x for x in prediction))
        self._check_numbers(prediction)
        return prediction

    def _held(self, frame: np.ndarray, state: State) -> tuple[State, Result]:
        """A target of which a frame shows nothing."""
        x, y, w, h = state.box
        mask, polygon = None, None
        if self.model.segments:
            mask, polygon = np.zeros(frame.shape[:2], bool), ((x, y), (x + w, y), (x + w, y + h), (x, y + h))
        return replace(state, frame=state.frame + 1), Result(state.box, 0.0, False, mask, polygon)

    def _sound(self, result: Result) -> Result:
        corners = result.polygon or ()
        if not all(map(math.isfinite, (*result.box, result.score, *(v for corner in corners for v in corner)))):
            raise ModelError(self._no_numbers())
        return result

    def _check_numbers(self, answer: Iterable[Any]) -> None:
        """Refuses NaN and infinity before the online rules, whose limits would make ordinary boxes of them."""
        # a sum of numbers is one, in float64 however large they are, and quicker to have than an answer for each
        if not all(math.isfinite(x.sum(dtype=torch.float64)) for x in answer if isinstance(x, Tensor)):
            raise ModelError(self._no_numbers())

    def _no_numbers(self) -> str:
        return (
            f"{self.name}: the network answers with NaN or infinity in place of numbers; check its weights, and where "
            "these are good on another machine or with --device cpu, the device"
        )

    def _resolve(
        self, prediction: Any, windows: Sequence[Window], states: Sequence[State], sizes: Sequence[tuple[int, ...]]
    ) -> list[tuple[State, Result]]:
        """The online rules, of targets in frames of (width, height) each."""
        if len(set(sizes)) == 1:
            return self.model.resolve(prediction, windows, states, (sizes[0][0], sizes[0][1]))
        alone = range(len(states))
        parts = ((_rows(prediction, i), [windows[i]], [states[i]], [sizes[i]]) for i in alone)
        return [pair for part in parts for pair in self._resolve(*part)]

    def _memorize(self, frames: Sequence[np.ndarray], states: Sequence[State]) -> list[Any]:
        """A template of each state's box, computed in one batch; None where the frame shows nothing there."""
        pairs = zip(frames, states, strict=True)
        patches = [crop(frame, state.box, self.model.template_crop, state.border) for frame, state in pairs]
        seen = [i for i, patch in enumerate(patches) if not is_blank(patch)]
        templates: list[Any] = [None] * len(patches)
        if seen:
            boxes = [patches[i].window.to_patch(states[i].box) for i in seen]
            batch = self._batch([patches[i] for i in seen])
            memory = self.model.memorize(*batch, torch.tensor(boxes, device=self.device))
            self._check_numbers(memory)
            for row, i in enumerate(seen):
                # a copy, lest one target keep, and a pickle of it hold, the memory of all
                templates[i] = _each(_rows(memory, row), torch.clone) if len(seen) > 1 else memory
        return templates

    def _refresh(self, frames: Sequence[np.ndarray], states: list[State]) -> list[State]:
        """The states, those that asked for it with a new template from their frame."""
        due = [i for i, state in enumerate(states) if state.refresh]
        templates = self._memorize([frames[i] for i in due], [states[i] for i in due]) if due else []
        for i, template in zip(due, templates, strict=True):
            memory = states[i].memory
            memory = memory if template is None else self.model.remember(memory, template)
            states[i] = replace(states[i], memory=memory, refresh=False)
        return states

    def _batch(self, patches: Sequence[Patch]) -> tuple[Tensor, Tensor]:
        images = torch.from_numpy(np.stack([p.image for p in patches])).to(self.device)
        padding = torch.from_numpy(np.stack([p.padding for p in patches])).to(self.device)
        return images.permute(0, 3, 1, 2), padding


def _stack(memories: Sequence[Any]) -> Any:
    if len(memories) == 1:
        return memories[0]
    return type(memories[0])(*(torch.cat(parts) for parts in zip(*memories, strict=True)))


def _rows(batch: Any, i: int) -> Any:
    """What belongs to number i of a batch: of a tensor, None, or a named tuple of these and of such tuples."""
    if batch is None or isinstance(batch, Tensor):
        return batch if batch is None else batch[i : i + 1]
    return type(batch)(*(_rows(part, i) for part in batch))


def _alike(memory: Any, example: Any) -> bool:
    """Whether a state's memory, None where it has none, is made as another one is."""
    if memory is None:
        return True
    if isinstance(example, Tensor):
        return isinstance(memory, Tensor) and memory.shape == example.shape and memory.dtype == example.dtype
    if type(memory) is not type(example) or len(memory) != len(example):
        return False
    return all(_alike(part, other) for part, other in zip(memory, example, strict=True))


def _each(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """A tensor, or all tensors of tuples in tuples, changed; the same value where nothing changes."""
    if isinstance(value, Tensor):
        return change(value)
    if not isinstance(value, tuple):
        return value
    parts = [_each(part, change) for part in value]
    if all(new is old for new, old in zip(parts, value, strict=True)):
        return value
    return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
