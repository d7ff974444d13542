"""Updates to admitted: what can be aggregated goes on, the rest is quarantined."""

from collections import Counter
from collections.abc import Collection, Iterable, KeysView, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from statistics import median
from typing import TypeGuard

import torch
from torch import Tensor

from flwr_vdcs.admission.global_state import EncodedArrays, Reference
from flwr_vdcs.admission.npy import (
    State,
    UndecodableArrayError,
    decode,
    is_verbatim,
    reading_only,
    shape_of,
)
from flwr_vdcs.errors import listed, quoted
from flwr_vdcs.flower.replies import Update

QUICK = (torch.float32, torch.float64)
UNSIGNED = (torch.uint16, torch.uint32, torch.uint64)

MAX_MAGNITUDE = 1e15
"""No trained value is larger, and its squares can still be added up in float32."""

MAX_WEIGHT = 2.0**53
"""A number of examples is at most what floating point counts exactly."""

MAX_RATIO = 1_000
"""A client may claim that many times the examples of the round's median client.

So may it count, as the counters of batch norm do.
"""


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

    def without(self, refused: Mapping[int, str]) -> "Admission":
        """Quarantine more of the updates, for the reasons given by place."""
        states = {p: s for p, s in self.states.items() if p not in refused}
        normalised = self.normalised - refused.keys()
        return Admission(states, normalised, {**self.quarantined, **refused})


class QuarantineError(Exception):
    """Why one update is not admitted."""


def admit(updates: Sequence[Update], reference: Reference) -> Admission:
    """Sort the updates of a round into admitted and quarantined.

    What is typical of the round is found among those whose arrays are sound, so that
    refused replies have no say in it.

    Parameters
    ----------
    updates
        One update for each reply, in the order of the replies.
    reference
        The global state that they should be updates of.
    """
    quarantined = _refused_alone(updates)
    states: dict[int, State] = {}
    for place, update in enumerate(updates):
        if place in quarantined:
            continue
        try:
            states[place] = _read_state(update.arrays, reference)
        except QuarantineError as reason:
            quarantined[place] = str(reason)
    quarantined |= _refused_counts(states, reference)
    sound = [place for place in states if place not in quarantined]
    quarantined |= _refused_among(updates, sound)
    states = {p: state for p, state in states.items() if p not in quarantined}
    return _normalised(updates, states, quarantined, reference)


def refused_claims(updates: Sequence[Update]) -> dict[int, str]:
    """Refuse replies for what they claim besides their arrays, by their place."""
    refused = _refused_alone(updates)
    others = [place for place in range(len(updates)) if place not in refused]
    return refused | _refused_among(updates, others)


def _refused_alone(updates: Sequence[Update]) -> dict[int, str]:
    """Refuse replies that are wrong whatever the others are."""
    seen: set[str] = set()
    refused: dict[int, str] = {}
    for place, update in enumerate(updates):
        reason = (
            update.defect
            or _repeated(update.client_id, seen)
            or _impossible(update.num_examples)
        )
        seen.add(update.client_id)
        if reason:
            refused[place] = reason
    return refused


def _refused_among(
    updates: Sequence[Update], places: Collection[int]
) -> dict[int, str]:
    """Refuse replies that are unlike the others."""
    sound = [updates[place] for place in places]
    weights = [u.num_examples for u in sound if _is_weight(u.num_examples)]
    typical_weight = median(weights) if weights else 0.0
    typical_layout = _most_common(update.layout for update in sound)
    reasons = {
        place: _implausible(updates[place].num_examples, typical_weight)
        or _unlike(updates[place].layout, typical_layout)
        for place in places
    }
    return {place: reason for place, reason in reasons.items() if reason}


def _refused_counts(
    states: Mapping[int, State], reference: Reference
) -> dict[int, str]:
    """Refuse updates in which integers went much further than in the others.

    A single number may be a counter. Several may be places to look something up, as of
    relative positions: where most clients leave them alone, nobody may change them.
    """
    refused: dict[int, str] = {}
    for name, dtype in reference.model_dtypes.items():
        if dtype.is_floating_point or not states or not reference.state[name].numel():
            continue
        start = reference.state[name].double()
        steps = {
            place: (state[name].double() - start).abs().max().item()
            for place, state in states.items()
        }
        least = 1.0 if start.numel() == 1 else 0.0
        allowed = MAX_RATIO * max(least, median(steps.values()))
        reason = f"{name}: expected a change of at most {allowed:g}, found "
        refused |= {p: f"{reason}{s:g}" for p, s in steps.items() if s > allowed}
    return refused


def _repeated(client_id: str, seen: set[str]) -> str:
    return "this client has answered already" if client_id in seen else ""


def _impossible(weight: object) -> str:
    if weight is None or _is_weight(weight):
        return ""
    return f"num-examples: expected a positive number, found {quoted(weight)}"


def _implausible(weight: object, typical: float) -> str:
    if not _is_weight(weight) or weight <= MAX_RATIO * typical:
        return ""
    return (
        f"num-examples: expected at most {MAX_RATIO} times the median "
        f"{typical:g}, found {quoted(weight)}"
    )


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
        return 0 < float(weight) < MAX_WEIGHT
    except OverflowError:
        return False


