r"""Update to evidence: how far it goes, which way, and what it changes.

Parameters are looked at as deltas, :math:`\Delta_k = w_k - w_g`, layer by layer, so
that a few large layers do not outvote the others.
"""

import math
from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from flwr_vdcs.admission import State
from flwr_vdcs.probe import Probe, RoundContext
from flwr_vdcs.scoring.base import variation

NUM_COORDINATES = 2**14
"""How many numbers of a layer tell its direction: cosines are then off by 0.01."""

LEAST_CLASSES = 3
"""The head of fewer can be confirmed or undone only, which is judged by itself."""

UNMOVED = 1e-6
"""A part that moved by less than this share of its length has not moved."""

TINY = 1e-30

EPSILON = 1e-5
"""Normalisation layers add it to a variance, so less than it does not count."""

SIZES = (
    "update",
    "weights",
    "vectors",
    "head",
    "running statistics",
    "buffers",
    "effect",
)
"""What is measured for its size.

The whole update; outside the head the weights, which are matrices and kernels, and the
vectors, which are biases and scales; the head; the running statistics of normalisation
layers; other buffers; and the change in the model's answers to the virtual samples.
"""


def evidence(
    context: RoundContext, global_state: State, update: State
) -> dict[str, Tensor]:
    """Look at one update.

    Returns
    -------
    dict of str to Tensor
        ``sizes``, float64, the natural logarithms of `SIZES`; ``norm``, float64, how
        long the whole update is; ``direction``, one row
        of unit length per layer, laid end to end and scaled so that the inner product
        of two clients' is the mean cosine over the layers; ``head_direction``, the
        head's delta of unit length, zero for fewer than three classes; ``with_head``,
        the cosine of it with the head. Both are without the mean over the classes, and
        zero where there is no single head matrix; ``with_momentum``, the cosine with
        the global model's momentum, half that of the whole update and half the mean
        over the layers, zero in the first round; ``sensitivity``, how much the change
        in the answers varies with the samples.
    """
    probe = context.probe
    deltas = {n: _delta(update[n], global_state[n]) for n in _floating(global_state)}
    change = context.answers(update) - context.global_answers
    change = change.double().nan_to_num(nan=0.0, posinf=1e30, neginf=-1e30)
    parts, rows = _parts(probe, deltas), _head_rows(probe, deltas)
    moved = {name: _length([deltas[name]]) for part in parts for name in part}
    lengths = [_joint([moved[name] for name in names]) for names in parts]
    floors = [UNMOVED * _length([global_state[n] for n in names]) for names in parts]
    norm = _joint(lengths)
    sizes = [
        *map(_log_size, [norm, *lengths], [_joint(floors), *floors]),
        _log_shift(deltas, global_state),
        _log_moved(_buffers(probe, deltas), deltas, global_state),
        _length([change]).clamp_min(TINY).log(),
    ]
    return {
        "sizes": torch.stack(sizes),
        "norm": norm,
        "direction": _direction(
            [deltas[n] for part in parts for n in part], context.seed
        ),
        "head_direction": _head_direction(rows, context.seed),
        "with_head": _with_head(rows, _head_rows(probe, global_state)),
        "with_momentum": _with_momentum(deltas, moved, context.momentum),
        "sensitivity": variation(change),
    }


def _floating(state: State) -> list[str]:
    return [name for name, tensor in state.items() if tensor.is_floating_point()]


def _delta(value: Tensor, start: Tensor) -> Tensor:
    dtype = torch.promote_types(start.dtype, torch.float32)
    return value.to(dtype) - start.to(dtype)


def _parts(probe: Probe, deltas: State) -> list[list[str]]:
    """Name the parameters of each part: weights, vectors and head."""
    parameters = [name for name in deltas if name in probe.parameter_names]
    head = [name for name in parameters if probe.is_of_head(name)]
    body = [name for name in parameters if not probe.is_of_head(name)]
    weights = [name for name in body if deltas[name].ndim > 1]
    return [weights, [n for n in body if n not in weights], head]


def _log_size(length: Float[Tensor, ""], floor: Float[Tensor, ""]) -> Tensor:
    return torch.maximum(length, floor + TINY).log()


def _length(tensors: list[Tensor]) -> Float[Tensor, ""]:
    return _joint([torch.linalg.vector_norm(tensor).double() for tensor in tensors])


def _joint(lengths: list[Tensor]) -> Float[Tensor, ""]:
    if not lengths:
        return torch.zeros((), dtype=torch.float64)
    total: Tensor = torch.linalg.vector_norm(torch.stack(lengths))
    return total


