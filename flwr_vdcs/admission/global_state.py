"""Global arrays to global state: what a round's updates started from."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from flwr_vdcs.admission._names import names_by_key, names_by_place
from flwr_vdcs.admission.npy import (
    Encoded,
    EncodedArrays,
    State,
    UndecodableArrayError,
    as_real,
    decode,
    reading_only,
)
from flwr_vdcs.errors import ArraysMismatchError, listed


@dataclass(frozen=True)
class GlobalState:
    """The global state at the start of a round, under the model's own names.

    It may be any part of the model's state. Complex arrays are pairs of real numbers,
    along one more axis.

    Attributes
    ----------
    keys
        The keys that the arrays travel under, in their order.
    names
        The model's name of each of them.
    state
        The arrays by name, viewed without copying; variances below zero are zero.
    model_dtypes
        The model's own dtype of each; an aggregate may have another one.
    least_variances
        The least value that each running variance may have: zero, or the global one
        where an optimiser of the server has pushed that below.
    tied
        Names of arrays that are one and the same parameter in the model.
    complex_names
        Names of the complex arrays.
    """

    keys: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    state: State = field(default_factory=dict)
    model_dtypes: Mapping[str, torch.dtype] = field(default_factory=dict)
    least_variances: Mapping[str, float] = field(default_factory=dict)
    tied: tuple[tuple[str, ...], ...] = ()
    complex_names: frozenset[str] = frozenset()


def array_not_finite(aggregate: EncodedArrays, start: GlobalState) -> str:
    """Name an array of an aggregate that is not finite where the model was.

    Parameters
    ----------
    aggregate
        What a strategy made of a round, under the keys that travel.
    start
        The global state of that round.

    Returns
    -------
    str
        The key; empty if there is none.
    """
    names = dict(zip(start.keys, start.names, strict=True))
    with reading_only():
        for key, data in aggregate.items():
            before = start.state.get(names.get(key, ""))
            if _has_become_infinite(data, before):
                return key
    return ""


def _has_become_infinite(data: Encoded, before: Tensor | None) -> bool:
    try:
        lost = ~decode(data).isfinite()
    except UndecodableArrayError:
        return False
    if before is not None and before.shape == lost.shape:
        lost &= before.isfinite()
    return bool(lost.any())


def global_state_from(arrays: EncodedArrays, model: nn.Module) -> GlobalState:
    """Match the arrays that the server sends out with the model.

    Arrays may be any part of the model's ``state_dict``, by name or as a list in its
    order. Names may have the words that wrappers add, or lack those of adapters.

    Raises
    ------
    ArraysMismatchError
        If they are not arrays of this model.
    """
    own, keys = model.state_dict(), tuple(arrays)
    with reading_only():
        tensors = {key: _decoded(key, data) for key, data in arrays.items()}
    names = _names(tensors, model)
    state = dict(zip(names, tensors.values(), strict=True))
    for name, tensor in state.items():
        expected = as_real(own[name]).shape
        if tensor.shape != expected:
            raise ArraysMismatchError(
                f"{name} has shape {tuple(expected)} in the model, "
                f"{tuple(tensor.shape)} in the arrays"
            )
    least = {n: _least(state[n]) for n in _variances(model) if n in state}
    mended = {n: state[n].clamp_min(0) for n, value in least.items() if value < 0}
    return GlobalState(
        keys,
        names,
        {**state, **mended},
        {name: own[name].dtype.to_real() for name in names},
        least,
        _tied(model, names),
        frozenset(name for name in names if own[name].is_complex()),
    )


def global_states_from(
    sent: Sequence[EncodedArrays], model: nn.Module
) -> tuple[GlobalState, list[GlobalState]]:
    """Read what each client was sent, equal arrays once, and find the most common.

    Raises
    ------
    ArraysMismatchError
        If they are not arrays of this model, or clients were sent different keys.
    """
    distinct: list[EncodedArrays] = []
    places = []
    for arrays in sent:
        if not any(arrays is each or arrays == each for each in distinct):
            distinct.append(arrays)
        places.append(distinct.index(arrays))
    states = [global_state_from(arrays, model) for arrays in distinct]
    [(most, _)] = Counter(places).most_common(1)
    if any(state.keys != states[most].keys for state in states):
        raise ArraysMismatchError("clients of one round were sent different keys")
    return states[most], [states[place] for place in places]


def parameters_by_names(model: nn.Module) -> list[tuple[tuple[str, ...], Tensor]]:
    """Give each parameter with all its names."""
    named = list(model.named_parameters(remove_duplicate=False))
    names: dict[Tensor, list[str]] = {parameter: [] for _, parameter in named}
    for name, parameter in named:
        names[parameter].append(name)
    return [(tuple(known_as), parameter) for parameter, known_as in names.items()]


def _tied(model: nn.Module, names: Collection[str]) -> tuple[tuple[str, ...], ...]:
    """Find the arrays that share a parameter."""
    sharing = (
        tuple(name for name in known_as if name in names)
        for known_as, _ in parameters_by_names(model)
    )
    return tuple(group for group in sharing if len(group) > 1)


def _variances(model: nn.Module) -> list[str]:
    return [
        f"{name}.running_var" if name else "running_var"
        for name, module in model.named_modules()
        if isinstance(module, _NormBase)
    ]


def _least(variance: Tensor) -> float:
    lowest: float = variance.min().item() if variance.numel() else 0.0
    return min(0.0, lowest)


def _are_positions(keys: tuple[str, ...]) -> bool:
    return keys == tuple(str(place) for place in range(len(keys)))


def _names(tensors: State, model: nn.Module) -> tuple[str, ...]:
    """Find out which of the model's arrays these are."""
    if _are_positions(tuple(tensors)):
        shapes = [tensor.shape for tensor in tensors.values()]
        names = names_by_place(shapes, model)
        if names is None:
            raise ArraysMismatchError(_unplaced(shapes, model))
        return names
    own = model.state_dict()
    found = names_by_key(tensors.keys(), own.keys())
    if found is None:
        raise ArraysMismatchError(f"the model has no {listed(set(tensors) - set(own))}")
    return tuple(found.values())


def _unplaced(shapes: Sequence[torch.Size], model: nn.Module) -> str:
    num_arrays, num_parameters = len(model.state_dict()), len([*model.parameters()])
    return (
        f"the model has {num_arrays} arrays in its state_dict, {num_parameters} of "
        f"them parameters, the server sends {len(shapes)} without names, and their "
        "shapes do not tell which of the model's they are"
    )


def _decoded(name: str, data: Encoded) -> Tensor:
    try:
        return decode(data)
    except UndecodableArrayError as error:
        raise ArraysMismatchError(f"{name}: {error}") from error