def _most_common(layouts: Iterable[frozenset[str]]) -> frozenset[str]:
    """Of equally common ones take the first, as a Counter keeps their order."""
    counted = Counter(layouts).most_common(1)
    return counted[0][0] if counted else frozenset()


def _read_state(arrays: EncodedArrays, reference: Reference) -> State:
    """Decode one update, in the global order."""
    _check_keys(arrays.keys(), reference.keys)
    state: dict[str, Tensor] = {}
    with reading_only():
        for key, name in zip(reference.keys, reference.names, strict=True):
            label = name if key == name else f"array {key} ({name})"
            tensor = _decoded(label, arrays[key], reference.state[name].shape)
            _check_values(label, tensor, name, reference)
            state[name] = tensor
    _check_tied(state, reference)
    return state


def _check_tied(state: State, reference: Reference) -> None:
    """Refuse two values for one parameter: a client would load either of them."""
    for first, *others in reference.tied:
        for name in others:
            if not torch.equal(state[name], state[first]):
                raise QuarantineError(
                    f"{name}: expected the values of {first}, as both are one "
                    "parameter of the model, found others"
                )


def _check_keys(found: KeysView[str], expected: tuple[str, ...]) -> None:
    missing, extra = set(expected) - found, found - set(expected)
    if missing or extra:
        raise QuarantineError(
            f"expected {len(expected)} arrays, found {len(found)}"
            + (f"; missing {listed(missing)}" if missing else "")
            + (f"; not in the model {listed(extra)}" if extra else "")
        )


def _decoded(label: str, data: bytes, expected: torch.Size) -> Tensor:
    """Decode an array of the model's shape; one of another shape is not looked at."""
    try:
        found = shape_of(data)
        if found != expected:
            raise QuarantineError(
                f"{label}: expected shape {tuple(expected)}, found {quoted(found)}"
            )
        return decode(data)
    except UndecodableArrayError as error:
        raise QuarantineError(f"{label}: {error}") from error


def _check_values(label: str, tensor: Tensor, name: str, reference: Reference) -> None:
    """Refuse what would not stay finite in the model or in an aggregate."""
    if not tensor.numel() or _is_surely_small(tensor, name, reference):
        return
    values = tensor.double() if tensor.dtype in UNSIGNED else tensor
    low, high = (bound.item() for bound in values.aminmax())
    target, largest = reference.state[name].dtype, _largest(name, reference)
    least = reference.variances.get(name, -largest)
    if not (least <= low and high <= largest):
        if torch.equal(tensor.to(target), reference.state[name]):
            return  # nothing was changed, as in a mask of -inf
        raise QuarantineError(
            f"{label}: expected finite values from {least:g} to {largest:g}, "
            f"found {low:g} to {high:g}"
        )
    is_fraction = tensor.is_floating_point() and not target.is_floating_point
    if is_fraction and not torch.equal(tensor.round(), tensor):
        raise QuarantineError(f"{label}: expected {target}, found fractions")


def _is_surely_small(tensor: Tensor, name: str, reference: Reference) -> bool:
    """Let a small sum of squares prove all values small, in the quickest pass."""
    if tensor.dtype not in QUICK or name in reference.variances:
        return False
    if not reference.state[name].dtype.is_floating_point:
        return False
    flat = tensor.reshape(-1)
    return torch.dot(flat, flat).item() <= _largest(name, reference) ** 2


def _largest(name: str, reference: Reference) -> float:
    """Give the largest magnitude that the model's and the global dtype can hold."""
    dtypes = (reference.state[name].dtype, reference.model_dtypes[name])
    return min(MAX_MAGNITUDE, *(float(_info(dtype).max) for dtype in dtypes))


def _info(dtype: torch.dtype) -> torch.finfo | torch.iinfo:
    if dtype is torch.bool:
        return torch.iinfo(torch.uint8)
    return torch.finfo(dtype) if dtype.is_floating_point else torch.iinfo(dtype)


def _normalised(
    updates: Sequence[Update],
    states: Mapping[int, State],
    quarantined: Mapping[int, str],
    reference: Reference,
) -> Admission:
    """Put the admitted updates into one order, one dtype and one order of bytes."""
    dtypes = {
        name: _dtype(name, states.values(), reference) for name in reference.names
    }
    cast = {
        place: {name: tensor.to(dtypes[name]) for name, tensor in state.items()}
        for place, state in states.items()
    }
    changed = {
        place
        for place, state in cast.items()
        if tuple(updates[place].arrays) != reference.keys
        or any(state[name] is not sent for name, sent in states[place].items())
        or not all(map(is_verbatim, updates[place].arrays.values()))
    }
    return Admission(cast, frozenset(changed), quarantined)


def _dtype(name: str, states: Iterable[State], reference: Reference) -> torch.dtype:
    """Leave the clients the model's own dtype where they all send it.

    An aggregate is often wider than the model; otherwise its dtype counts.
    """
    sent = {state[name].dtype for state in states}
    own = reference.model_dtypes[name]
    return own if sent == {own} else reference.state[name].dtype
