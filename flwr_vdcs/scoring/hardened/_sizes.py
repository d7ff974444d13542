r"""Evidence to sizes: how long updates are, beside what their examples lead to expect.

Who trains on more examples takes more steps and goes further. How much further is the
slope of logarithms of norms on those of claimed numbers of examples, by repeated
medians (Siegel, "Robust regression using repeated medians", 1982), which withstand
nearly half of the clients. Buffers, which follow the data sooner than parameters do,
have a slope of their own. Who has not moved tells nothing of how long updates are.

Honest clients do not finish at the same time. One that is as long as it was when it was
last about as long as expected has not become long: the others have become short.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from flwr_vdcs.scoring.hardened._evidence import BUFFERS, GROUPS, TINY
from flwr_vdcs.scoring.hardened._likelihood import (
    MAX_RATIO,
    estimate_variance,
    log_ratio_gross,
    median,
    others,
    spread_with_classes,
)

LEAST_SPREAD = 0.25
"""Standard deviation of logarithms of honest norms, with very many classes."""

LEAST_DIFFERENCE = 0.1
"""Claims that differ by less, in logarithms, tell no slope."""

Clients = Float[Tensor, " clients"]
Arrays = Float[Tensor, "clients arrays"]


@dataclass(frozen=True)
class Sizes:
    """How long a round's updates are.

    Attributes
    ----------
    ratios
        Norm of each array over the expected one, at most `MAX_RATIO`; 0 where it has
        not moved.
    away
        Logarithm of each array's norm over the expected one.
    excess
        Logarithm of each update's norm over the expected one.
    length
        Logarithm of each update's norm.
    has_moved
        Whether any parameter of a client has.
    """

    ratios: Arrays
    away: Arrays
    excess: Clients
    length: Clients
    has_moved: Bool[Tensor, " clients"]


def measure(features: Mapping[str, Tensor]) -> Sizes:
    """Compare each client's norms with what is expected of it."""
    norms, floors = features["norms"], features["floors"]
    is_buffer = features["groups"][0] == GROUPS.index(BUFFERS)
    claims, has_array_moved = features["num_examples"], norms > floors
    length, has_moved = _length(norms, floors, ~is_buffer)
    growth = _growth(length, has_moved, claims)
    of_buffers = _growth(*_length(norms, floors, is_buffer), claims)
    growths = torch.where(is_buffer, of_buffers[:, None], growth[:, None])
    logs = norms.maximum(floors).log()
    away = _less_typical(logs - growths, has_array_moved)
    return Sizes(
        ratios=torch.where(has_array_moved, away.exp().clamp_max(MAX_RATIO), 0.0),
        away=away,
        excess=_less_typical((length - growth)[:, None], has_moved[:, None])[:, 0],
        length=length,
        has_moved=has_moved,
    )


def find_gross(
    sizes: Sizes, past: Clients, is_peer: Bool[Tensor, " clients"], num_classes: float
) -> Clients:
    """Weigh whether each update is grossly long.

    With few classes one hospital may hold most cases of one of them, and go far where
    the others have little to learn. So the least spread of logarithms of honest norms
    is `LEAST_SPREAD` + 1 / (C - 1). Nobody is gross by more than it has grown since it
    was last about as long as expected.

    Parameters
    ----------
    past
        What `usual_length` noted before; 0 for clients of whom nothing is.
    is_peer
        Who counts among the others.
    num_classes
        C, at least two.
    """
    least = spread_with_classes(LEAST_SPREAD, num_classes) ** 2
    peers = others(sizes.excess, is_peer & sizes.has_moved)
    variance = estimate_variance(peers, least).clamp_min(least)
    longer = torch.where(past != 0, sizes.length - past, torch.inf).clamp_min(0)
    return log_ratio_gross(sizes.excess.minimum(longer), variance)


def unclipped_shares(sizes: Sizes, past: Clients) -> Arrays:
    """Tell how much of each array is left by clipping it: 1 if all.

    It may have `MAX_RATIO` times the expected norm, or as many times as the client's
    update would have if it were what it was when it was last about as long as expected.

    Parameters
    ----------
    past
        What `usual_length` noted before; 0 for clients of whom nothing is.
    """
    expected = sizes.length - sizes.excess
    limit = torch.where(past != 0, past - expected, 0.0).clamp_min(math.log(MAX_RATIO))
    return (limit[:, None] - sizes.away).clamp_max(0).exp()


def usual_length(sizes: Sizes, past: Clients) -> Clients:
    """Note how long an update was when it was last about as long as is expected."""
    is_usual = (sizes.excess < math.log(MAX_RATIO)) & sizes.has_moved
    return torch.where(is_usual, sizes.length, past)


def slope(x: Clients, y: Clients) -> Float[Tensor, ""]:
    """Fit a line by repeated medians, and keep its slope between 0 and 1."""
    run, rise = x[:, None] - x, y[:, None] - y
    slopes = torch.where(run.abs() > LEAST_DIFFERENCE, rise / run, torch.nan)
    typical = median(median(slopes))
    return typical.nan_to_num(0.0).clamp(0, 1)


def _length(
    norms: Arrays, floors: Arrays, chosen: Bool[Tensor, " arrays"]
) -> tuple[Clients, Bool[Tensor, " clients"]]:
    """Give the logarithm of the joint norm of some arrays, and whether any moved."""
    joint, floor = _joint(norms, chosen), _joint(floors, chosen)
    return joint.maximum(floor).log(), joint > floor


def _joint(norms: Arrays, chosen: Bool[Tensor, " arrays"]) -> Clients:
    joint: Tensor = norms[:, chosen].square().sum(1).sqrt() + TINY
    return joint


def _growth(
    lengths: Clients, has_moved: Bool[Tensor, " clients"], claims: Clients
) -> Clients:
    """Give by how much longer each update is expected to be for its examples.

    Who claims none counts as if it claimed what is typical.
    """
    logs = claims.log()
    is_known = logs.isfinite()
    typical = logs.masked_fill(~is_known, torch.nan).nanquantile(0.5).nan_to_num(0.0)
    logs = torch.where(is_known, logs, typical)
    return slope(logs, lengths.masked_fill(~has_moved, torch.nan)) * logs


def _less_typical(logs: Arrays, has_moved: Bool[Tensor, "clients arrays"]) -> Arrays:
    """Take the median of those who moved from each; nothing if nobody did."""
    typical = median(logs.masked_fill(~has_moved, torch.nan).T)
    return torch.where(typical.isfinite(), logs - typical, 0.0)
