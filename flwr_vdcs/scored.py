"""Admitted to scored: what a scoring sees in each update, and makes of the round."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

import torch
from torch import Tensor

from flwr_vdcs.arrays import State
from flwr_vdcs.errors import InvalidArgumentError
from flwr_vdcs.features import Probe
from flwr_vdcs.scores import variation
from flwr_vdcs.scoring import Features, Scoring, stacked

MIN_SCORED = 2


@dataclass(frozen=True)
class Scored:
    """What a scoring made of a round's updates, by their place.

    Attributes
    ----------
    scores
        The scores, all finite.
    failed
        Why the others have none.
    reasons
        What the scoring has to say of single updates.
    sensitivity
        How much the features vary with the virtual samples; None without any.
    """

    scores: Mapping[int, float] = field(default_factory=dict)
    failed: Mapping[int, str] = field(default_factory=dict)
    reasons: Mapping[int, str] = field(default_factory=dict)
    sensitivity: float | None = None


def score(
    states: Mapping[int, State], global_state: State, scoring: Scoring, probe: Probe
) -> Scored:
    """Score a round's admitted updates; a single one has nobody to be compared with."""
    seen, failed = _look(states, global_state, scoring, probe)
    sensitivity = _sensitivity(list(seen.values()))
    if len(seen) < MIN_SCORED:
        return Scored(failed=failed, sensitivity=sensitivity)
    features = stacked(list(seen.values()))
    scores = dict(zip(seen, _scores(features, len(seen), scoring), strict=True))
    finite = {place: s for place, s in scores.items() if isfinite(s)}
    unscored = dict.fromkeys(scores.keys() - finite, "its score is not finite")
    return Scored(
        finite,
        {**failed, **unscored},
        dict(zip(seen, _reasons(features, len(seen), scoring), strict=True)),
        sensitivity,
    )


def _look(
    states: Mapping[int, State], global_state: State, scoring: Scoring, probe: Probe
) -> tuple[dict[int, Features], dict[int, str]]:
    """Compute the features of the updates, and tell which have none and why."""
    seen: dict[int, Features] = {}
    failed: dict[int, str] = {}
    for place, state in states.items():
        try:
            found = scoring.features(probe, global_state, state)
        except Exception as error:  # noqa: BLE001  # an update made the model raise
            failed[place] = f"the model cannot run with it: {type(error).__name__}"
            continue
        is_tensor = isinstance(found, Tensor)
        seen[place] = _without_direction_where_not_finite(found) if is_tensor else found
    return seen, failed


def _scores(features: Features, num_clients: int, scoring: Scoring) -> list[float]:
    found = scoring.scores(features)
    if found.shape != (num_clients,):
        allowed = f"an object whose `scores` gives {num_clients} numbers here"
        raise InvalidArgumentError("scoring", scoring.name, allowed)
    numbers: list[float] = found.tolist()
    return numbers


def _reasons(features: Features, num_clients: int, scoring: Scoring) -> list[str]:
    explain = getattr(scoring, "reasons", None)
    return explain(features) if explain else [""] * num_clients


def _without_direction_where_not_finite(features: Tensor) -> Tensor:
    """Let a sample whose features overflow agree with nobody: its cosine is 0."""
    is_finite = torch.isfinite(features).all(dim=-1, keepdim=True)
    return torch.where(is_finite, features, 0.0)


def _sensitivity(seen: Sequence[Any]) -> float | None:
    """Average over the updates, or take what the scoring itself measured."""
    if not seen:
        return None
    if not isinstance(seen[0], Tensor):
        found = [f["sensitivity"] for f in seen if "sensitivity" in f]
    else:
        found = [variation(f) for f in seen if f.ndim > 1]
    return torch.stack(found).mean().item() if found else None
