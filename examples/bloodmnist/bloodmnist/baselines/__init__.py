"""Baselines: robust rules of the literature, as strategies of Flower's Message API.

Every rule decides by the parameters' deltas alone, update minus global model. What it
does with batch norm's buffers depends on its kind:

- Rules that choose or weigh clients (Krum, Multi-Krum, DnC, geometric median, centered
  clipping) combine the buffers of the clients by the same weights.
- Coordinate-wise rules (trimmed mean, median, Fang's last step) treat buffers like any
  other coordinate, and so does the trimmed mean after NNM, on buffers mixed like the
  parameters.
- Fang's rejection validates whole models, so there buffers have a say.

All of them ignore the number of examples a client claims. Under
`VirtualConsistencyStrategy` a rule sees only the kept updates, yet still resists
``num_malicious`` among these: give it what is left after dropping, or it needs more
clients than there are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch

from bloodmnist.baselines.centered_clipping import CenteredClipping
from bloodmnist.baselines.dnc import dnc
from bloodmnist.baselines.errors import TooFewUpdatesError, UpdateMismatchError
from bloodmnist.baselines.fang import ERROR, LOSS, Validate, fang
from bloodmnist.baselines.geometric_median import geometric_median
from bloodmnist.baselines.krum import krum, multi_krum
from bloodmnist.baselines.median import median
from bloodmnist.baselines.nnm import nnm
from bloodmnist.baselines.strategy import BaselineStrategy, per_coordinate, weighing
from bloodmnist.baselines.trimmed_mean import trimmed_mean

__all__ = [
    "BASELINES",
    "BaselineStrategy",
    "TooFewUpdatesError",
    "UpdateMismatchError",
    "needs_validation",
]


def build_fang(
    name: str,
    measures: Sequence[int],
    *,
    validate: Validate,
    seed: int = 0,
    **options: Any,
) -> BaselineStrategy:
    """Build a strategy that rejects clients by what a validation set says.

    Parameters
    ----------
    name : str
        For the log.
    measures : Sequence of int
        ``LOSS``, ``ERROR`` or both.
    validate : Validate
        Gives loss and error of a state on the server's validation images.
    seed : int
        Breaks ties.
    **options
        As for `BaselineStrategy`.
    """
    generator = torch.Generator().manual_seed(seed)
    rule = partial(fang, measures=measures, validate=validate, generator=generator)
    return BaselineStrategy(name, rule, **options)


def build_dnc(*, seed: int = 0, **options: Any) -> BaselineStrategy:
    """Build a strategy that draws other coordinates every round, by the seed."""
    rule = partial(dnc, generator=torch.Generator().manual_seed(seed))
    return BaselineStrategy("dnc", weighing(rule), **options)


def build_centered_clipping(
    *, radius: float | None = None, **options: Any
) -> BaselineStrategy:
    """Build a strategy that remembers its last aggregate."""
    return BaselineStrategy("centered-clipping", CenteredClipping(radius), **options)


def needs_validation(name: str) -> bool:
    """Tell whether a baseline wants the keyword ``validate``."""
    return name.startswith("fang-")


BASELINES: dict[str, Callable[..., BaselineStrategy]] = {
    "krum": partial(BaselineStrategy, "krum", weighing(krum)),
    "multi-krum": partial(BaselineStrategy, "multi-krum", weighing(multi_krum)),
    "trimmed-mean": partial(
        BaselineStrategy, "trimmed-mean", per_coordinate(trimmed_mean)
    ),
    "median": partial(BaselineStrategy, "median", per_coordinate(median)),
    "fang-union": partial(build_fang, "fang-union", (ERROR, LOSS)),
    "fang-err": partial(build_fang, "fang-err", (ERROR,)),
    "fang-lfr": partial(build_fang, "fang-lfr", (LOSS,)),
    "geometric-median": partial(
        BaselineStrategy, "geometric-median", weighing(geometric_median)
    ),
    "nnm": partial(BaselineStrategy, "nnm", nnm),
    "dnc": build_dnc,
    "centered-clipping": build_centered_clipping,
}
"""Strategies by the name that the run config calls them by."""
