"""Scorings: which features to look at, and how to turn them into scores."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor, stack, sub

from flwr_vdcs.admission.npy import State
from flwr_vdcs.errors import UnknownScoringError
from flwr_vdcs.probe.probe import Probe
from flwr_vdcs.scoring.cosine import consistency_scores
from flwr_vdcs.scoring.hardened import HardenedScoring

Features = Tensor | Mapping[str, Tensor]
"""What a scoring looks at: one tensor, or several by name."""


@runtime_checkable
class Scoring(Protocol):
    """A view of the updates and a way to score it.

    The M lowest scores are dropped. ``features`` is called once a client and
    ``scores`` once a round. An update is quarantined if its features cannot be computed
    or have other shapes than most, or its score is not finite. If features can be
    computed for no update and not for the global model either, the run ends with
    `flwr_vdcs.errors.ScoringError`.

    An object may have more than is asked for here: ``threshold``, a number, lets
    ``num_malicious="auto"`` drop what scores lower; ``ban_threshold``, a number (the
    threshold if there is none), lets only lower drops count towards a ban;
    ``max_update``, a number, has kept updates shortened to this multiple of the median
    one; ``needs_momentum``, if false, saves the memory of ``probe.momentum``. Instead
    of ``scores`` its ``judge(features)`` is called, if it has one, which
    gives a `Judgement`: scores, reasons, and numbers to remember of each client. These
    stand among the features when the same clients are scored next, under the names in
    ``remembered``; new clients have zeros there.
    """

    name: str

    def features(self, probe: Probe, global_state: State, update: State) -> Any:
        """Look at one update.

        Returns
        -------
        Tensor or dict of str to Tensor
            Of the same shapes for every update of a round.
        """

    def scores(self, features: Any) -> Float[Tensor, " clients"]:
        """Score the updates of a round; higher is more consistent.

        Parameters
        ----------
        features : Tensor or dict of str to Tensor
            What ``features`` gave, stacked: the first axis is that of the clients.
        """


class PaperScoring:
    r"""The published score: Algorithm 1 of the paper, exactly.

    The features are those of the model with the deviations
    :math:`\Delta w_k = w_k - w^g` for parameters (Eqs. 13 to 16); a client's score is
    the mean cosine similarity of its features with the others' (Eqs. 17 and 18).
    """

    name = "paper"
    needs_momentum = False

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


SCORINGS: Mapping[str, type[Scoring]] = {
    PaperScoring.name: PaperScoring,
    HardenedScoring.name: HardenedScoring,
}


INSENSITIVE = 1e-3
"""Features that vary less than this with the virtual samples say the same of all."""


def is_blind(scoring: str, sensitivity: float | None) -> bool:
    """Tell whether the scoring of that name saw little in a round, and depends on it.

    Parameters
    ----------
    scoring
        A name, as reports and audit logs have it.
    sensitivity
        How much the features varied with the virtual samples; None if unknown.
    """
    if sensitivity is None or scoring == HardenedScoring.name:
        return False
    return sensitivity < INSENSITIVE


def stacked(rows: Sequence[Any]) -> Features:
    """Put what was seen of each update together."""
    if isinstance(rows[0], Tensor):
        return stack([*rows])
    return {name: stack([row[name] for row in rows]) for name in rows[0]}


def resolve_scoring(scoring: object) -> Scoring:
    """Give the scoring of that name, or the user's own.

    Raises
    ------
    UnknownScoringError
        If there is none of that name, or the object lacks a part of `Scoring`, whose
        name is a string.
    """
    if isinstance(scoring, str) and scoring in SCORINGS:
        return SCORINGS[scoring]()
    is_instance = not isinstance(scoring, str | type)
    if is_instance and isinstance(scoring, Scoring) and isinstance(scoring.name, str):
        return scoring
    raise UnknownScoringError(scoring, SCORINGS)
