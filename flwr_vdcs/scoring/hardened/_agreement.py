r"""Evidence to agreement: how far each update goes the way that others go.

What counts is not the angle alone but how much of the common way an update goes: each
array's cosine times its norm over the expected one. So an array that is reversed
outweighs honest ones if it is long, and an update that is short goes nowhere.
"""

from collections.abc import Iterator, Mapping

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from flwr_vdcs.scoring.hardened._copies import find_copies
from flwr_vdcs.scoring.hardened._evidence import (
    BUFFERS,
    DIRECTION,
    GROUPS,
    HEAD,
    TINY,
    VECTORS,
    WEIGHTS,
)
from flwr_vdcs.scoring.hardened._likelihood import MAX_RATIO, median
from flwr_vdcs.scoring.hardened._sizes import Sizes

MOMENTUM, ALIGNMENT, EFFECT = "momentum", "alignment", "effect"

CHANNELS = (WEIGHTS, VECTORS, HEAD, MOMENTUM, ALIGNMENT, EFFECT)
"""In what updates are compared.

The arrays of the body and of the head with those of peers, all of them with the global
model's momentum, the head's with the head, and the change of the answers to the virtual
samples with that of peers.
"""

Clients = Float[Tensor, " clients"]
Pairs = Float[Tensor, "clients clients"]


def compare(
    features: Mapping[str, Tensor], sizes: Sizes
) -> tuple[dict[str, Clients], Bool[Tensor, " clients"]]:
    """Measure how far each client goes along, in each channel that there is.

    Returns
    -------
    dict of str to Tensor
        By channel how far each client goes: 1 if all the way, below 0 if against.
    Tensor
        Who is no copy of an earlier client.
    """
    found = list(_groups(features, sizes))
    copies = find_copies(sum((cosines for _, cosines, _ in found), torch.zeros(())))
    channels = {group: _with_peers(along, copies) for group, _, along in found}
    places = features["groups"][0]
    is_parameter = places < GROUPS.index(BUFFERS)
    is_head = places == GROUPS.index(HEAD)
    ways = (sizes.ratios * features[MOMENTUM])[:, is_parameter]
    channels[MOMENTUM] = ways.mean(1)
    channels[ALIGNMENT] = features[ALIGNMENT] * sizes.ratios[:, is_head].mean(1)
    channels[EFFECT] = _with_peers(_effects(features), copies)
    return channels, ~copies.tril(diagonal=-1).any(1)


def _groups(
    features: Mapping[str, Tensor], sizes: Sizes
) -> Iterator[tuple[str, Pairs, Pairs]]:
    """Give of each group the cosines of its arrays, and how far each client goes."""
    places = features["groups"][0]
    for group in (WEIGHTS, VECTORS, HEAD):
        directions = [
            value.double()
            for name, value in features.items()
            if name.startswith(f"{DIRECTION}{group} ")
        ]
        if directions:
            ratios = sizes.ratios[:, places == GROUPS.index(group)].T
            cosines = [rows @ rows.T for rows in directions]
            pairs = zip(ratios, cosines, strict=True)
            along = torch.stack([ratio[:, None] * each for ratio, each in pairs])
            yield group, torch.stack(cosines).sum(0), along.mean(0)


def _effects(features: Mapping[str, Tensor]) -> Pairs:
    norms, effect = features["effect_norm"], features["effect"].double()
    ratios = (norms / norms.quantile(0.5).clamp_min(TINY)).clamp_max(MAX_RATIO)
    return ratios[:, None] * (effect @ effect.T)


def _with_peers(along: Pairs, copies: Bool[Tensor, "clients clients"]) -> Clients:
    """Take the median over the others, of whom copies count once."""
    is_later_copy = copies.tril(diagonal=-1).any(1)
    left = along.masked_fill(copies | is_later_copy, torch.nan)
    return median(left).nan_to_num(0.0)
