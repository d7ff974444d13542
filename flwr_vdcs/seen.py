"""Admitted to seen: what a scoring sees in each update."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from flwr_vdcs.arrays import State
from flwr_vdcs.errors import InvalidArgumentError, ScoringError
from flwr_vdcs.features import Probe
from flwr_vdcs.scoring import Features, Scoring

MIN_SCORED = 2

MEMORY_ERRORS = (MemoryError, torch.OutOfMemoryError)
"""The server's own failures, for which no client is blamed."""


def look_at(
    states: Mapping[int, State], global_state: State, scoring: Scoring, probe: Probe
) -> tuple[dict[int, Features], dict[int, str]]:
    """Compute the features of a round's updates.

    Returns
    -------
    dict, dict
        Those that can be scored together, and why the others cannot, by their place.

    Raises
    ------
    ScoringError
        If there is an error for every update.
    InvalidArgumentError
        If the scoring gives something else than tensors.
    """
    seen: dict[int, Features] = {}
    errors: dict[int, Exception] = {}
    for place, state in states.items():
        try:
            found = scoring.features(probe, global_state, state)
        except MEMORY_ERRORS:
            raise
        except Exception as error:  # noqa: BLE001  # an update made the model raise
            errors[place] = error
            continue
        is_tensor = isinstance(found, Tensor)
        seen[place] = _without_direction_where_not_finite(found) if is_tensor else found
    if len(errors) >= MIN_SCORED and not seen:
        first = next(iter(errors.values()))
        raise ScoringError(scoring.name, len(errors), first) from first
    alike = _alike(seen, scoring)
    unlike = "its features have other shapes than the others'"
    failed = {
        place: f"the model cannot run with it: {type(error).__name__}"
        for place, error in errors.items()
    }
    return alike, {**failed, **dict.fromkeys(seen.keys() - alike.keys(), unlike)}


def _alike(seen: Mapping[int, Features], scoring: Scoring) -> dict[int, Features]:
    """Take features that have the shapes of most."""
    layouts = {place: _layout(found) for place, found in seen.items()}
    usual = Counter(layouts.values()).most_common(1)[0][0] if layouts else None
    if seen and usual is None:
        given = type(next(iter(seen.values()))).__name__
        allowed = (
            "one whose `features` gives a tensor, or a dictionary of tensors, for each "
            f"update, not {given}"
        )
        raise InvalidArgumentError("scoring", scoring.name, allowed)
    return {place: found for place, found in seen.items() if layouts[place] == usual}


def _layout(found: object) -> frozenset[tuple[str, torch.Size]] | None:
    """Give the shapes by name; None for what is neither tensor nor tensors by name."""
    named: Mapping[Any, Any] = found if isinstance(found, Mapping) else {"": found}
    if not named or not all(isinstance(each, Tensor) for each in named.values()):
        return None
    return frozenset((str(name), each.shape) for name, each in named.items())


def _without_direction_where_not_finite(features: Tensor) -> Tensor:
    """Let a sample whose features overflow agree with nobody: its cosine is 0."""
    is_finite = torch.isfinite(features).all(dim=-1, keepdim=True)
    return torch.where(is_finite, features, 0.0)
