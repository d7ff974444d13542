"""What a scoring is: which parts it must have, which it may, and what holds without."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from flwr_vdcs.admission import State
from flwr_vdcs.probe import RoundContext

TINY = torch.finfo(torch.float64).tiny

Features = Tensor | Mapping[str, Tensor]
"""What a scoring looks at: one tensor, or several by name."""


@dataclass(frozen=True)
class Judgement:
    """Scores, and what goes with them.

    Attributes
    ----------
    scores : Tensor
        One for each client; higher is more consistent.
    reasons : list of str
        A sentence for each client, reported for those that are dropped; may be empty.
    remembered : dict
        By name a number for each client. When the same clients are scored next, it
        stands under that name among their features.
    norms : Tensor or None
        The Euclidean norm of each client's parameter delta, if the scoring has computed
        it. Otherwise it is computed where kept updates are clipped.
    shares : Tensor or None
        How much of each array's delta goes on, from 0 to 1, if the update is kept: one
        row for each client, one column for each floating-point array of the global
        state, in its order. With None all of it does.
    note : str
        What is to be said of the whole round, as that its scores tell nothing; it is
        logged once and stands in the report.
    """

    scores: Float[Tensor, " clients"]
    reasons: Sequence[str] = ()
    remembered: Mapping[str, Float[Tensor, " clients"]] = field(default_factory=dict)
    norms: Float[Tensor, " clients"] | None = None
    shares: Float[Tensor, "clients arrays"] | None = None
    note: str = ""


class Scoring(ABC):
    """A view of the updates and a way to score it.

    Scores below ``threshold`` are dropped. Given a number M the M lowest are, or nobody
    where all scores are the same but for rounding in float32. A subclass must have
    ``name``, ``features`` and ``scores``; the other attributes have the defaults given
    here. An object that has the same parts without being a subclass will do as well.
    Its parts are checked when the strategy is constructed.

    ``features`` is called once a client and ``scores`` once a round. Unless in a dry
    run an update is quarantined if its features cannot be computed or have other shapes
    than most, or its score is not finite. If features can be computed for no update and
    not for the global model either, the run ends with `flwr_vdcs.errors.ScoringError`.

    Attributes
    ----------
    name : str
        Stands in reports and in the audit log.
    threshold : float or None
        With ``num_malicious="auto"``, the default, lower scores are dropped. Without
        one, ``num_malicious`` must be given as a number.
    ban_threshold : float or None
        Only drops with a lower score count towards a ban; with None every drop does.
        It is ``threshold`` unless it is set.
    max_update : float or None
        A kept update that is longer than this multiple of the median one is clipped to
        it; with None none is.
    needs_momentum : bool
        Whether the global model's momentum is kept for it, which takes as much memory
        as two copies of the model's parameters.
    needs_sensitivity : bool
        Whether scores tell little where the features do not vary with the virtual
        samples.
    needs_num_examples : bool
        Whether it is to be told how many examples the clients claim. They stand among
        the features as ``"num_examples"``, float64, NaN where none are claimed.
    remembered : tuple of str
        Names of numbers to know again when the same clients are scored next. They stand
        among the features, where new clients have zeros; `judge` gives the new ones.
    """

    name: str
    threshold: float | None = None
    max_update: float | None = None
    needs_momentum: bool = True
    needs_sensitivity: bool = True
    needs_num_examples: bool = False
    remembered: Sequence[str] = ()

    @property
    def ban_threshold(self) -> float | None:
        """The threshold for bans, which is that for drops unless it is set."""
        return self.threshold

    def evidence(self, score: float) -> float | None:
        """Weigh what a round in which a client was dropped adds to the case for a ban.

        Parameters
        ----------
        score : float
            The client's score in that round, below ``ban_threshold``.

        Returns
        -------
        float or None
            The logarithm of how much more likely the round makes harm than not; with
            None it is how often malicious and honest clients are refused.
        """
        return None

    @abstractmethod
    def features(
        self, context: RoundContext, global_state: State, update: State
    ) -> Any:
        """Look at one update.

        Parameters
        ----------
        context : RoundContext
            The round: runs the model on the virtual samples, and has the seed and the
            momentum.
        global_state : dict of str to Tensor
            What this client was sent, by the model's names.
        update : dict of str to Tensor
            What it answered.

        Returns
        -------
        Tensor or dict of str to Tensor
            Of the same shapes for every update of a round. The first axis of one tensor
            is that of the samples, if it has several; rows that are not finite count as
            zeros. In a dictionary, the name ``"sensitivity"`` is for how much the
            features vary with the samples.
        """

    @abstractmethod
    def scores(self, features: Any) -> Float[Tensor, " clients"]:
        """Score the updates of a round; higher is more consistent.

        Parameters
        ----------
        features : Tensor or dict of str to Tensor
            What ``features`` gave, stacked: the first axis is that of the clients.
        """

    def judge(self, features: Any) -> Judgement:
        """Give scores with all that goes with them; override it to say more.

        Parameters
        ----------
        features : Tensor or dict of str to Tensor
            As for ``scores``, with what is remembered of the clients.
        """
        return Judgement(self.scores(features))


def variation(
    features: Float[Tensor, "samples ..."],
) -> Float[Tensor, ""]:
    """Measure how much of the length of some rows is not common to them all.

    It is 0 where all rows are the same, and 1 where they add up to nothing.
    """
    rows = features.double().flatten(1)
    rows = rows / rows.abs().max().clamp_min(TINY)
    spread: Tensor = torch.linalg.vector_norm(rows - rows.mean(0))
    length: Tensor = torch.linalg.vector_norm(rows)
    return spread / length.clamp_min(TINY)
