"""Rows of a round, made by hand for the stages that work on them."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from flwr_vdcs.admission import Candidate, GlobalState, Update


def start_of(state: Mapping[str, Tensor]) -> GlobalState:
    """Give a global state that clients may have started from."""
    names = tuple(state)
    return GlobalState(names, names, state, {n: t.dtype for n, t in state.items()})


def candidates_of(
    states: Sequence[Mapping[str, Tensor]], start: Mapping[str, Tensor]
) -> list[Candidate]:
    """Admit updates of clients with the ids 0, 1, 2, ..."""
    common = start_of(start)
    return [
        Candidate(Update(str(client)), common, state)
        for client, state in enumerate(states)
    ]


def scored(scores: Sequence[float | None], **known: Any) -> list[Candidate]:
    """Give candidates that have these scores."""
    return [
        Candidate(Update(str(client)), GlobalState(), score=score, **known)
        for client, score in enumerate(scores)
    ]


def numbers(*values: float, length: int = 2) -> list[dict[str, Tensor]]:
    """Let each state be one number, several times."""
    return [{"w": torch.full((length,), float(value))} for value in values]
