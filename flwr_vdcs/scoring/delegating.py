"""Scorings that do what another one does."""

from collections.abc import Callable, Sequence
from math import isfinite
from numbers import Real
from typing import Any

from jaxtyping import Float
from torch import Tensor

from flwr_vdcs.admission import State
from flwr_vdcs.errors import InvalidArgumentError
from flwr_vdcs.probe import RoundContext
from flwr_vdcs.scoring.base import Judgement, Scoring


class DelegatingScoring(Scoring):
    """Take each part from another object, or its default if the object lacks it.

    Parameters
    ----------
    scoring
        An object with ``name``, ``features`` and ``scores``, and any other part of a
        `Scoring`. The parts are read once, here.

    Raises
    ------
    InvalidArgumentError
        If a part is not what it has to be.
    """

    def __init__(self, scoring: Any) -> None:
        self.name = scoring.name
        self._features: Callable[..., Any] = scoring.features
        self._scores: Callable[..., Tensor] = scoring.scores
        self._judge = self._method(scoring, "judge")
        self._evidence = self._method(scoring, "evidence")
        self.threshold = self._number(scoring, "threshold", None)
        self._ban_threshold = self._number(scoring, "ban_threshold", self.threshold)
        self.max_update = self._multiple(scoring)
        self.needs_momentum = bool(getattr(scoring, "needs_momentum", True))
        self.needs_sensitivity = bool(getattr(scoring, "needs_sensitivity", True))
        self.needs_num_examples = bool(getattr(scoring, "needs_num_examples", False))
        self.remembered = self._names(scoring)

    @property
    def ban_threshold(self) -> float | None:
        """The other's threshold for bans."""
        return self._ban_threshold

    def evidence(self, score: float) -> float | None:
        """Weigh a round as the other does, or by how often clients are refused."""
        if self._evidence is None:
            return None
        found: float | None = self._evidence(score)
        return found

    def features(
        self, context: RoundContext, global_state: State, update: State
    ) -> Any:
        """Look at one update as the other does."""
        return self._features(context, global_state, update)

    def scores(self, features: Any) -> Float[Tensor, " clients"]:
        """Score the updates as the other does."""
        return self._scores(features)

    def judge(self, features: Any) -> Judgement:
        """Judge the updates as the other does, or by its scores alone."""
        if self._judge is None:
            return super().judge(features)
        judgement: Judgement = self._judge(features)
        return judgement

    def _method(self, scoring: Any, name: str) -> Callable[[Any], Any] | None:
        if not hasattr(scoring, name):
            return None
        method: Callable[[Any], Any] = getattr(scoring, name)
        if not callable(method):
            raise self._wrong(name, "a method, or missing", method)
        return method

    def _number(self, scoring: Any, name: str, default: float | None) -> float | None:
        value = getattr(scoring, name, default)
        if value is None:
            return None
        is_number = isinstance(value, Real) and not isinstance(value, bool)
        if not is_number or not isfinite(value):
            raise self._wrong(name, "a finite number", value)
        return float(value)

    def _multiple(self, scoring: Any) -> float | None:
        value = self._number(scoring, "max_update", None)
        if value is not None and value <= 0:
            raise self._wrong("max_update", "above zero", value)
        return value

    def _names(self, scoring: Any) -> Sequence[str]:
        value = getattr(scoring, "remembered", ())
        is_some = isinstance(value, list | tuple)
        if not is_some or not all(isinstance(name, str) for name in value):
            raise self._wrong("remembered", "a tuple of names", value)
        return tuple(value)

    def _wrong(self, part: str, wanted: str, given: object) -> InvalidArgumentError:
        allowed = f"one whose `{part}` is {wanted}, not {given!r}"
        return InvalidArgumentError("scoring", self.name, allowed)
