"""Updates to admitted: what can be aggregated goes on, the rest is quarantined."""

from collections import Counter
from collections.abc import Iterable, KeysView, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from numbers import Real
from statistics import median
from typing import TypeGuard

import torch
from torch import Tensor

from flwr_vdcs.arrays import State, UndecodableArrayError, decode, reading_only
from flwr_vdcs.errors import listed, quoted
from flwr_vdcs.reference import EncodedArrays, Reference
from flwr_vdcs.updates import Update

MAX_WEIGHT_RATIO = 1_000
"""A client may claim that many times the examples of the round's median client."""


@dataclass(frozen=True)
class Admission:
    """What became of each update, by its place in the round.

    Attributes
    ----------
    states
        The admitted updates as tensors, in the global order and dtype.
    normalised
        Those of them whose order or dtype had to be changed for it.
    quarantined
        Why the others are not admitted.
    """

    states: Mapping[int, State]
    normalised: frozenset[int]
    quarantined: Mapping[int, str]


class QuarantineError(Exception):
    """Why one update is not admitted."""


def admit(updates: Sequence[Update], reference: Reference) -> Admission:
    """Sort the updates of a round into admitted and quarantined.

    Parameters
    ----------
    updates
        One update for each reply, in the order of the replies.
    reference
        The global state that they should be updates of.
    """
    quarantined = refused_claims(updates)
    states: dict[int, State] = {}
    normalised: set[int] = set()
    for place, update in enumerate(updates):
        if place in quarantined:
            continue
        try:
            states[place], changed = _read_state(update.arrays, reference)
        except QuarantineError as reason:
            quarantined[place] = str(reason)
            continue
        if changed:
            normalised.add(place)
    return Admission(states, frozenset(normalised), quarantined)


def refused_claims(updates: Sequence[Update]) -> dict[int, str]:
    """Refuse replies for what they claim besides their arrays, by their place."""
    first = {update.client_id: update for update in reversed(updates)}
    sound = [update for update in first.values() if not update.defect]
    weights = [u.num_examples for u in sound if _is_weight(u.num_examples)]
    typical_weight = median(weights) if weights else 0.0
    typical_layout = _most_common(update.layout for update in sound)
    seen: set[str] = set()
    refused: dict[int, str] = {}
    for place, update in enumerate(updates):
        reason = (
            update.defect
            or _repeated(update.client_id, seen)
            or _implausible(update.num_examples, typical_weight)
            or _unlike(update.layout, typical_layout)
        )
        seen.add(update.client_id)
        if reason:
            refused[place] = reason
    return refused


def _repeated(client_id: str, seen: set[str]) -> str:
    return "this client has answered already" if client_id in seen else ""


def _implausible(weight: object, typical: float) -> str:
    if weight is None:
        return ""
    if not _is_weight(weight):
        return f"num-examples: expected a positive number, found {quoted(weight)}"
    if weight > MAX_WEIGHT_RATIO * typical:
        return (
            f"num-examples: expected at most {MAX_WEIGHT_RATIO} times the median "
            f"{typical:g}, found {quoted(weight)}"
        )
    return ""


def _unlike(layout: frozenset[str], typical: frozenset[str]) -> str:
    missing, extra = typical - layout, layout - typical
    if not missing and not extra:
        return ""
    return (
        "records or metrics unlike the majority's"
        + (f"; missing {listed(missing)}" if missing else "")
        + (f"; not theirs {listed(extra)}" if extra else "")
    )


def _is_weight(weight: object) -> TypeGuard[float]:
    if isinstance(weight, bool) or not isinstance(weight, Real):
        return False
    try:
        return 0 < float(weight) < inf
    except OverflowError:
        return False


def _most_common(layouts: Iterable[frozenset[str]]) -> frozenset[str]:
    """Of equally common ones take the first, as a Counter keeps their order."""
    counted = Counter(layouts).most_common(1)
    return counted[0][0] if counted else frozenset()


def _read_state(arrays: EncodedArrays, reference: Reference) -> tuple[State, bool]:
    """Decode one update and tell whether it had to be put in order."""
    _check_keys(arrays.keys(), reference.keys)
    state: dict[str, Tensor] = {}
    changed = tuple(arrays) != reference.keys
    with reading_only():
        for key, name in zip(reference.keys, reference.names, strict=True):
            label = name if key == name else f"array {key} ({name})"
            sent = _decoded(label, arrays[key], reference.state[name].shape)
            state[name] = _cast(label, sent, _allowed_dtypes(name, reference))
            _check_finite(label, state[name])
            changed |= state[name] is not sent
    return state, changed


def _check_keys(found: KeysView[str], expected: tuple[str, ...]) -> None:
    missing, extra = set(expected) - found, found - set(expected)
    if missing or extra:
        raise QuarantineError(
            f"expected {len(expected)} arrays, found {len(found)}"
            + (f"; missing {listed(missing)}" if missing else "")
            + (f"; not in the model {listed(extra)}" if extra else "")
        )


def _decoded(label: str, data: bytes, expected: torch.Size) -> Tensor:
    try:
        tensor = decode(data)
    except UndecodableArrayError as error:
        raise QuarantineError(f"{label}: {error}") from error
    if tensor.shape != expected:
        raise QuarantineError(
            f"{label}: expected shape {tuple(expected)}, found {tuple(tensor.shape)}"
        )
    return tensor


def _allowed_dtypes(name: str, reference: Reference) -> tuple[torch.dtype, torch.dtype]:
    """Allow the model's own dtype too, as aggregates are often wider than it."""
    return reference.state[name].dtype, reference.model_dtypes[name]


def _cast(label: str, tensor: Tensor, allowed: tuple[torch.dtype, ...]) -> Tensor:
    if tensor.dtype in allowed:
        return tensor
    target = allowed[0]
    cast = tensor.to(target)
    if not target.is_floating_point and not torch.equal(cast.to(tensor.dtype), tensor):
        raise QuarantineError(
            f"{label}: expected {target}, found {tensor.dtype} of other values"
        )
    return cast


def _check_finite(label: str, tensor: Tensor) -> None:
    """Let a finite sum prove finite values in one pass; a large sum may overflow."""
    if not tensor.is_floating_point() or torch.isfinite(tensor.sum()):
        return
    num_bad = int(torch.isfinite(tensor).logical_not().sum())
    if num_bad:
        raise QuarantineError(
            f"{label}: expected finite {tensor.dtype} values, found {num_bad} "
            f"of {tensor.numel()} NaN or infinite"
        )
