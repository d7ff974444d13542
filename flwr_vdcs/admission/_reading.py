"""Encoded to state: the arrays of one reply, under the model's names, and their values.

Keys, shapes and encodings are a matter of structure: where most replies have the same
fault there, it is the set-up's. Values are the client's own.
"""

from collections.abc import Collection

import torch
from torch import Tensor

from flwr_vdcs.admission._names import names_by_key
from flwr_vdcs.admission.candidate import Candidate
from flwr_vdcs.admission.global_state import GlobalState
from flwr_vdcs.admission.npy import (
    Encoded,
    State,
    UndecodableArrayError,
    decode,
    is_complex,
    reading_only,
    shape_of,
)
from flwr_vdcs.errors import listed, quoted

QUICK = (torch.float32, torch.float64)
UNSIGNED = (torch.uint16, torch.uint32, torch.uint64)

MAX_MAGNITUDE = 1e15
"""No trained value is larger, and its squares can still be added up in float32."""


class QuarantineError(Exception):
    """Why one update is not admitted."""


def read_arrays(candidate: Candidate) -> None:
    """Decode the arrays of one update, in the global order.

    Raises
    ------
    QuarantineError
        If they are not the arrays that the client was sent.
    """
    arrays, start = candidate.update.arrays, candidate.start
    keys = _keys_in_order(arrays.keys(), start.keys)
    state: dict[str, Tensor] = {}
    with reading_only():
        for key, name in zip(keys, start.names, strict=True):
            state[name] = _decoded(_label(key, name), arrays[key], name, start)
    candidate.keys, candidate.state = keys, state


def check_values(candidate: Candidate) -> None:
    """Look at the numbers of an update that has been read.

    Raises
    ------
    QuarantineError
        If they would not stay finite in the model or in an aggregate.
    """
    start = candidate.start
    for key, (name, tensor) in zip(
        candidate.keys, candidate.state.items(), strict=True
    ):
        _check_finite(_label(key, name), tensor, name, start)
    _check_tied(candidate.state, start)


def is_untrained(candidate: Candidate) -> bool:
    """Tell whether a client sent back what it was sent."""
    start = candidate.start.state
    return all(
        _are_equal(value.to(start[name].dtype), start[name])
        for name, value in candidate.state.items()
        if start[name].is_floating_point()
    )


def _label(key: str, name: str) -> str:
    return f"array {key} ({name})" if key.isdecimal() and key != name else name


def _keys_in_order(
    found: Collection[str], expected: tuple[str, ...]
) -> tuple[str, ...]:
    """Give the client's own keys for the arrays it was sent, in that order."""
    if len(found) == len(expected):
        matched = names_by_key(found, expected)
        if matched is not None:
            own = {meant: key for key, meant in matched.items()}
            return tuple(own[key] for key in expected)
    missing, extra = set(expected).difference(found), set(found).difference(expected)
    raise QuarantineError(
        f"expected {len(expected)} arrays, found {len(found)}"
        + (f"; missing {listed(missing)}" if missing else "")
        + (f"; not in the model {listed(extra)}" if extra else "")
    )


def _decoded(label: str, data: Encoded, name: str, start: GlobalState) -> Tensor:
    """Decode an array of the model's shape; one of another shape is not looked at."""
    expected = start.state[name].shape
    try:
        found, are_pairs = shape_of(data), is_complex(data)
        should_be = name in start.complex_names
        if found != expected or are_pairs != should_be:
            wanted = _described(expected, "shape ", are_pairs=should_be)
            given = _described(found, "real " if should_be else "", are_pairs=are_pairs)
            raise QuarantineError(f"{label}: expected {wanted}, found {given}")
        return decode(data)
    except UndecodableArrayError as error:
        raise QuarantineError(f"{label}: {error}") from error


def _described(shape: tuple[int, ...], kind: str, *, are_pairs: bool) -> str:
    if are_pairs:
        return f"complex {quoted(tuple(shape[:-1]))}"
    return f"{kind}{quoted(tuple(shape))}"


def _check_finite(label: str, tensor: Tensor, name: str, start: GlobalState) -> None:
    """Refuse what would not stay finite in the model or in an aggregate."""
    if not tensor.numel() or _is_surely_small(tensor, name, start):
        return
    values = tensor.double() if tensor.dtype in UNSIGNED else tensor
    low, high = (bound.item() for bound in values.aminmax())
    target, largest = start.state[name].dtype, _largest(name, start)
    least = start.least_variances.get(name, -largest)
    if not (least <= low and high <= largest):
        if _are_equal(tensor.to(target), start.state[name]):
            return  # nothing was changed, as in a mask of -inf
        raise QuarantineError(
            f"{label}: expected finite values from {least:g} to {largest:g}, "
            f"found {low:g} to {high:g}"
        )
    is_fraction = tensor.is_floating_point() and not target.is_floating_point
    if is_fraction and not torch.equal(tensor.round(), tensor):
        raise QuarantineError(f"{label}: expected {target}, found fractions")


def _are_equal(first: Tensor, second: Tensor) -> bool:
    """Compare arrays; what is not a number, as before a calibration, is equal too."""
    if torch.equal(first, second):
        return True
    are_nan = first.isnan() & second.isnan()
    return bool(are_nan.any() and ((first == second) | are_nan).all())


def _is_surely_small(tensor: Tensor, name: str, start: GlobalState) -> bool:
    """Let a small sum of squares prove all values small, in the quickest pass."""
    if tensor.dtype not in QUICK or name in start.least_variances:
        return False
    if not start.state[name].dtype.is_floating_point:
        return False
    flat = tensor.reshape(-1)
    return torch.dot(flat, flat).item() <= _largest(name, start) ** 2


def _largest(name: str, start: GlobalState) -> float:
    """Give the largest magnitude that the model's and the global dtype can hold."""
    dtypes = (start.state[name].dtype, start.model_dtypes[name])
    return min(MAX_MAGNITUDE, *(float(_info(dtype).max) for dtype in dtypes))


def _info(dtype: torch.dtype) -> torch.finfo | torch.iinfo:
    if dtype is torch.bool:
        return torch.iinfo(torch.uint8)
    return torch.finfo(dtype) if dtype.is_floating_point else torch.iinfo(dtype)


def _check_tied(state: State, start: GlobalState) -> None:
    """Refuse two values for one parameter: a client would load either of them."""
    for first, *others in start.tied:
        for name in others:
            if not torch.equal(state[name], state[first]):
                raise QuarantineError(
                    f"{name}: expected the values of {first}, as both are one "
                    "parameter of the model, found others"
                )
