"""What a round decided, and why: client ids, verdicts, scores and reasons only."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any, Literal

Verdict = Literal["kept", "idle", "dropped", "quarantined", "banned"]

Phase = Literal["train", "evaluate", "aggregate"]

SKIPPED = "round skipped: "
TOO_FEW = f"{SKIPPED}too few updates to compare"
OUT_OF_MEMORY = f"{SKIPPED}the server ran out of memory"
"""Reasons why no update of a round goes on."""


def below_quorum(num_answers: int, num_asked: int, quorum: float) -> str:
    """Give the reason why a round with too few answers is skipped."""
    return (
        f"{SKIPPED}{num_answers} of {num_asked} clients answered, and the quorum "
        f"is {quorum:g}"
    )


DECIMALS = 12
"""To so many decimals scores are compared; what is beyond is rounding."""

INSENSITIVE = 1e-3
"""Features that vary less than this with the virtual samples say the same of all."""


@dataclass(frozen=True)
class Decision:
    """What became of one client's update.

    Attributes
    ----------
    client_id : str
        Flower's node id (Message API) or the client proxy's id (legacy).
    verdict : str
        ``"kept"``, ``"idle"`` (had nothing to train on; left out without blame),
        ``"dropped"`` (scored too low, or the round was skipped), ``"quarantined"``
        (not fit to be scored) or ``"banned"`` (not asked).
    score : float or None
        The client's score; None where it was not scored.
    reason : str
        Why it was not kept, or was clipped; empty if it was kept as it is.
    name : str
        What Flower calls the node; empty where it has no name.
    """

    client_id: str
    verdict: Verdict
    score: float | None = None
    reason: str = ""
    name: str = ""


@dataclass(frozen=True)
class Run:
    """What is the same in all rounds of a run, and decided with what.

    Attributes
    ----------
    id : str
        Drawn anew for each strategy object.
    num_malicious : int, float or str
        M as it was set; ``"auto"`` leaves it to the threshold.
    threshold : float or None
        With ``"auto"`` updates that score lower are dropped.
    ban_threshold : float or None
        Only drops that score lower count towards a ban. Neither is there where the
        scoring has none.
    num_virtual_samples : int
        N.
    reputation : str
        The settings of bans; empty if nobody is banned.
    versions : dict
        Of this package, Flower and PyTorch.
    """

    id: str
    num_malicious: int | float | str
    threshold: float | None
    ban_threshold: float | None
    num_virtual_samples: int
    reputation: str
    versions: Mapping[str, str]


@dataclass(frozen=True)
class RoundReport:
    """One round's decisions, in the order in which the replies came.

    Attributes
    ----------
    server_round : int
        The round, starting from 1.
    decisions : tuple of Decision
        One for each reply with content, then one for each banned client that would
        have been asked.
    num_malicious : int
        How many updates were to be dropped in this round: M if it is given, else as
        many as scored below the threshold, and fewer than half.
    scoring : str
        Name of the scoring.
    device : str
        Where the features were computed.
    seed : int
        Seed of the virtual samples.
    seconds : float
        Wall-clock time of the whole examination.
    skipped : bool
        Whether the round was skipped and the global model kept.
    phase : str
        ``"train"``, ``"evaluate"``, or ``"aggregate"``: what became of a training
        round afterwards, without decisions.
    sensitivity : float or None
        How much the features vary with the virtual samples, from 0, where they do not,
        to 1, where they share no common part; None where nothing was scored.
    bans : tuple of str
        Ids of the clients that are banned from the next round on.
    scores_alike : bool
        Whether all scores were the same but for rounding, so that nobody was dropped;
        False with ``num_malicious="auto"``, which compares scores with a threshold.
    note : str
        What the scoring says of the whole round, as that nobody can be told to work
        against the others; empty if there is nothing to say.
    report_only : bool
        Whether all this was only reported: the wrapped strategy got every reply as it
        came, and nobody was left out.
    run : Run or None
        The settings and versions that decided; None outside of a strategy.
    """

    server_round: int
    decisions: tuple[Decision, ...]
    num_malicious: int
    scoring: str
    device: str
    seed: int | None
    seconds: float
    skipped: bool = False
    phase: Phase = "train"
    sensitivity: float | None = None
    bans: tuple[str, ...] = ()
    scores_alike: bool = False
    note: str = ""
    report_only: bool = False
    run: Run | None = None

    @property
    def num_kept(self) -> int:
        """Number of updates handed to the wrapped strategy, for what was decided."""
        return self._count("kept")

    @property
    def num_idle(self) -> int:
        """Number of clients that had nothing to train on, left out without blame."""
        return self._count("idle")

    @property
    def num_dropped(self) -> int:
        """Number of admitted updates left out."""
        return self._count("dropped")

    @property
    def num_quarantined(self) -> int:
        """Number of replies not fit to be scored."""
        return self._count("quarantined")

    @property
    def num_banned(self) -> int:
        """Number of clients that were not asked, or not heard, as they are banned."""
        return self._count("banned")

    @property
    def is_empty(self) -> bool:
        """Whether there were updates or bans, and no update was kept."""
        return bool(self.decisions) and not self.num_kept

    @property
    def is_out_of_memory(self) -> bool:
        """Whether the round was skipped for want of memory."""
        return any(d.reason == OUT_OF_MEMORY for d in self.decisions)

    @property
    def is_insensitive(self) -> bool:
        """Whether features hardly varied with the virtual samples."""
        return self.sensitivity is not None and self.sensitivity < INSENSITIVE

    @property
    def is_tied(self) -> bool:
        """Whether a dropped and a kept client have the same score."""
        dropped, kept = (
            {round(score, DECIMALS) for score in self._scores(verdict)}
            for verdict in ("dropped", "kept")
        )
        return bool(dropped & kept)

    @property
    def margin(self) -> float | None:
        """Lowest score kept minus highest dropped; None if there are not both.

        Nor is there one where it is beyond floating point.
        """
        kept, dropped = self._scores("kept"), self._scores("dropped")
        if not kept or not dropped:
            return None
        margin = min(kept) - max(dropped)
        return margin if isfinite(margin) else None

    def counts(self) -> dict[str, Any]:
        """Give the metrics that a round returns to Flower.

        Banned and idle clients are counted only where there are any.
        """
        unusual = {"vdcs-num-banned": self.num_banned, "vdcs-num-idle": self.num_idle}
        return {
            "vdcs-num-kept": self.num_kept,
            "vdcs-num-dropped": self.num_dropped,
            "vdcs-num-quarantined": self.num_quarantined,
            **{name: count for name, count in unusual.items() if count},
        }

    def to_dict(self) -> Mapping[str, Any]:
        """Give the report as plain values, for JSON."""
        return {**asdict(self), "margin": self.margin}

    @property
    def why_skipped(self) -> str:
        """Why the round was skipped; empty if it was not."""
        reasons = (d.reason for d in self.decisions if d.reason.startswith(SKIPPED))
        return next(reasons, TOO_FEW) if self.skipped else ""

    def _scores(self, verdict: str) -> list[float]:
        return [
            d.score
            for d in self.decisions
            if d.verdict == verdict and d.score is not None
        ]

    def _count(self, verdict: Verdict) -> int:
        return sum(decision.verdict == verdict for decision in self.decisions)
