"""Replies to admitted: what can be aggregated goes on, the rest is quarantined."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np
import torch

from flwr_vdcs.admission._claims import MAX_RATIO, has_no_examples, impossible, unlike
from flwr_vdcs.admission._differences import add_differences, as_difference, update_norm
from flwr_vdcs.admission._reading import (
    QuarantineError,
    check_values,
    is_untrained,
    read_arrays,
)
from flwr_vdcs.admission.candidate import Candidate
from flwr_vdcs.admission.global_state import GlobalState
from flwr_vdcs.admission.npy import State, encode, encode_complex, is_verbatim
from flwr_vdcs.report import Verdict

LARGEST_HALF = torch.finfo(torch.float16).max ** 0.5

MUCH_LONGER = 10
"""Where the median update is long itself, others may be so many times as long."""

NO_EXAMPLES = "it had no examples to train on"
UNTRAINED = "it sent back the model that it was sent"

DIFFERENCES = (
    "Clients send how far they went from the global model instead of where they are. "
    "They are judged as if they had sent weights, and go on as they came."
)

OTHER_NAMES = (
    "Clients send %s where they were sent %s. These are taken for the same. Let "
    "clients send the state_dict of the model that is inside its wrapper."
)


@dataclass(frozen=True)
class Admission:
    """What was found out about a round's replies as a whole.

    Attributes
    ----------
    fault
        What is wrong with most of them in the same way, so that it is no client's
        fault; empty if nothing is.
    notices
        What whoever runs the server should know, once.
    """

    fault: str = ""
    notices: tuple[str, ...] = ()


def admit(candidates: Sequence[Candidate]) -> Admission:
    """Read the arrays of a round's replies, and quarantine what cannot be aggregated.

    What is typical of the round is found among those whose arrays are sound, so that
    refused replies have no say in it. Who had nothing to train on is left out.

    Parameters
    ----------
    candidates
        One for each reply, in the order of the replies. They get their ``state``, in
        the global order and dtype, or a verdict.
    """
    _quarantine_alone(candidates)
    for candidate in admitted(candidates):
        try:
            read_arrays(candidate)
        except QuarantineError as reason:
            _quarantine_for_structure(candidate, str(reason))
    are_differences = add_differences(admitted(candidates))
    for candidate in admitted(candidates):
        try:
            check_values(candidate)
        except QuarantineError as reason:
            quarantine(candidate, str(reason))
    _quarantine_counts(admitted(candidates))
    _quarantine_too_long(admitted(candidates))
    _quarantine_unlike(admitted(candidates))
    named = _normalise(admitted(candidates))
    notices = (DIFFERENCES if are_differences else "", named)
    return Admission(_common_fault(candidates), tuple(filter(None, notices)))


def admit_claims(candidates: Sequence[Candidate]) -> None:
    """Quarantine replies for what they claim besides their arrays."""
    _quarantine_alone(candidates)
    _quarantine_unlike(admitted(candidates))


def admitted(candidates: Iterable[Candidate]) -> list[Candidate]:
    """Give those that can be judged."""
    return [
        each
        for each in candidates
        if each.is_judged and each.verdict not in {"quarantined", "idle"}
    ]


def quarantine(candidate: Candidate, reason: str) -> None:
    """Refuse a reply, and let go of its arrays."""
    _take_out(candidate, "quarantined", reason)


def leave_out_untrained(candidates: Sequence[Candidate]) -> None:
    """Leave out who sent back what it was sent, if others did train."""
    untrained = [each for each in candidates if is_untrained(each)]
    if len(untrained) < len(candidates):
        for candidate in untrained:
            _take_out(candidate, "idle", UNTRAINED)


def forwarded_arrays(candidate: Candidate) -> dict[str, np.ndarray]:
    """Give the arrays that go on, under the keys that most clients sent them by."""
    state = candidate.state
    if candidate.is_difference:
        state = as_difference(state, candidate.start.state)
    complex_names = candidate.start.complex_names
    return {
        key: encode_complex(tensor) if name in complex_names else encode(tensor)
        for key, (name, tensor) in zip(candidate.keys, state.items(), strict=True)
    }


def _take_out(candidate: Candidate, verdict: Verdict, reason: str) -> None:
    candidate.verdict, candidate.reason, candidate.state = verdict, reason, {}


def _quarantine_alone(candidates: Iterable[Candidate]) -> None:
    """Refuse replies that are wrong whatever the others are."""
    seen: set[str] = set()
    for candidate in candidates:
        update = candidate.update
        if update.client_id in seen:
            quarantine(candidate, "this client has answered already")
        elif reason := update.defect or impossible(update):
            _quarantine_for_structure(candidate, reason)
        elif has_no_examples(update):
            _take_out(candidate, "idle", NO_EXAMPLES)
        seen.add(update.client_id)


def _quarantine_for_structure(candidate: Candidate, reason: str) -> None:
    quarantine(candidate, reason)
    candidate.is_structural = True


def _common_fault(candidates: Sequence[Candidate]) -> str:
    """Find what is wrong with most clients' replies, or missing in all of them."""
    num_clients = len({each.update.client_id for each in candidates})
    if num_clients < 2:  # noqa: PLR2004
        return ""
    if all(each.reason == NO_EXAMPLES for each in candidates):
        return f"num-examples is 0 for all clients: {NO_EXAMPLES}"
    reasons = Counter(each.reason for each in candidates if each.is_structural)
    [(reason, count)] = reasons.most_common(1) or [("", 0)]
    return reason if 2 * count > num_clients else ""


