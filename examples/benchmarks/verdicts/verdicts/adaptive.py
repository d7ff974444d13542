r"""Attackers who know the scoring of 0.1.0, its tolerances and the honest updates.

They know everything but the seed that the server draws when the updates are in;
`leaked_seed` knows that as well. Buffers are sent as trained.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from bloodmnist.attacks.omniscient import largest_hidden_z
from bloodmnist.attacks.view import AttackerView, deviation
from bloodmnist.model import State
from torch import Tensor

NUM_COORDINATES = 2**14
TOLERANCE = 4.0
"""Of the defence: how many numbers of a layer it looks at, and how long a kept update
may be, in lengths of the median one."""

SHARE_OF_TOLERANCE = 0.95
ALONG = -0.1
"""Cosine with the honest mean: somewhat against it, as far as is tolerated."""

JITTER = 0.5
"""Length of a colluder's own noise, in honest means: copies differ by less."""

LEAKED_SEED = 20


def tolerated_noise(view: AttackerView) -> State:
    r"""Send as much noise as sizes allow, as far against the mean as is tolerated.

    :math:`w_g + r L (c \hat{\bar\Delta} + \sqrt{1 - c^2} \hat z)`, L the median honest
    length and r just within the tolerance of the update's size.
    """
    updates = dict(view.honest_updates())
    means = {name: each.mean(0) for name, each in updates.items()}
    noise = _noise(view, means)
    lengths = sum(each.flatten(1).square().sum(1) for each in updates.values()).sqrt()
    ratio = TOLERANCE**SHARE_OF_TOLERANCE
    length = ratio * float(lengths.median())
    along = length * ALONG / _length(means)
    across = length * (1 - ALONG**2) ** 0.5 / _length(noise)
    return view.send(
        {
            name: view.received[name] + along * mean + across * noise[name]
            for name, mean in means.items()
        }
    )


def jittered_alie(view: AttackerView) -> State:
    r"""Send ALIE's :math:`\bar\Delta - z s` with noise of one's own, to be no copy."""
    z = largest_hidden_z(view.num_clients, view.num_malicious)
    updates = dict(view.honest_updates())
    hidden = {n: each.mean(0) - z * deviation(each) for n, each in updates.items()}
    noise = _noise(view, hidden)
    share = JITTER * _length(hidden) / _length(noise)
    return view.send(
        {n: view.received[n] + value + share * noise[n] for n, value in hidden.items()}
    )


def leaked_seed(view: AttackerView) -> State:
    """Reverse the update wherever the server does not look, and nowhere else.

    The server compares directions on random coordinates of large layers; with the seed
    the attacker repeats the draw.
    """
    generator = torch.Generator().manual_seed(LEAKED_SEED)
    names = list(view.parameter_names)
    body = [n for n in names if not n.startswith(_head(names))]
    weights = [n for n in body if view.received[n].ndim > 1]
    order = [*weights, *(n for n in body if n not in weights)]
    attacked = {}
    for name in (*order, *(n for n in names if n not in body)):
        update = view.update(name).flatten()
        seen = torch.ones_like(update)
        if len(update) > NUM_COORDINATES:
            rows = torch.randint(len(update), (NUM_COORDINATES,), generator=generator)
            seen = -seen
            seen[rows] = 1
        moved = (seen * update).view(view.received[name].shape)
        attacked[name] = view.received[name] + moved
    return view.send(attacked)


def with_the_current(view: AttackerView) -> State:
    """Reverse the update across the momentum and the head, but not along them.

    Every layer is as long as it was and confirms both as much.
    """
    head = _head(list(view.parameter_names)) + "weight"
    attacked = {}
    for name in view.parameter_names:
        kept = [view.momentum[name].double()] if name in view.momentum else []
        if name == head:
            matrix = view.received[name].double()
            kept.append(matrix - matrix.mean(0))
        attacked[name] = view.received[name] + _mirrored(view.update(name), kept)
    return view.send(attacked)


def _mirrored(update: Tensor, kept: list[Tensor]) -> Tensor:
    """Reverse what is orthogonal to some directions."""
    if not kept:
        return -update
    basis = torch.linalg.qr(torch.stack([k.flatten() for k in kept], dim=1)).Q
    along = basis @ (basis.T @ update.flatten())
    return 2 * along.view_as(update) - update


def _head(names: list[str]) -> str:
    return names[-1].rpartition(".")[0] + "."


def _noise(view: AttackerView, like: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {
        name: torch.randn(value.shape, generator=view.generator, dtype=torch.float64)
        * (value.norm() / value.numel() ** 0.5)
        for name, value in like.items()
    }


def _length(values: Mapping[str, Tensor]) -> float:
    return float(sum(value.square().sum() for value in values.values())) ** 0.5
