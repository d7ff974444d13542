"""Admitted to looked at: what a scoring sees in each update, wherever it looks."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch

from flwr_vdcs.admission import Candidate, State
from flwr_vdcs.executors import (
    Apart,
    Executor,
    InProcess,
    Parcel,
    Settings,
    opened,
    parcelled,
    put_together,
    taken_apart,
)
from flwr_vdcs.probe import RoundContext
from flwr_vdcs.scoring.base import Scoring

ELSEWHERE_FAILED = (
    "The executor failed, so the server's process computes the evidence itself: %s: %s"
)

SAYS_OUT_OF_MEMORY = ("can't allocate memory", "_ALLOC_FAILED", "out of memory")
"""What PyTorch's errors say that are of no class of their own."""

Shipped = Mapping[str, Parcel] | State


@dataclass(frozen=True)
class Job:
    """What is the same for all clients of a round.

    Attributes
    ----------
    scoring, context
        How to look, and at which round.
    settings
        Those of PyTorch at the server; None in its own process.
    """

    scoring: Scoring
    context: RoundContext
    settings: Settings | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        """Ship the tensors as plain memory."""
        apart = taken_apart(self.context, self.context.tensors())
        return _delivered, (self.scoring, apart, Settings.here())


@dataclass(frozen=True)
class Client:
    """One client's update, and what it was sent, if not what most were sent.

    Attributes
    ----------
    place
        Its place among the clients of the round.
    """

    place: int
    start: Shipped | None
    state: Shipped

    def __reduce__(self) -> tuple[Any, ...]:
        """Ship the tensors as plain memory, to be opened when they are looked at."""
        return Client, (self.place, parcelled(self.start), parcelled(self.state))


@dataclass(frozen=True)
class Looked:
    """What a scoring saw in an update.

    Attributes
    ----------
    place
        The client's place.
    features
        What the scoring gave; None if it failed.
    failure
        The name of the error that this update made the model raise, or none.
    problem
        That there was no memory, or None.
    """

    place: int
    features: Any = None
    failure: str = ""
    problem: Exception | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        """Ship the tensors as plain memory."""
        shipped = parcelled(self.features)
        return _returned, (self.place, shipped, self.failure, self.problem)


def look_at(
    candidates: Sequence[Candidate],
    context: RoundContext,
    scoring: Scoring,
    executor: Executor,
) -> tuple[list[Looked], str]:
    """Look at the updates by way of an executor, or here where it fails.

    Returns
    -------
    tuple
        What was seen of each update, and what to say of the executor. If there was no
        memory, it ends there. A failure elsewhere is confirmed here before its client
        is blamed: it may be the worker's.
    """
    job = Job(scoring, context)
    clients = [_client(*each, context) for each in enumerate(candidates)]
    found: list[Looked] = []
    if isinstance(executor, InProcess) or not clients:
        _gather(found, job, clients, InProcess())
        return found, ""
    notice = _look_elsewhere(found, job, clients, executor)
    found = [look(job, clients[each.place]) if each.failure else each for each in found]
    if not any(each.problem for each in found):
        _gather(found, job, clients, InProcess())
    return found, notice


def _look_elsewhere(
    found: list[Looked], job: Job, clients: Sequence[Client], executor: Executor
) -> str:
    """Look at the clients by way of an executor; say why, if it fails."""
    try:
        _gather(found, job, clients, executor)
    except Exception as error:  # noqa: BLE001  # whatever it raises
        return ELSEWHERE_FAILED % (type(error).__name__, error)
    return ""


def _gather(
    found: list[Looked], job: Job, clients: Sequence[Client], executor: Executor
) -> None:
    """Look at the clients of whom nothing is found yet."""
    missing = clients[len(found) :]
    for looked in executor.map_clients(look, job, missing):
        place = looked.place if isinstance(looked, Looked) else None
        if place != len(found):
            raise ValueError("it gave other results than one for each client in order")
        found.append(looked)
        if looked.problem:
            return
    if len(found) < len(clients):
        raise ValueError(f"it gave {len(found)} results for {len(clients)} clients")


def look(job: Job, client: Client) -> Looked:
    """Look at one update, in this process."""
    start = job.context.global_state if client.start is None else opened(client.start)
    state = opened(client.state)
    with job.settings.applied() if job.settings else nullcontext():
        try:
            context = job.context.at(start)
            found = job.scoring.features(context, start, state)
        except Exception as error:
            if is_out_of_memory(error):
                return Looked(client.place, problem=error)
            if is_servers_own(error):
                raise
            return Looked(client.place, failure=type(error).__name__)
    return Looked(client.place, found)


def is_out_of_memory(error: Exception) -> bool:
    """Tell whether the server had no memory, on whatever device."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    text = str(error)
    return isinstance(error, RuntimeError) and any(
        s in text for s in SAYS_OUT_OF_MEMORY
    )


def is_servers_own(error: Exception) -> bool:
    """Tell whether it is the server that failed, for which no client is blamed.

    Want of memory skips the round. A device that has failed once fails for ever, so
    that ends the run.
    """
    device_error = getattr(torch, "AcceleratorError", ())  # PyTorch before 2.8 has none
    return is_out_of_memory(error) or isinstance(error, device_error)


def _client(place: int, candidate: Candidate, context: RoundContext) -> Client:
    start = candidate.start.state
    is_common = start is context.global_state
    return Client(place, None if is_common else start, candidate.state)


def _delivered(scoring: Scoring, apart: Apart, settings: Settings) -> Job:
    return Job(scoring, put_together(apart), settings)


def _returned(place: int, features: Any, failure: str, problem: Any) -> Looked:
    return Looked(place, opened(features), failure, problem)
