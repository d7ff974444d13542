"""Replies to admitted: what can be aggregated goes on, the rest is quarantined."""

from collections import Counter
from collections.abc import Iterable, KeysView, Sequence
from numbers import Real
from statistics import median
from typing import TypeGuard

import torch
from torch import Tensor

from flwr_vdcs.admission.candidate import Candidate
from flwr_vdcs.admission.global_state import GlobalState
from flwr_vdcs.admission.npy import (
    Encoded,
    EncodedArrays,
    State,
    UndecodableArrayError,
    decode,
    is_verbatim,
    reading_only,
    shape_of,
)
from flwr_vdcs.admission.update import Update
from flwr_vdcs.errors import listed, quoted

QUICK = (torch.float32, torch.float64)
UNSIGNED = (torch.uint16, torch.uint32, torch.uint64)

MAX_MAGNITUDE = 1e15
"""No trained value is larger, and its squares can still be added up in float32."""

MAX_WEIGHT = 2.0**53
"""A number of examples is at most what floating point counts exactly."""

MAX_BITS = 64

MAX_RATIO = 1_000
"""A client may claim that many times the examples of the round's median client.

So may it count, as the counters of batch norm do.
"""


class QuarantineError(Exception):
    """Why one update is not admitted."""


def admit(candidates: Sequence[Candidate]) -> None:
    """Read the arrays of a round's replies, and quarantine what cannot be aggregated.

    What is typical of the round is found among those whose arrays are sound, so that
    refused replies have no say in it.

    Parameters
    ----------
    candidates
        One for each reply, in the order of the replies. They get their ``state``, in
        the global order and dtype, or a verdict.
    """
    _quarantine_alone(candidates)
    for candidate in admitted(candidates):
        try:
            candidate.state = _read_state(candidate.update.arrays, candidate.start)
        except QuarantineError as reason:
            quarantine(candidate, str(reason))
    _quarantine_counts(admitted(candidates))
    _quarantine_unlike(admitted(candidates))
    _normalise(admitted(candidates))


def admit_claims(candidates: Sequence[Candidate]) -> None:
    """Quarantine replies for what they claim besides their arrays."""
    _quarantine_alone(candidates)
    _quarantine_unlike(admitted(candidates))


def admitted(candidates: Iterable[Candidate]) -> list[Candidate]:
    """Give those that are not quarantined."""
    return [each for each in candidates if each.verdict != "quarantined"]


def quarantine(candidate: Candidate, reason: str) -> None:
    """Refuse a reply, and let go of its arrays."""
    candidate.verdict, candidate.reason, candidate.state = "quarantined", reason, {}


def _quarantine_alone(candidates: Iterable[Candidate]) -> None:
    """Refuse replies that are wrong whatever the others are."""
    seen: set[str] = set()
    for candidate in candidates:
        update = candidate.update
        reason = (
            update.defect
            or _repeated(update.client_id, seen)
            or _impossible(update.num_examples)
        )
        seen.add(update.client_id)
        if reason:
            quarantine(candidate, reason)


def _quarantine_unlike(candidates: Sequence[Candidate]) -> None:
    """Refuse replies that are unlike the others."""
    updates = [candidate.update for candidate in candidates]
    weights = [u.num_examples for u in updates if _is_weight(u.num_examples)]
    typical_weight = median(weights) if weights else 0.0
    layouts = [_layout(update) for update in updates]
    typical_layout = _most_common(layouts)
    for candidate, layout in zip(candidates, layouts, strict=True):
        weight = candidate.update.num_examples
        reason = _implausible(weight, typical_weight) or _unlike(layout, typical_layout)
        if reason:
            quarantine(candidate, reason)


def _quarantine_counts(candidates: Sequence[Candidate]) -> None:
    """Refuse updates in which integers went much further than in the others.

    A single number may be a counter. Several may be places to look something up, as of
    relative positions: where most clients leave them alone, nobody may change them.
    """
    names = _integers(candidates[0].start) if candidates else []
    steps = {name: [_step(each, name) for each in candidates] for name in names}
    for name in names:
        least = 1.0 if candidates[0].start.state[name].numel() == 1 else 0.0
        allowed = MAX_RATIO * max(least, median(steps[name]))
        for candidate, step in zip(candidates, steps[name], strict=True):
            if step > allowed:
                found = f"a change of at most {allowed:g}, found {step:g}"
                quarantine(candidate, f"{name}: expected {found}")


