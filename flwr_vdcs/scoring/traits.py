"""Scoring to traits: what it has besides features and scores, or what holds without."""

from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite
from numbers import Real
from typing import Any

from flwr_vdcs.errors import InvalidArgumentError
from flwr_vdcs.scoring.base import Features, Scoring
from flwr_vdcs.scoring.judgement import Judgement


@dataclass(frozen=True)
class Traits:
    """The optional parts of a scoring.

    Attributes
    ----------
    judge
        Gives the round's judgement; that of a scoring without has scores only.
    threshold
        Lower scores are dropped where M is not known; None if it cannot tell.
    ban_threshold
        Only lower drops count towards a ban; None if all do.
    max_update
        Longer updates are shortened to so many lengths of the median one; None if not.
    needs_momentum
        Whether it looks at the global model's momentum.
    remembered
        The names of what it wants to know again of each client.
    """

    judge: Callable[[Features], Judgement]
    threshold: float | None
    ban_threshold: float | None
    max_update: float | None
    needs_momentum: bool
    remembered: tuple[str, ...]


def traits_of(scoring: Scoring) -> Traits:
    """Find what a scoring has.

    Raises
    ------
    InvalidArgumentError
        If a part of it is not what it has to be.
    """
    threshold = _number(scoring, "threshold", None)
    return Traits(
        judge=_judge(scoring),
        threshold=threshold,
        ban_threshold=_number(scoring, "ban_threshold", threshold),
        max_update=_length(scoring),
        needs_momentum=bool(getattr(scoring, "needs_momentum", True)),
        remembered=_names(scoring),
    )


def _judge(scoring: Scoring) -> Callable[[Features], Judgement]:
    judge = getattr(scoring, "judge", lambda seen: Judgement(scoring.scores(seen)))
    if not callable(judge):
        raise _wrong(scoring, "judge", "a method, or missing", judge)
    found: Callable[[Features], Judgement] = judge
    return found


def _number(scoring: Scoring, name: str, default: float | None) -> float | None:
    value = getattr(scoring, name, default)
    if value is None:
        return None
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    if not is_number or not isfinite(value):
        raise _wrong(scoring, name, "a finite number", value)
    return float(value)


def _length(scoring: Scoring) -> float | None:
    value = _number(scoring, "max_update", None)
    if value is not None and value <= 0:
        raise _wrong(scoring, "max_update", "above zero", value)
    return value


def _names(scoring: Scoring) -> tuple[str, ...]:
    value = getattr(scoring, "remembered", ())
    is_some = isinstance(value, list | tuple)
    if not is_some or not all(isinstance(name, str) for name in value):
        raise _wrong(scoring, "remembered", "a tuple of names", value)
    return tuple(value)


def _wrong(
    scoring: Scoring, name: str, wanted: str, given: Any
) -> InvalidArgumentError:
    allowed = f"one whose `{name}` is {wanted}, not {given!r}"
    return InvalidArgumentError("scoring", scoring.name, allowed)
