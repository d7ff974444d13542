"""Scorings: which features to look at, and how to turn them into scores."""

from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor, sub

from flwr_vdcs.arrays import State
from flwr_vdcs.errors import UnknownScoringError
from flwr_vdcs.features import Probe
from flwr_vdcs.scores import consistency_scores


@runtime_checkable
class Scoring(Protocol):
    """A view of the updates and a way to score it.

    The M lowest scores are dropped. ``features`` is called once a client and
    ``scores`` once a round; an update whose features cannot be computed or are not
    finite is quarantined.
    """

    name: str

    def features(
        self, probe: Probe, global_state: State, update: State
    ) -> Float[Tensor, "samples features"]:
        """Look at one update."""

    def scores(
        self, features: Float[Tensor, "clients samples features"]
    ) -> Float[Tensor, " clients"]:
        """Score the updates of a round; higher is more consistent."""


class PaperScoring:
    r"""The published score: Algorithm 1 of the paper, exactly.

    The features are those of the model with the deviations
    :math:`\Delta w_k = w_k - w^g` for parameters (Eqs. 13 to 16); a client's score is
    the mean cosine similarity of its features with the others' (Eqs. 17 and 18).
    """

    name = "paper"

    def features(
        self, probe: Probe, global_state: State, update: State
    ) -> Float[Tensor, "samples features"]:
        """Run the feature extractor with the update's deviations as parameters."""

        def load_deviation(name: str, out: Tensor) -> None:
            if out.is_floating_point():
                sub(update[name], global_state[name], out=out)
            else:
                out.copy_(update[name] - global_state[name])

        return probe.features(load_deviation)

    def scores(
        self, features: Float[Tensor, "clients samples features"]
    ) -> Float[Tensor, " clients"]:
        """Take the mean cosine similarity with the other clients."""
        return consistency_scores(features)


SCORINGS = {PaperScoring.name: PaperScoring}


def resolve_scoring(scoring: object) -> Scoring:
    """Give the scoring of that name, or the user's own.

    Raises
    ------
    UnknownScoringError
        If there is none of that name, or the object lacks a part of `Scoring`.
    """
    if isinstance(scoring, str) and scoring in SCORINGS:
        return SCORINGS[scoring]()
    if not isinstance(scoring, str) and isinstance(scoring, Scoring):
        return scoring
    raise UnknownScoringError(scoring, SCORINGS)