def _quarantine_unlike(candidates: Sequence[Candidate]) -> None:
    """Refuse replies that are unlike the others."""
    reasons = unlike([candidate.update for candidate in candidates])
    for candidate, reason in zip(candidates, reasons, strict=True):
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


def _quarantine_too_long(candidates: Sequence[Candidate]) -> None:
    """Refuse updates that are too long to be squared in float16, unlike the others'.

    Optimisers of the server square them in the dtype of the model.
    """
    halves = _halves(candidates[0].start) if candidates else []
    if not halves:
        return
    norms = [update_norm(each.state, each.start.state, halves) for each in candidates]
    allowed = max(LARGEST_HALF, MUCH_LONGER * median(norms))
    for candidate, norm in zip(candidates, norms, strict=True):
        if norm > allowed:
            expected = f"a change of norm {allowed:g} at most"
            why = "to be squared in float16"
            quarantine(candidate, f"expected {expected}, {why}, found {norm:g}")


def _halves(start: GlobalState) -> list[str]:
    """Name the float16 arrays that are no running variances."""
    return [
        name
        for name, tensor in start.state.items()
        if tensor.dtype is torch.float16 and name not in start.least_variances
    ]


def _normalise(candidates: Sequence[Candidate]) -> str:
    """Put the admitted updates into one order, one dtype and one order of bytes.

    Say if they go by other names than those that were sent.
    """
    if not candidates:
        return ""
    start = candidates[0].start
    [(keys, _)] = Counter(each.keys for each in candidates).most_common(1)
    states = [candidate.state for candidate in candidates]
    dtypes = {name: _dtype(name, states, start) for name in start.names}
    for candidate in candidates:
        sent, arrays = candidate.state, candidate.update.arrays
        candidate.state = {n: sent[n].to(dtype) for n, dtype in dtypes.items()}
        candidate.keys = keys
        candidate.is_changed = (
            tuple(arrays) != keys
            or any(candidate.state[name] is not sent[name] for name in dtypes)
            or not all(map(is_verbatim, arrays.values()))
        )
    return "" if keys == start.keys else OTHER_NAMES % (keys[0], start.keys[0])


def _dtype(name: str, states: Iterable[State], start: GlobalState) -> torch.dtype:
    """Leave the clients the model's own dtype where they all send it.

    An aggregate is often wider than the model; otherwise its dtype counts.
    """
    sent = {state[name].dtype for state in states}
    own = start.model_dtypes[name]
    return own if sent == {own} else start.state[name].dtype
