"""Global arrays to global state: what a round's updates started from."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from flwr_vdcs.admission.npy import (
    Encoded,
    EncodedArrays,
    State,
    UndecodableArrayError,
    decode,
    reading_only,
)
from flwr_vdcs.errors import ArraysMismatchError, listed


@dataclass(frozen=True)
class GlobalState:
    """The global state at the start of a round, under the model's own names.

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
    """

    keys: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    state: State = field(default_factory=dict)
    model_dtypes: Mapping[str, torch.dtype] = field(default_factory=dict)
    least_variances: Mapping[str, float] = field(default_factory=dict)
    tied: tuple[tuple[str, ...], ...] = ()


def global_state_from(arrays: EncodedArrays, model: nn.Module) -> GlobalState:
    """Match the arrays that the server sends out with the model.

    Arrays may be the model's ``state_dict`` under its own names, or without names
    in its order; in both cases the parameters alone will do.

    Raises
    ------
    ArraysMismatchError
        If they are not arrays of this model.
    """
    keys = tuple(arrays)
    own = model.state_dict()
    names = _names_by_position(keys, model) if _are_positions(keys) else keys
    _check_names(names, own, model)
    with reading_only():
        state = {n: _decoded(n, arrays[k]) for n, k in zip(names, keys, strict=True)}
    for name, tensor in state.items():
        if tensor.shape != own[name].shape:
            raise ArraysMismatchError(
                f"{name} has shape {tuple(own[name].shape)} in the model, "
                f"{tuple(tensor.shape)} in the arrays"
            )
    dtypes = {name: own[name].dtype for name in names}
    least = {n: _least(state[n]) for n in _variances(model) if n in state}
    mended = {n: state[n].clamp_min(0) for n, value in least.items() if value < 0}
    return GlobalState(
        keys, names, {**state, **mended}, dtypes, least, _tied(model, names)
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


def _names_by_position(keys: tuple[str, ...], model: nn.Module) -> tuple[str, ...]:
    candidates = (tuple(model.state_dict()), tuple(dict(model.named_parameters())))
    for names in candidates:
        if len(names) == len(keys):
            return names
    raise ArraysMismatchError(
        f"the model has {len(candidates[0])} arrays in its state_dict, "
        f"{len(candidates[1])} of them parameters, the server sends {len(keys)}"
    )


def _check_names(
    names: tuple[str, ...], own: Mapping[str, Tensor], model: nn.Module
) -> None:
    unknown = set(names) - set(own)
    absent = set(dict(model.named_parameters())) - set(names)
    if unknown:
        raise ArraysMismatchError(f"the model has no {listed(unknown)}")
    if absent:
        raise ArraysMismatchError(f"the arrays lack {listed(absent)}")


def _decoded(name: str, data: Encoded) -> Tensor:
    try:
        return decode(data)
    except UndecodableArrayError as error:
        raise ArraysMismatchError(f"{name}: {error}") from error
