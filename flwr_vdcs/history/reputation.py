r"""Decisions to bans: who is refused too often for an honest client's bad luck.

A client's evidence is a cumulative sum (Page, "Continuous Inspection Schemes", 1954) of
log-likelihood ratios. In every round a client that is refused, dropped or quarantined,
gains :math:`\ln (q / p)`, and one that is kept gains
:math:`\ln ((1 - q) / (1 - p))`, which is negative; the sum never falls below zero. Here
q is how often malicious clients are refused, and p how often an honest one would be if
refusals hit at random: the share of the round's scored updates that were dropped. Where
the scoring has a threshold for bans, only drops below it count: with M given, honest
clients are dropped too when fewer than M are malicious. A scoring whose scores are
log-likelihood ratios themselves says what such a drop adds.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite, log
from typing import Any

from flwr_vdcs.errors import InvalidArgumentError
from flwr_vdcs.history._counts import checked_count, checked_number
from flwr_vdcs.history._last_clients import LastClients
from flwr_vdcs.report import Decision

EVEN = 0.5
"""A client refused less often is more often of use."""

LEAST_RATE = 0.05
"""How often honest clients are refused at least, whatever one round looks like."""

PROBATION = 0.5
"""Share of the limit with which a client comes back."""

REFUSED = ("dropped", "quarantined")


Evidence = Callable[[float], float | None]
"""A score to a log-likelihood ratio, or None where scores are none."""


def no_evidence(score: float) -> None:
    """Leave it to how often clients are refused."""


@dataclass(frozen=True)
class Reputation:
    """How much evidence bans a client, and for how long.

    Parameters
    ----------
    false_bans : float, default 1e-5
        How often, at most, an honest client is banned, per round, if it is dropped no
        more often than others: in (0, 1). A ban needs evidence of ``-ln(false_bans)``.
    refusal_rate : float, default 0.8
        How often malicious clients are refused, in (0.5, 1). Lower bans those that
        misbehave now and then, but also honest ones that are often dropped.
    parole : int, default 50
        For how many rounds a client is banned. Then it is asked again, with half of the
        evidence that bans.

    Raises
    ------
    InvalidArgumentError
        If a value is outside its range.
    """

    false_bans: float = 1e-5
    refusal_rate: float = 0.8
    parole: int = 50

    def __post_init__(self) -> None:
        """Check the ranges."""
        if not 0 < self.false_bans < 1:
            given = self.false_bans
            raise InvalidArgumentError("false_bans", given, "a number in (0, 1)")
        if not EVEN < self.refusal_rate < 1:
            given = self.refusal_rate
            raise InvalidArgumentError("refusal_rate", given, "a number in (0.5, 1)")
        if not isinstance(self.parole, int) or self.parole < 1:
            raise InvalidArgumentError("parole", self.parole, "an int >= 1")

    @property
    def limit(self) -> float:
        """The evidence that bans a client."""
        return -log(self.false_bans)

    def evidence(
        self,
        decision: Decision,
        share_dropped: float,
        of_score: Evidence = no_evidence,
    ) -> float:
        """Weigh one decision: above zero for a refusal, below for a kept update.

        Parameters
        ----------
        decision
            What became of the client's update.
        share_dropped
            The share of the round's scored updates that were dropped, in [0, 1].
        of_score
            What the scoring says that a drop with some score adds, if it does.
        """
        if decision.verdict == "dropped" and decision.score is not None:
            said = of_score(decision.score)
            if said is not None and isfinite(said):
                return said
        by_chance = 0.0 if decision.verdict == "quarantined" else share_dropped
        by_chance = min(max(by_chance, LEAST_RATE), self.refusal_rate)
        if decision.verdict in REFUSED:
            return log(self.refusal_rate / by_chance)
        return log((1 - self.refusal_rate) / (1 - by_chance))


@dataclass(frozen=True)
class Standing:
    """What is known of one client.

    Attributes
    ----------
    evidence : float
        The cumulative sum, from 0 to the limit.
    parole : int or None
        The round, counted over restarts, in which it is asked again; None if it is not
        banned.
    """

    evidence: float = 0.0
    parole: int | None = None


class Ledger:
    """Keep the standing of each client over the rounds, and over restarts.

    Parameters
    ----------
    reputation
        The settings, or None to ban nobody.

    Attributes
    ----------
    num_rounds
        Rounds noted, those before a restart included.
    rounds_before
        Those before it alone.
    """

    def __init__(self, reputation: Reputation | None) -> None:
        self.reputation = reputation
        self.num_rounds = 0
        self.rounds_before = 0
        self._standings: LastClients[Standing] = LastClients()

    def banned(self, client_ids: Iterable[str]) -> dict[str, str]:
        """Find those that are banned in the round to come, and say until when."""
        if self.reputation is None:
            return {}
        found: dict[str, str] = {}
        for client_id in client_ids:
            standing = self._standing(client_id)
            if standing.parole is not None:
                left = standing.parole - self.num_rounds
                found[client_id] = f"banned, asked again in {left} rounds"
                self._standings.note(client_id, standing)
        return found

    def note(
        self,
        decisions: Sequence[Decision],
        threshold: float | None = None,
        *,
        of_score: Evidence = no_evidence,
        excused: Collection[str] = (),
    ) -> tuple[str, ...]:
        """Note a round's decisions, and name those banned from now on.

        Parameters
        ----------
        decisions
            What became of each client.
        threshold
            Where the scoring has one, drops with a higher score tell nothing.
        of_score
            What the scoring says that a drop with some score adds, if it does.
        excused
            Ids of clients of whom this round tells nothing.
        """
        self.num_rounds += 1
        if self.reputation is None:
            return ()
        self._release()
        if not decisions:
            return ()
        share_dropped = _share_dropped(decisions)
        for decision in decisions:
            is_excused = decision.client_id in excused
            if not is_excused and not _is_by_number(decision, threshold):
                added = self.reputation.evidence(decision, share_dropped, of_score)
                self._weigh(decision, added, self.reputation.limit)
        return self._ban(decisions, self.reputation)

    def pardon(self, client_id: str) -> bool:
        """Forget all evidence against a client, and its ban; tell if there was any."""
        return self._standings.pop(client_id, None) is not None

    def state_dict(self) -> dict[str, Any]:
        """Give all as plain values, for JSON."""
        clients = {
            client_id: {"evidence": standing.evidence, "parole": standing.parole}
            for client_id, standing in self._standings.items()
        }
        return {"num_rounds": self.num_rounds, "clients": clients}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state.

        Raises
        ------
        KeyError, TypeError, ValueError
            If it is no state of a ledger; then nothing is changed.
        """
        standings: LastClients[Standing] = LastClients()
        for client_id, fields in state["clients"].items():
            standings.note(str(client_id), _standing(**fields))
        self.num_rounds = self.rounds_before = checked_count(state["num_rounds"])
        self._standings = standings
        self._release()

    def _standing(self, client_id: str) -> Standing:
        return self._standings.get(client_id, Standing())

    def _weigh(self, decision: Decision, added: float, limit: float) -> None:
        standing = self._standing(decision.client_id)
        if decision.verdict == "banned" or standing.parole is not None:
            return
        evidence = standing.evidence + added
        if evidence > 0:
            self._standings.note(decision.client_id, Standing(min(evidence, limit)))
        else:
            self._standings.pop(decision.client_id, None)

    def _ban(
        self, decisions: Sequence[Decision], reputation: Reputation
    ) -> tuple[str, ...]:
        """Ban those with the most evidence, though never half of a round's clients."""
        guilty = {
            client_id: standing.evidence
            for client_id, standing in self._standings.items()
            if standing.parole is None and standing.evidence >= reputation.limit
        }
        clients = {decision.client_id for decision in decisions}
        room = max(0, (len(clients) - 1) // 2 - _count_of("banned", decisions))
        worst = sorted(guilty, key=lambda client_id: -guilty[client_id])[:room]
        for client_id in worst:
            parole = self.num_rounds + reputation.parole
            self._standings[client_id] = Standing(reputation.limit, parole)
        return tuple(worst)

    def _release(self) -> None:
        """Let those whose parole has come back, on probation."""
        if self.reputation is None:
            return
        on_probation = Standing(PROBATION * self.reputation.limit)
        for client_id, standing in self._standings.items():
            if standing.parole is not None and standing.parole <= self.num_rounds:
                self._standings[client_id] = on_probation


def _is_by_number(decision: Decision, threshold: float | None) -> bool:
    """Tell whether a client was dropped only because M clients had to be."""
    if decision.verdict != "dropped" or decision.score is None or threshold is None:
        return False
    return decision.score >= threshold


def _share_dropped(decisions: Sequence[Decision]) -> float:
    num_dropped = _count_of("dropped", decisions)
    num_scored = num_dropped + _count_of("kept", decisions)
    return num_dropped / num_scored if num_scored else 0.0


def _count_of(verdict: str, decisions: Sequence[Decision]) -> int:
    return sum(decision.verdict == verdict for decision in decisions)


def _standing(evidence: float, parole: int | None) -> Standing:
    found = checked_number(evidence)
    if found < 0:
        raise ValueError(f"evidence {evidence!r} is below 0")
    return Standing(found, None if parole is None else checked_count(parole))
