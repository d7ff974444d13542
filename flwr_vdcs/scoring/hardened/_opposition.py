r"""Sums to opposition: whether a client works against the others, and how surely.

A client's share :math:`\beta` is how far it has gone along over how far its peers
have. It is looked at over all channels, for the weights of the body and for the head.

Honest clients have shares of 1, give or take. How much they differ is assumed to be the
more the fewer classes C there are, :math:`\sigma_0 = 0.4 + 1/(C - 1)`: with many, most
of what is learned is alike, while with two a hospital of many cases pulls the model the
other way than one of few. However alike most are, a few may hold what these lack, so
1/(C - 1) is the least that is estimated. And where clients have little in common, the
same differences between them are a larger share of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from flwr_vdcs.scoring.hardened._agreement import ALIGNMENT, CHANNELS
from flwr_vdcs.scoring.hardened._evidence import HEAD, WEIGHTS
from flwr_vdcs.scoring.hardened._likelihood import (
    AGAINST,
    MAX_RATIO,
    estimate_variance,
    log_ratio_against,
    median,
    others,
    spread_with_classes,
)
from flwr_vdcs.scoring.hardened._sums import Sums

PRIOR_SPREAD = 0.4
"""Standard deviation that is assumed of honest shares, with very many classes."""

PRIOR_DIFFERENCE = 0.04
"""Standard deviation that is assumed of honest clients' agreement, for good."""

WHOLE = "whole"

WAYS: Mapping[str, tuple[str, ...]] = {
    WHOLE: CHANNELS,
    WEIGHTS: (WEIGHTS,),
    HEAD: (HEAD, ALIGNMENT),
}
"""Where a client may work against the others, and by which channels it is told."""

TINY = 1e-12

Clients = Float[Tensor, " clients"]
Channels = Float[Tensor, "channels clients"]


@dataclass(frozen=True)
class Opposition:
    """Whether each client works against the others in one way.

    Attributes
    ----------
    share
        How far it goes along, in shares of what its peers do; 0 if it cannot be told.
    log_ratio
        Log-likelihood ratio of "against" to "along"; 0 if it cannot be told.
    most
        What it would be for a client that goes against the others all the way.
    """

    share: Clients
    log_ratio: Clients
    most: Clients


def find_opposition(
    sums: Sums, is_peer: Bool[Tensor, " clients"], num_classes: float
) -> dict[str, Opposition]:
    """Weigh for each client in each of `WAYS` whether it works against the others."""
    prior = spread_with_classes(PRIOR_SPREAD, num_classes) ** 2
    least = spread_with_classes(0.0, num_classes) ** 2
    return {way: _weigh(way, sums, is_peer, prior, least) for way in WAYS}


def _weigh(
    way: str, sums: Sums, is_peer: Bool[Tensor, " clients"], prior: float, least: float
) -> Opposition:
    places = [CHANNELS.index(name) for name in WAYS[way]]
    gained, possible = sums.gained[places], sums.possible[places]
    total = possible.sum(0)
    share = torch.where(total > TINY, gained.sum(0) / total.clamp_min(TINY), 0.0)
    peers = others(share, is_peer & (total > TINY))
    common = median(peers).nan_to_num(0.0)
    is_known = (total > TINY) & (common > TINY)
    common = common.clamp_min(TINY)
    noise = _noise(possible, sums.seen[places]) / common.square()
    lasting = PRIOR_DIFFERENCE**2 / _typical_square(possible, sums, places)
    assumed = prior + noise + lasting
    variance = estimate_variance(peers / common[:, None], assumed).clamp_min(least)
    if way == WHOLE:
        variance = variance + _disagreement(gained, possible) / common.square()
    share = torch.where(is_known, share / common, 0.0)
    ratio, most = (
        torch.where(is_known, log_ratio_against(each, variance), 0.0)
        for each in (share, torch.full_like(share, AGAINST - 1))
    )
    return Opposition(share, ratio, most)


def _noise(possible: Channels, seen: Channels) -> Clients:
    """Give the variance of a share that is chance.

    As channels depend on each other, together they tell as much as the best of them.
    """
    best = seen.amax(0).clamp_min(TINY)
    return seen.sum(0).square() / best / possible.sum(0).square().clamp_min(TINY)


def _typical_square(possible: Channels, sums: Sums, places: list[int]) -> Clients:
    """Give the mean square of how far the median client goes along, without chance.

    Channels count by how much they tell.
    """
    told = possible.clamp_min(0)
    squares = told * sums.spread[places] / sums.rounds.square()
    mean: Tensor = (told * squares).sum(0) / told.sum(0).clamp_min(TINY)
    return mean.clamp_min(TINY)


def _disagreement(gained: Channels, possible: Channels) -> Clients:
    """Give the variance of a client's mean share, as its channels differ.

    Who works against the others does so in all of them. A hospital with other patients
    differs in some.
    """
    is_known = possible > TINY
    each = torch.where(is_known, gained / possible.clamp_min(TINY), 0.0)
    each = each.clamp(-MAX_RATIO, MAX_RATIO)
    weight = torch.where(is_known, possible, 0.0)
    weight = weight / weight.sum(0).clamp_min(TINY)
    mean = (weight * each).sum(0)
    scatter = (weight * (each - mean).square()).sum(0)
    return scatter / is_known.sum(0).clamp_min(1)
