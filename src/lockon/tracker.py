"""The one flow: frame, crop, network, resolve, result; for one target or many.

The network is pure and batched, the state of a target is one explicit value. A model file supplies the network and
the paper's online rules; this file runs them and knows no paper.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from lockon.boxes import Box, Polygon, check_box
from lockon.crops import BLACK, CropSpec, Patch, Window, crop, mean_colour
from lockon.errors import BoxError
from lockon.pictures import as_rgb


@dataclass(frozen=True)
class Result:
    """Where a target is in one frame.

    Attributes:
        box: x, y, w, h in frame pixels.
        score: how sure the tracker is, 0 to 1; what it measures is the model's own (see its docstring).
        found: false where the model takes the target to be out of view; ``box`` is then the last place searched.
        mask: (height, width) bool of the frame's size, from models that segment, else None.
        polygon: the corners x, y of a rotated box in frame pixels, from models that segment, else None.
        times: milliseconds spent in "crop", "network" and "resolve" for the whole frame (all targets together).
    """

    box: Box
    score: float
    found: bool
    mask: np.ndarray | None = field(default=None, compare=False)
    polygon: Polygon | None = None
    times: dict[str, float] = field(default_factory=dict, compare=False)


@dataclass(frozen=True)
class State:
    """Everything that changes per target: nothing else remembers anything.

    Attributes:
        box: x, y, w, h in frame pixels: the next frame is searched around it.
        memory: what the network reads of the target: a named tuple of tensors with a batch dimension of 1.
        frame: frames since the first.
        refresh: the model asks for a new template, cut around ``box`` from the frame just seen.
        border: RGB that crops have outside the frame.
        past: what else the model keeps, for its own rules alone.
    """

    box: Box
    memory: Any
    frame: int = 0
    refresh: bool = False
    border: tuple[float, float, float] = BLACK
    past: tuple[Any, ...] = ()


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


Boxes = Sequence[float] | Sequence[Sequence[float]] | np.ndarray | Tensor


class Tracker:
    """Follows one or several targets through frames, with OpenCV's habit: ``init``, then ``update`` per frame.

    Example:
        >>> tracker = lockon.load("stark-tiny")
        >>> tracker.init(frames[0], (x, y, w, h))
        >>> for frame in frames[1:]:
        ...     result = tracker.update(frame)
    """

    def __init__(self, model: TrackingModel, device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)
        self.model = model.to(self.device).eval()
        self.states: list[State] = []
        self._single = False

    def init(self, frame: Any, boxes: Boxes) -> Result | list[Result]:
        """Starts on a frame.

        Args:
            frame: (height, width, 3) uint8 RGB array or tensor; grey, 16-bit and alpha images are converted.
            boxes: one x, y, w, h in pixels, or several: nested sequences, or an array or tensor (4,) or (N, 4).

        Returns:
            The given box as a result, or a list of them.

        Raises:
            BoxError: a box that is not four finite numbers, has no area or lies outside the frame.
            SourceError: something that is not an image.
        """
        image = as_rgb(frame)
        given, self._single = _box_list(boxes)
        return self._take(self.start([image] * len(given), given))

    def update(self, frame: Any) -> Result | list[Result]:
        """Finds the targets in the next frame, all in one batched forward.

        Returns:
            A result, or a list of them in the order of the boxes given to ``init``.

        Raises:
            BoxError: called before ``init``.
            SourceError: something that is not an image.
        """
        if not self.states:
            raise BoxError("update() was called before init(): give the tracker a first frame and a box")
        image = as_rgb(frame)
        return self._take(self.step([image] * len(self.states), self.states))

    def _take(self, advanced: Sequence[tuple[State, Result]]) -> Result | list[Result]:
        self.states = [state for state, _ in advanced]
        results = [result for _, result in advanced]
        return results[0] if self._single else results

    @torch.inference_mode()
    def start(self, frames: Sequence[np.ndarray], boxes: Sequence[Sequence[float]]) -> list[tuple[State, Result]]:
        """States of targets, each in a frame of its own, and the given boxes as results; ``init`` without a memory.

        Args:
            frames: (height, width, 3) uint8 RGB, the frame of each target; sizes may differ.
            boxes: x, y, w, h in pixels, as many.

        Raises:
            BoxError: as ``init``.
        """
        checked = [check_box(box, f.shape[1], f.shape[0]) for box, f in zip(boxes, frames, strict=True)]
        begin = time.perf_counter()
        borders = [mean_colour(f) if self.model.search_crop.border == "mean" else BLACK for f in frames]
        states = [State(box, None, border=border) for box, border in zip(checked, borders, strict=True)]
        templates = self._memorize(frames, states)
        times = {"crop": 0.0, "network": 1000 * (time.perf_counter() - begin), "resolve": 0.0}
        return [
            (replace(state, memory=self.model.remember(None, template)), Result(state.box, 1.0, True, times=times))
            for state, template in zip(states, templates, strict=True)
        ]

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
        images, padding = self._batch(patches)
        cropped = time.perf_counter()
        prediction = self.model(images, padding, _stack([state.memory for state in states]))
        prediction = type(prediction)(*(x.cpu() if isinstance(x, Tensor) else x for x in prediction))
        computed = time.perf_counter()
        resolved = self._resolve(prediction, [p.window for p in patches], states, [f.shape[1::-1] for f in frames])
        following = self._refresh(frames, [state for state, _ in resolved])
        end = time.perf_counter()
        times = {"crop": cropped - begin, "network": computed - cropped, "resolve": end - computed}
        times = {stage: 1000 * seconds for stage, seconds in times.items()}
        return [(state, replace(r, times=times)) for state, (_, r) in zip(following, resolved, strict=True)]

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
        """A template of each state's box, computed in one batch."""
        pairs = zip(frames, states, strict=True)
        patches = [crop(frame, state.box, self.model.template_crop, state.border) for frame, state in pairs]
        boxes = [patch.window.to_patch(state.box) for patch, state in zip(patches, states, strict=True)]
        memory = self.model.memorize(*self._batch(patches), torch.tensor(boxes, device=self.device))
        return [_rows(memory, i) for i in range(len(states))]

    def _refresh(self, frames: Sequence[np.ndarray], states: list[State]) -> list[State]:
        """The states, those that asked for it with a new template from their frame."""
        due = [i for i, state in enumerate(states) if state.refresh]
        templates = self._memorize([frames[i] for i in due], [states[i] for i in due]) if due else []
        for i, template in zip(due, templates, strict=True):
            memory = self.model.remember(states[i].memory, template)
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


def _box_list(boxes: Boxes) -> tuple[list[Sequence[float]], bool]:
    """One box or several, as a list and whether it was one."""
    rows: list[Any] = boxes.tolist() if isinstance(boxes, (np.ndarray, Tensor)) else list(boxes)
    if not rows:
        raise BoxError("no box was given; a box is x, y, w, h in pixels")
    single = not isinstance(rows[0], Iterable) or isinstance(rows[0], str)
    return ([rows] if single else rows), single
