"""Seen to scored: what a scoring makes of a round."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

import torch
from torch import Tensor

from flwr_vdcs.admission.npy import State
from flwr_vdcs.errors import InvalidArgumentError, listed
from flwr_vdcs.history.track_records import Record
from flwr_vdcs.probe.probe import Probe
from flwr_vdcs.scoring.base import Features, Scoring, stacked
from flwr_vdcs.scoring.cosine import variation
from flwr_vdcs.scoring.features import MIN_SCORED, is_out_of_memory, look_at
from flwr_vdcs.scoring.judgement import Judgement
from flwr_vdcs.scoring.traits import traits_of


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
    remembered
        What the scoring wants to know again when the same clients are scored next.
    problem
        Why the server could not score at all.
    """

    scores: Mapping[int, float] = field(default_factory=dict)
    failed: Mapping[int, str] = field(default_factory=dict)
    reasons: Mapping[int, str] = field(default_factory=dict)
    sensitivity: float | None = None
    remembered: Mapping[int, Record] = field(default_factory=dict)
    problem: Exception | None = None


def score(
    states: Mapping[int, State],
    global_state: State,
    scoring: Scoring,
    probe: Probe,
    past: Mapping[int, Record] | None = None,
) -> Scored:
    """Score a round's admitted updates; a single one has nobody to be compared with.

    ``past`` is what the scoring remembered of their clients.
    """
    try:
        return _score(states, global_state, scoring, probe, past or {})
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        return Scored(problem=error)


def _score(
    states: Mapping[int, State],
    global_state: State,
    scoring: Scoring,
    probe: Probe,
    past: Mapping[int, Record],
) -> Scored:
    seen, failed = look_at(states, global_state, scoring, probe)
    sensitivity = _sensitivity(list(seen.values()))
    if len(seen) < MIN_SCORED:
        return Scored(failed=failed, sensitivity=sensitivity)
    features = _recalling(stacked(list(seen.values())), seen, scoring, past)
    judged = _judged(features, len(seen), scoring)
    scores = dict(zip(seen, judged.scores.tolist(), strict=True))
    finite = {place: s for place, s in scores.items() if isfinite(s)}
    unscored = dict.fromkeys(scores.keys() - finite, "its score is not finite")
    return Scored(
        finite,
        {**failed, **unscored},
        dict(zip(seen, judged.reasons, strict=False)),
        sensitivity,
        dict(zip(seen, _records(judged.remembered), strict=False)),
    )


def _judged(features: Features, num_clients: int, scoring: Scoring) -> Judgement:
    traits = traits_of(scoring)
    judged = traits.judge(features)
    if not isinstance(judged, Judgement):
        raise _wrong(scoring, "`judge` gives a Judgement", type(judged).__name__)
    if _shape(judged.scores) != (num_clients,):
        wanted = f"scores are a tensor of shape ({num_clients},)"
        raise _wrong(scoring, wanted, _shape(judged.scores))
    if {*judged.remembered} != {*traits.remembered}:
        wanted = f"`judge` gives {listed(traits.remembered) or 'nothing'} to remember"
        raise _wrong(scoring, wanted, listed(judged.remembered) or "nothing")
    return judged


def _wrong(scoring: Scoring, wanted: str, given: object) -> InvalidArgumentError:
    allowed = f"one whose {wanted}, not {given}"
    return InvalidArgumentError("scoring", scoring.name, allowed)


def _shape(scores: object) -> tuple[int, ...] | str:
    return tuple(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__


def _records(remembered: Mapping[str, Tensor]) -> list[Record]:
    """Give each client's numbers by their names."""
    columns = [values.tolist() for values in remembered.values()]
    return [
        dict(zip(remembered, row, strict=True)) for row in zip(*columns, strict=True)
    ]


def _recalling(
    features: Features,
    places: Iterable[int],
    scoring: Scoring,
    past: Mapping[int, Record],
) -> Features:
    """Add what the scoring remembers of each client; of new ones it knows zeros.

    So it does of a record that lacks a number, which another version wrote.
    """
    names = traits_of(scoring).remembered
    if not names:
        return features
    if isinstance(features, Tensor):
        wanted = "`features` gives a dictionary, as it has `remembered`"
        raise _wrong(scoring, wanted, "a tensor")
    new = dict.fromkeys(names, 0.0)
    records = [past.get(place, new) for place in places]
    rows = [record if record.keys() >= new.keys() else new for record in records]
    recalled = {name: [row[name] for row in rows] for name in names}
    return {
        **features,
        **{n: torch.tensor(v, dtype=torch.float64) for n, v in recalled.items()},
    }


def _sensitivity(seen: Sequence[Any]) -> float | None:
    """Average over the updates, or take what the scoring itself measured."""
    if not seen:
        return None
    if not isinstance(seen[0], Tensor):
        found = [f["sensitivity"] for f in seen if "sensitivity" in f]
    else:
        found = [variation(f) for f in seen if f.ndim > 1]
    mean = torch.stack(found).mean().item() if found else None
    return mean if mean is not None and isfinite(mean) else None