def _statistics(deltas: State) -> list[tuple[str, str]]:
    """Name the running means and variances of normalisation layers."""
    variances = [n for n in deltas if n.rpartition(".")[2] == "running_var"]
    pairs = [(f"{name.removesuffix('var')}mean", name) for name in variances]
    return [(mean, variance) for mean, variance in pairs if mean in deltas]


def _buffers(probe: Probe, deltas: State) -> list[str]:
    """Name the buffers that are no running statistics. Counters are not among them."""
    known = {name for pair in _statistics(deltas) for name in pair}
    return [n for n in deltas if n in probe.buffer_names and n not in known]


def _log_moved(names: list[str], deltas: State, start: State) -> Float[Tensor, ""]:
    """Measure how far some arrays moved; infinite values, as in masks, stay."""
    moved = [deltas[name].nan_to_num(nan=0.0) for name in names]
    held = [start[name].nan_to_num(neginf=0.0, posinf=0.0) for name in names]
    return _log_size(_length(moved), UNMOVED * _length(held))


def _log_shift(deltas: State, start: State) -> Float[Tensor, ""]:
    """Measure how far running statistics moved, against the deviations they hold."""
    shifts = []
    for mean, name in _statistics(deltas):
        variance = start[name].double() + EPSILON
        shifts += [deltas[name].double() / variance, deltas[mean] / variance.sqrt()]
    num_values = sum(shift.numel() for shift in shifts)
    return _log_size(_length(shifts), torch.tensor(UNMOVED * math.sqrt(num_values)))


def _direction(deltas: list[Tensor], seed: int) -> Float[Tensor, " coordinates"]:
    """Take the same random coordinates of every client, drawn anew every round."""
    generator = torch.Generator().manual_seed(seed)
    rows = [_unit(_some(delta.flatten(), generator)) for delta in deltas]
    joined: Tensor = torch.cat(rows)
    return joined / math.sqrt(len(rows))


def _some(values: Float[Tensor, " n"], generator: torch.Generator) -> Tensor:
    if len(values) <= NUM_COORDINATES:
        return values
    return values[torch.randint(len(values), (NUM_COORDINATES,), generator=generator)]


def _unit(values: Tensor) -> Tensor:
    length = torch.linalg.vector_norm(values, dtype=torch.float64)
    unit: Tensor = values.double() / length.clamp_min(TINY)
    return unit.float()


def _head_rows(probe: Probe, state: State) -> Float[Tensor, "classes inputs"]:
    """Give the head's rows without their mean, or one of zeros where there are none."""
    name = f"{probe.head}.weight"
    if name not in state or state[name].ndim == 1:
        return torch.zeros(1, 1, dtype=torch.float64)
    return _centred(state[name].double().flatten(1))


def _head_direction(
    rows: Float[Tensor, "classes inputs"], seed: int
) -> Float[Tensor, " coordinates"]:
    """Tell what the head is taught: which features it is to take for which class."""
    if len(rows) < LEAST_CLASSES:
        return torch.zeros(1)
    return _unit(_some(rows.flatten(), torch.Generator().manual_seed(seed)))


def _with_head(
    change: Float[Tensor, "classes inputs"], head: Float[Tensor, "classes inputs"]
) -> Float[Tensor, ""]:
    r"""Tell whether the update confirms what the head has learned, or undoes it.

    The rows of the head are virtual features that it takes for each of the classes.
    With the mean over the classes taken out, the inner product of its delta with itself
    is the sum of the changes in the margin with which it does so.
    """
    lengths = _length([change]) * _length([head])
    inner: Tensor = torch.sum(change * head)
    return inner / lengths.clamp_min(TINY)


def _with_momentum(
    deltas: State, moved: Mapping[str, Tensor], momentum: State
) -> Float[Tensor, ""]:
    """Tell whether the update goes on the way that the global model has come.

    Early in training small layers tell more, later the large ones.
    """
    if not momentum:
        return torch.zeros((), dtype=torch.float64)
    products = [_inner(deltas[name], way) for name, way in momentum.items()]
    lengths = [moved[name] for name in momentum]
    ways = [_length([tensor]) for tensor in momentum.values()]
    inner, own, way = (torch.stack(each) for each in (products, lengths, ways))
    by_layer = inner / (own * way).clamp_min(TINY)
    whole = inner.sum() / (_joint(lengths) * _joint(ways)).clamp_min(TINY)
    cosine: Tensor = (by_layer.mean() + whole) / 2
    return cosine.nan_to_num()


def _inner(delta: Tensor, way: Tensor) -> Float[Tensor, ""]:
    """Multiply in the delta's precision: in float64 it would take longer by half."""
    return torch.dot(delta.flatten(), way.flatten().to(delta.dtype)).double()


def _centred(rows: Float[Tensor, "classes inputs"]) -> Tensor:
    return rows - rows.mean(0) if len(rows) > 1 else rows
