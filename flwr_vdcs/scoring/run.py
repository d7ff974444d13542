"""Admitted to scores: what a scoring sees in each update, and what it makes of all."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite, nan
from numbers import Real
from typing import Any

import torch
from torch import Tensor

from flwr_vdcs.admission import Candidate
from flwr_vdcs.errors import InvalidArgumentError, ScoringError, listed
from flwr_vdcs.executors import Executor, InProcess
from flwr_vdcs.probe import RoundContext
from flwr_vdcs.scoring.base import Features, Judgement, Scoring, variation
from flwr_vdcs.scoring.looking import is_out_of_memory, is_servers_own, look_at

MIN_SCORED = 2

UNLIKE = "its features have other shapes than the others'"

Layout = torch.Size | frozenset[tuple[Any, torch.Size]] | None
"""The shapes of features by name; None for what is neither tensor nor tensors."""


@dataclass(frozen=True)
class Scored:
    """What came of scoring a round, besides what stands in the candidates.

    Attributes
    ----------
    sensitivity
        How much the features vary with the virtual samples; None without any.
    problem
        Why the server could not score at all.
    note
        What the scoring says of the whole round.
    notice
        What whoever runs the server should know of the executor.
    """

    sensitivity: float | None = None
    problem: Exception | None = None
    note: str = ""
    notice: str = ""


def score(
    candidates: Sequence[Candidate],
    context: RoundContext,
    scoring: Scoring,
    executor: Executor | None = None,
) -> Scored:
    """Score a round's admitted updates; a single one has nobody to be compared with.

    Parameters
    ----------
    candidates
        The admitted ones, with what is remembered of their clients. They get a
        ``score`` with its ``explanation``, or a ``failure``.
    context
        The round.
    scoring
        How to score.
    executor
        Where to look at the updates; None for this process.

    Raises
    ------
    ScoringError
        If the scoring fails for every update, and for the global model too.
    InvalidArgumentError
        If it gives something else than a scoring may.
    """
    try:
        seen, features, notice = _look_at(
            candidates, context, scoring, executor or InProcess()
        )
        sensitivity = _sensitivity(features)
        if len(seen) < MIN_SCORED:
            return Scored(sensitivity, notice=notice)
        judged = _judge(seen, stacked(features), scoring)
        return Scored(sensitivity, note=judged.note, notice=notice)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        for candidate in candidates:
            candidate.failure = ""  # it was the server's
        return Scored(problem=error)


def stacked(rows: Sequence[Any]) -> Features:
    """Put what was seen of each update together."""
    if isinstance(rows[0], Tensor):
        return torch.stack([*rows])
    return {name: torch.stack([row[name] for row in rows]) for name in rows[0]}


def _look_at(
    candidates: Sequence[Candidate],
    context: RoundContext,
    scoring: Scoring,
    executor: Executor,
) -> tuple[list[Candidate], list[Any], str]:
    """Let the updates be looked at; give those that can be scored together.

    And what to say of the executor.
    """
    found, notice = look_at(candidates, context, scoring, executor)
    looked: list[tuple[Candidate, Any]] = []
    for candidate, each in zip(candidates, found, strict=False):
        if each.problem:
            raise each.problem
        if each.failure:
            candidate.failure = f"the model cannot run with it: {each.failure}"
            continue
        looked.append((candidate, _finite(each.features)))
    if candidates and not looked:
        _check_possible(scoring, context)
    return *_alike(looked, scoring), notice


def _finite(features: Any) -> Any:
    """Take the direction from the rows of a tensor that are not finite."""
    if not isinstance(features, Tensor):
        return features
    return _without_direction_where_not_finite(features)


def _check_possible(scoring: Scoring, context: RoundContext) -> None:
    """See whether the scoring can look at the global model, if at no update."""
    try:
        scoring.features(context, context.global_state, context.global_state)
    except Exception as error:
        if is_servers_own(error):
            raise
        raise ScoringError(scoring.name, error) from error


def _alike(
    looked: Sequence[tuple[Candidate, Any]], scoring: Scoring
) -> tuple[list[Candidate], list[Any]]:
    """Give those whose features have the shapes of most, and these features."""
    layouts = [_layout(found) for _, found in looked]
    known = Counter(layout for layout in layouts if layout is not None)
    if looked and not known:
        given = type(looked[0][1]).__name__
        wanted = (
            "`features` gives a tensor, or a dictionary of tensors, for each update"
        )
        raise _wrong(scoring, wanted, given)
    usual = known.most_common(1)[0][0] if known else None
    alike: list[Candidate] = []
    features: list[Any] = []
    for (candidate, found), layout in zip(looked, layouts, strict=True):
        if layout == usual:
            alike.append(candidate)
            features.append(found)
        else:
            candidate.failure = UNLIKE
    return alike, features


def _layout(found: object) -> Layout:
    if isinstance(found, Tensor):
        return found.shape
    if not isinstance(found, Mapping) or not found:
        return None
    if not all(isinstance(each, Tensor) for each in found.values()):
        return None
    return frozenset((name, each.shape) for name, each in found.items())


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
    mean = torch.stack(found).mean().item() if found else None
    return mean if mean is not None and isfinite(mean) else None


def _judge(
    seen: Sequence[Candidate], features: Features, scoring: Scoring
) -> Judgement:
    """Let the scoring judge the round, and note what it says of each update."""
    known = _with_claims(_recalling(features, seen, scoring), seen, scoring)
    found = scoring.judge(known)
    judged = _checked(found, len(seen), scoring)
    _check_shares(judged, seen, scoring)
    for candidate, number in zip(seen, judged.scores.tolist(), strict=True):
        if isfinite(number):
            candidate.score = number
        else:
            candidate.failure = "its score is not finite"
    _note(seen, judged)
    return judged


def _note(seen: Sequence[Candidate], judged: Judgement) -> None:
    """Note what else the scoring says of each update."""
    for place, candidate in enumerate(seen):
        if judged.reasons:
            candidate.explanation = judged.reasons[place]
        if judged.norms is not None:
            candidate.norm = judged.norms[place].item()
        if judged.shares is not None:
            candidate.shares = _clipped_shares(candidate, judged.shares[place].tolist())
    if judged.remembered:
        for candidate, record in zip(seen, _rows(judged.remembered), strict=True):
            candidate.remembered = record


def _clipped_shares(candidate: Candidate, row: Sequence[float]) -> dict[str, float]:
    """Name the arrays of which not all is to go on."""
    state = candidate.start.state
    names = [name for name, value in state.items() if value.is_floating_point()]
    return {n: share for n, share in zip(names, row, strict=True) if share < 1}


def _recalling(
    features: Features, seen: Sequence[Candidate], scoring: Scoring
) -> Features:
    """Add what the scoring remembers of each client; of new ones it knows zeros.

    So it does of a record that lacks a number, which another version wrote.
    """
    names = scoring.remembered
    if not names:
        return features
    if isinstance(features, Tensor):
        wanted = "`features` gives a dictionary, as it has `remembered`"
        raise _wrong(scoring, wanted, "a tensor")
    new = dict.fromkeys(names, 0.0)
    rows = [each.past if each.past.keys() >= new.keys() else new for each in seen]
    recalled = {name: [row[name] for row in rows] for name in names}
    return {
        **features,
        **{n: torch.tensor(v, dtype=torch.float64) for n, v in recalled.items()},
    }


def _with_claims(
    features: Features, seen: Sequence[Candidate], scoring: Scoring
) -> Features:
    """Add how many examples each client claims, if the scoring wants to know."""
    if not scoring.needs_num_examples or isinstance(features, Tensor):
        return features
    claims = [each.update.num_examples for each in seen]
    numbers = [float(c) if isinstance(c, Real) else nan for c in claims]
    return {**features, "num_examples": torch.tensor(numbers, dtype=torch.float64)}


def _checked(judged: object, num_clients: int, scoring: Scoring) -> Judgement:
    if not isinstance(judged, Judgement):
        raise _wrong(scoring, "`judge` gives a Judgement", type(judged).__name__)
    if _shape(judged.scores) != (num_clients,):
        wanted = f"scores are a tensor of shape ({num_clients},)"
        raise _wrong(scoring, wanted, _shape(judged.scores))
    if {*judged.remembered} != {*scoring.remembered}:
        wanted = f"`judge` gives {listed(scoring.remembered) or 'nothing'} to remember"
        raise _wrong(scoring, wanted, listed(judged.remembered) or "nothing")
    if judged.reasons and len(judged.reasons) != num_clients:
        wanted = f"`judge` gives {num_clients} reasons, or none"
        raise _wrong(scoring, wanted, len(judged.reasons))
    for name, column in {**judged.remembered, "norms": judged.norms}.items():
        if column is not None and _shape(column) != (num_clients,):
            wanted = f"`judge` gives {name} as a tensor of shape ({num_clients},)"
            raise _wrong(scoring, wanted, _shape(column))
    return judged


def _check_shares(
    judged: Judgement, seen: Sequence[Candidate], scoring: Scoring
) -> None:
    shares = judged.shares
    if shares is None:
        return
    state = seen[0].start.state
    num_arrays = sum(value.is_floating_point() for value in state.values())
    shape = (len(seen), num_arrays)
    if _shape(shares) != shape:
        wanted = f"`judge` gives shares as a tensor of shape {shape}"
        raise _wrong(scoring, wanted, _shape(shares))
    if not bool(((shares >= 0) & (shares <= 1)).all()):
        raise _wrong(scoring, "`judge` gives shares from 0 to 1", "others")


def _wrong(scoring: Scoring, wanted: str, given: object) -> InvalidArgumentError:
    allowed = f"one whose {wanted}, not {given}"
    return InvalidArgumentError("scoring", scoring.name, allowed)


def _shape(scores: object) -> tuple[int, ...] | str:
    return tuple(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__


def _rows(columns: Mapping[str, Tensor]) -> Iterator[dict[str, float]]:
    """Give each client's numbers by their names."""
    values = [column.tolist() for column in columns.values()]
    for row in zip(*values, strict=True):
        yield dict(zip(columns, row, strict=True))