def _integers(start: GlobalState) -> list[str]:
    """Name the arrays, with something in them, that are no real numbers."""
    return [
        name
        for name, dtype in start.model_dtypes.items()
        if not dtype.is_floating_point and start.state[name].numel()
    ]


def _step(candidate: Candidate, name: str) -> float:
    """Measure how far the furthest number of an array went."""
    start = candidate.start.state[name].double()
    return (candidate.state[name].double() - start).abs().max().item()


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


def _layout(update: Update) -> frozenset[str]:
    """Describe all that is aggregated besides the arrays' values.

    Clients can be aggregated together only where it is the same.
    """
    metrics = {_described(name, value) for name, value in update.metrics.items()}
    return update.records | metrics


def _described(name: str, value: object) -> str:
    """Name a metric and its kind, so that no name can pass for another's kind."""
    kind = kind_of(value) or (" (number)" if name.endswith(")") else "")
    return f"metric {name}{kind}"


def kind_of(value: object) -> str:
    """Tell apart what cannot be averaged together: numbers, lists by length, others."""
    if isinstance(value, list):
        is_whole = bool(value) and set(map(type, value)) <= {int, bool}
        largest = kind_of(max(value, key=abs)) if is_whole else ""
        return f" (list of {len(value)}{largest})"
    if isinstance(value, bool) or not isinstance(value, Real):
        return f" ({type(value).__name__})"
    is_huge = isinstance(value, int) and value.bit_length() > MAX_BITS
    return " (beyond 64 bits)" if is_huge else ""


def _most_common(layouts: Iterable[frozenset[str]]) -> frozenset[str]:
    """Of equally common ones take the first, as a Counter keeps their order."""
    counted = Counter(layouts).most_common(1)
    return counted[0][0] if counted else frozenset()


def _read_state(arrays: EncodedArrays, start: GlobalState) -> State:
    """Decode one update, in the global order."""
    _check_keys(arrays.keys(), start.keys)
    state: dict[str, Tensor] = {}
    with reading_only():
        for key, name in zip(start.keys, start.names, strict=True):
            label = name if key == name else f"array {key} ({name})"
            tensor = _decoded(label, arrays[key], start.state[name].shape)
            _check_values(label, tensor, name, start)
            state[name] = tensor
    _check_tied(state, start)
    return state


def _check_tied(state: State, start: GlobalState) -> None:
    """Refuse two values for one parameter: a client would load either of them."""
    for first, *others in start.tied:
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


def _decoded(label: str, data: Encoded, expected: torch.Size) -> Tensor:
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


def _check_values(label: str, tensor: Tensor, name: str, start: GlobalState) -> None:
    """Refuse what would not stay finite in the model or in an aggregate."""
    if not tensor.numel() or _is_surely_small(tensor, name, start):
        return
    values = tensor.double() if tensor.dtype in UNSIGNED else tensor
    low, high = (bound.item() for bound in values.aminmax())
    target, largest = start.state[name].dtype, _largest(name, start)
    least = start.least_variances.get(name, -largest)
    if not (least <= low and high <= largest):
        if torch.equal(tensor.to(target), start.state[name]):
            return  # nothing was changed, as in a mask of -inf
        raise QuarantineError(
            f"{label}: expected finite values from {least:g} to {largest:g}, "
            f"found {low:g} to {high:g}"
        )
    is_fraction = tensor.is_floating_point() and not target.is_floating_point
    if is_fraction and not torch.equal(tensor.round(), tensor):
        raise QuarantineError(f"{label}: expected {target}, found fractions")


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


def _normalise(candidates: Sequence[Candidate]) -> None:
    """Put the admitted updates into one order, one dtype and one order of bytes."""
    if not candidates:
        return
    start = candidates[0].start
    states = [candidate.state for candidate in candidates]
    dtypes = {name: _dtype(name, states, start) for name in start.names}
    for candidate in candidates:
        sent, arrays = candidate.state, candidate.update.arrays
        candidate.state = {n: sent[n].to(dtype) for n, dtype in dtypes.items()}
        candidate.is_changed = (
            tuple(arrays) != start.keys
            or any(candidate.state[name] is not sent[name] for name in dtypes)
            or not all(map(is_verbatim, arrays.values()))
        )


def _dtype(name: str, states: Iterable[State], start: GlobalState) -> torch.dtype:
    """Leave the clients the model's own dtype where they all send it.

    An aggregate is often wider than the model; otherwise its dtype counts.
    """
    sent = {state[name].dtype for state in states}
    own = start.model_dtypes[name]
    return own if sent == {own} else start.state[name].dtype
