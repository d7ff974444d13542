r"""Update to evidence: how far each array goes, which way, and what it changes.

Arrays are looked at as deltas, :math:`\Delta_k = w_k - w_g`, one by one, so that a few
large arrays do not outvote the others.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from flwr_vdcs.admission import State
from flwr_vdcs.probe import Probe, RoundContext
from flwr_vdcs.scoring.base import variation

NUM_COORDINATES = 2**14
"""How many numbers of an array tell its direction: cosines are then off by 0.01."""

LEAST_CLASSES = 3
"""The head of fewer can be confirmed or undone only."""

UNMOVED = 1e-6
"""An array that moved by less than this share of its norm has not moved."""

TINY = 1e-30

WEIGHTS, VECTORS, HEAD, BUFFERS = "weights", "vectors", "head", "buffers"

GROUPS = (WEIGHTS, VECTORS, HEAD, BUFFERS)

DIRECTION = "direction "
"""How the names of directions begin; the group's name follows, then the array's."""


def evidence(
    context: RoundContext, global_state: State, update: State
) -> dict[str, Tensor]:
    """Look at one update.

    Groups are the body's ``weights``, which are matrices and kernels, its ``vectors``,
    which are biases and scales, the ``head``, and ``buffers``.

    Returns
    -------
    dict of str to Tensor
        ``norms`` and ``floors``, float64, of each floating-point array in the order of
        the global state: how far it moved, and below what it has not moved;
        ``groups``, the place of each array's group in `GROUPS`; ``direction`` followed
        by group and name, the unit delta of a parameter, on at most `NUM_COORDINATES`
        of its numbers; ``momentum``, of each array the cosine with the global model's
        momentum, zero in the first round and for buffers; ``alignment``, the cosine of
        the head's delta with the head, without the mean over the classes, zero where
        there is no single head matrix, or it does not travel; ``classes``, how many
        rows that matrix has, one where there is none; ``effect``, the unit change of
        the answers to the virtual samples, and ``effect_norm``, how large it is;
        ``sensitivity``, how much it varies with the samples.
    """
    probe = context.probe
    names = [n for n, start in global_state.items() if start.is_floating_point()]
    deltas = {name: _delta(update[name], global_state[name]) for name in names}
    change = context.answers(update) - context.global_answers
    change = change.double().nan_to_num(nan=0.0, posinf=1e30, neginf=-1e30)
    groups = [_group(probe, name, deltas[name]) for name in names]
    norms = torch.stack([_norm(deltas[name]) for name in names])
    floors = [UNMOVED * _norm(global_state[name]) for name in names]
    return {
        "norms": norms,
        "floors": torch.stack(floors) + TINY,
        "groups": torch.tensor([GROUPS.index(group) for group in groups]),
        **_directions(deltas, groups, context.seed),
        "momentum": _with_momentum(deltas, norms, context.momentum),
        "alignment": _alignment(probe, global_state, update),
        "classes": torch.tensor(float(probe.num_classes), dtype=torch.float64),
        "effect": _unit(_some(change.flatten(), _generator(context.seed))),
        "effect_norm": _norm(change),
        "sensitivity": variation(change),
    }


def _delta(value: Tensor, start: Tensor) -> Tensor:
    """Subtract in at least single precision; what is infinite, as in masks, stays."""
    dtype = torch.promote_types(start.dtype, torch.float32)
    delta = value.to(dtype) - start.to(dtype)
    return delta.nan_to_num(nan=0.0)


def _group(probe: Probe, name: str, delta: Tensor) -> str:
    if name not in probe.parameter_names:
        return BUFFERS
    if probe.is_of_head(name):
        return HEAD
    return WEIGHTS if delta.ndim > 1 else VECTORS


def _norm(values: Tensor) -> Float[Tensor, ""]:
    norm: Tensor = torch.linalg.vector_norm(values.nan_to_num(posinf=0.0, neginf=0.0))
    return norm.double()


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _directions(
    deltas: State, groups: list[str], seed: int
) -> dict[str, Float[Tensor, " coordinates"]]:
    """Take the same random coordinates of every client, drawn anew every round."""
    generator = _generator(seed)
    return {
        f"{DIRECTION}{group} {name}": _unit(_some(delta.flatten(), generator))
        for (name, delta), group in zip(deltas.items(), groups, strict=True)
        if group != BUFFERS
    }


def _some(values: Float[Tensor, " n"], generator: torch.Generator) -> Tensor:
    if len(values) <= NUM_COORDINATES:
        return values
    return values[torch.randint(len(values), (NUM_COORDINATES,), generator=generator)]


def _unit(values: Tensor) -> Tensor:
    length = torch.linalg.vector_norm(values, dtype=torch.float64)
    unit: Tensor = values.double() / length.clamp_min(TINY)
    return unit.float()


def _alignment(probe: Probe, global_state: State, update: State) -> Float[Tensor, ""]:
    r"""Tell whether the update confirms what the head has learned, or undoes it.

    The rows of the head are virtual features that it takes for each of the classes.
    With the mean over the classes taken out, the inner product of its delta with itself
    is the sum of the changes in the margin with which it does so.
    """
    start, end = probe.head_weight(global_state), probe.head_weight(update)
    if start is None or end is None or len(start) < LEAST_CLASSES:
        return torch.zeros((), dtype=torch.float64)
    change, head = _centred(_delta(end, start)), _centred(start)
    inner: Tensor = torch.sum(change * head)
    return inner / (_norm(change) * _norm(head)).clamp_min(TINY)


def _centred(
    weight: Float[Tensor, "classes ..."],
) -> Float[Tensor, "classes inputs"]:
    """Give the rows without their mean."""
    rows = weight.double().flatten(1)
    return rows - rows.mean(0)


def _with_momentum(
    deltas: State, norms: Float[Tensor, " arrays"], momentum: State
) -> Float[Tensor, " arrays"]:
    """Tell which arrays go on the way that the global model has come."""
    cosines = torch.zeros_like(norms)
    for place, (name, delta) in enumerate(deltas.items()):
        if name in momentum:
            way = momentum[name]
            lengths = norms[place] * _norm(way)
            cosines[place] = _inner(delta, way) / lengths.clamp_min(TINY)
    return cosines.nan_to_num()


def _inner(delta: Tensor, way: Tensor) -> Float[Tensor, ""]:
    """Multiply in the delta's precision: in float64 it would take longer by half."""
    return torch.dot(delta.flatten(), way.flatten().to(delta.dtype)).double()
