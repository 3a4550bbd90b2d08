"""The papers' training pairs, drawn as their official code draws them: frames, crops, light, targets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lockon.data.papers.common import PaperSampler
from lockon.data.papers.siamattn import SiamattnPairs, SiamattnSampler
from lockon.data.papers.sparsett import SparsettPairs, SparsettSampler
from lockon.data.papers.stark import StarkPairs, StarkSampler
from lockon.data.sources import Source, read_sources
from lockon.errors import DataError
from lockon.tracker import TrackingModel

__all__ = ["PaperPairs", "SiamattnPairs", "SparsettPairs", "StarkPairs", "paper_sampler", "read_pairs"]

PaperPairs = StarkPairs | SparsettPairs | SiamattnPairs


def read_pairs(config: PaperPairs, data: Mapping[str, Sequence[str]], model: TrackingModel) -> PaperSampler:
    """The pairs of a paper for a model's crops, from the data sets of its mix.

    Args:
        data: paths by name of the data set. Of a data set whose part is not named (``got10k=PATH``), the part that the
            mix names is read.

    Raises:
        DataError: a data set of the mix is not given, or one that is not in it, or cannot be read.
    """
    parts = {name.partition(":")[0]: name for name in config.mix}
    given = {name.partition(":")[0] for name in data}
    how = f"give NAME=PATH of each of {', '.join(parts)}, or another mix with --set data.mix=NAME:SHARE,..."
    if parts.keys() - given:
        raise DataError(f"this recipe's mix has no data for {', '.join(sorted(parts.keys() - given))}: {how}")
    if given - parts.keys():
        raise DataError(f"{', '.join(sorted(given - parts.keys()))}: not in this recipe's mix; {how}")
    return paper_sampler(config, read_sources({parts.get(name, name): data[name] for name in data}), model)


def paper_sampler(config: PaperPairs, sources: Sequence[Source], model: TrackingModel) -> PaperSampler:
    """What draws a paper's pairs from the data sets of its mix for a model's crops."""
    crops = model.template_crop, model.search_crop
    if isinstance(config, SparsettPairs):
        return SparsettSampler(sources, config, *crops)
    if isinstance(config, SiamattnPairs):
        return SiamattnSampler(sources, config, *crops, masks=model.segments)
    return StarkSampler(sources, config, *crops, templates=getattr(model.config, "templates", 1))
