"""Updates to decisions: the examination of a round, independent of Flower's APIs."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any

import torch
from torch import Tensor, nn

from flwr_vdcs.admission.admission import Admission, admit, refused_claims
from flwr_vdcs.admission.global_state import EncodedArrays, Reference, reference_from
from flwr_vdcs.admission.npy import State
from flwr_vdcs.decision.clipping import shares_allowed, shortened
from flwr_vdcs.decision.selection import (
    AUTO,
    NumMalicious,
    Selection,
    can_select,
    count_malicious,
    decide,
    is_protecting,
)
from flwr_vdcs.errors import InvalidArgumentError, RoundOrderError
from flwr_vdcs.flower.replies import Update
from flwr_vdcs.history.momentum import Momentum
from flwr_vdcs.history.replays import Replays
from flwr_vdcs.history.reputation import Ledger, Reputation
from flwr_vdcs.history.track_records import TrackRecords
from flwr_vdcs.probe.probe import Probe
from flwr_vdcs.probe.virtual_samples import VirtualSamples, draw_samples, round_seed
from flwr_vdcs.report import OUT_OF_MEMORY, TOO_FEW, Decision, RoundReport
from flwr_vdcs.scoring.base import Scoring
from flwr_vdcs.scoring.run import Scored, score
from flwr_vdcs.scoring.traits import traits_of

NUM_SAMPLES_TO_TRY = 2
"""Enough to see whether the model runs; batch normalisation needs more than one."""


@dataclass(frozen=True)
class Examination:
    """A round's report, and what the wrapped strategy gets of changed updates.

    Attributes
    ----------
    report
        The decisions, one for each update, in their order.
    normalised
        The arrays, by key, of kept updates that had to be put in the global order
        and dtype, or to be shortened, by their place in the round.
    problem
        Why nothing could be scored; None if it could.
    """

    report: RoundReport
    normalised: Mapping[int, Mapping[str, Tensor]]
    problem: Exception | None = None


class Guard:
    """Examine the updates of each round against the global state they started from."""

    def __init__(
        self,
        *,
        model: nn.Module,
        input_shape: tuple[int, ...],
        num_malicious: NumMalicious,
        num_virtual_samples: int,
        virtual_samples: VirtualSamples,
        head: str | None,
        scoring: Scoring,
        device: torch.device,
        seed: int | None,
        reputation: Reputation | None,
    ) -> None:
        self.num_malicious = num_malicious
        self.num_virtual_samples = num_virtual_samples
        self.input_shape = input_shape
        self.scoring = scoring
        self.device = device
        self.seed = seed
        self._traits = traits_of(scoring)
        if num_malicious == AUTO and self._traits.threshold is None:
            allowed = "a number, or a scoring with a threshold, such as 'hardened'"
            raise InvalidArgumentError("num_malicious", num_malicious, allowed)
        self._virtual_samples = virtual_samples
        self._model = model
        self._reference: Reference | None = None
        self._replays = Replays()
        self._banned: Mapping[str, str] = {}
        self.ledger = Ledger(reputation)
        self._track_records = TrackRecords()
        few = min(num_virtual_samples, NUM_SAMPLES_TO_TRY)
        samples = draw_samples(virtual_samples, 0, few, input_shape)
        self.probe = Probe(model, samples, head, device)
        self._momentum = Momentum(self.probe.parameter_names)

    @property
    def is_protecting(self) -> bool:
        """Whether any update may be dropped, or is everything a dry run."""
        return is_protecting(self.num_malicious)

    @property
    def bans_by_rank(self) -> bool:
        """Whether every drop counts towards a ban, however small the difference."""
        return self._traits.ban_threshold is None

    def start_round(self, arrays: EncodedArrays) -> None:
        """Note the global state that goes out; its arrays are viewed, not copied."""
        self._reference = reference_from(arrays, self._model)
        if self._traits.needs_momentum:
            self._momentum.follow(self._reference.state)

    def withhold(self, client_ids: Iterable[str]) -> Collection[str]:
        """Find those of a round's clients that are not asked, and report them."""
        self._banned = self.ledger.banned(client_ids)
        return self._banned.keys()

    def banned(self, client_ids: Iterable[str]) -> Collection[str]:
        """Find those of some clients that are banned."""
        return self.ledger.banned(client_ids).keys()

    def pardon(self, client_id: str) -> bool:
        """Forget the evidence against a client, its ban and its track record.

        Tell whether anything of it was known.
        """
        had_record = self._track_records.forget(client_id)
        return self.ledger.pardon(client_id) or had_record

    def state_dict(self) -> dict[str, Any]:
        """Give what outlives the process, as plain values."""
        records = self._track_records.state_dict()
        return {**self.ledger.state_dict(), "track_records": records}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state.

        Raises
        ------
        AttributeError, KeyError, TypeError, ValueError
            If it is no state of a guard; then nothing is changed.
        """
        records = TrackRecords()
        records.load_state_dict(state.get("track_records", {}))
        self.ledger.load_state_dict(state)
        self._track_records = records

    def examine(self, server_round: int, updates: Sequence[Update]) -> Examination:
        """Decide which of a round's updates the wrapped strategy gets."""
        if self._reference is None:
            raise RoundOrderError
        start = perf_counter()
        seed = round_seed(self.seed, self.ledger.rounds_before + server_round)
        global_state = self._reference.state
        admission = self._admit(server_round, updates, self._reference)
        samples, momentum = self._draw(seed), self._momentum.state
        self.probe.start_round(samples, seed, global_state, momentum)
        scored = self._score(updates, admission.states, global_state)
        selection = self._select(updates, admission, scored)
        if not selection.skipped:
            self._remember(updates, scored)
        short = self._shortened(admission.states, selection.decisions, global_state)
        report = RoundReport(
            server_round=server_round,
            decisions=_noting(selection.decisions, short) + self._withheld(),
            num_malicious=selection.num_malicious,
            scoring=self.scoring.name,
            device=str(self.device),
            seed=seed,
            seconds=perf_counter() - start,
            skipped=bool(selection.skipped),
            sensitivity=scored.sensitivity,
        )
        bans = self.ledger.note(report, self._traits.ban_threshold)
        report = replace(report, bans=bans)
        changed = {p: admission.states[p] for p in admission.normalised} | short
        in_order = _in_order(changed, report, self._reference.keys)
        return Examination(report, in_order, scored.problem)

    def examine_claims(
        self, server_round: int, updates: Sequence[Update]
    ) -> RoundReport:
        """Decide which answers to an evaluation the wrapped strategy gets."""
        start = perf_counter()
        decisions = decide(updates, refused_claims(updates), {}, 0)
        return RoundReport(
            server_round=server_round,
            decisions=decisions,
            num_malicious=0,
            scoring=self.scoring.name,
            device=str(self.device),
            seed=None,
            seconds=perf_counter() - start,
            phase="evaluate",
        )

    def _draw(self, seed: int) -> Tensor:
        return draw_samples(
            self._virtual_samples, seed, self.num_virtual_samples, self.input_shape
        )

    def _admit(
        self, server_round: int, updates: Sequence[Update], reference: Reference
    ) -> Admission:
        """Refuse what cannot be aggregated, and what was sent before."""
        admission = admit(updates, reference)
        if not self.is_protecting:
            return admission
        client_ids = [update.client_id for update in updates]
        names = self.probe.parameter_names
        parameters = {n: t for n, t in reference.state.items() if n in names}
        return admission.without(
            self._replays.find(server_round, client_ids, admission.states, parameters)
        )

    def _score(
        self,
        updates: Sequence[Update],
        states: Mapping[int, State],
        global_state: State,
    ) -> Scored:
        """Score the admitted updates, each client with its track record."""
        client_ids = {place: updates[place].client_id for place in states}
        records = self._track_records.of(list(client_ids.values()))
        past = dict(zip(client_ids, records, strict=True))
        try:
            return score(states, global_state, self.scoring, self.probe, past)
        except Exception as error:
            if self.is_protecting:
                raise
            return Scored(problem=error)

    def _remember(self, updates: Sequence[Update], scored: Scored) -> None:
        """Note the track records for the clients' next rounds."""
        remembered = scored.remembered.items()
        self._track_records.note({updates[p].client_id: row for p, row in remembered})

    def _select(
        self, updates: Sequence[Update], admission: Admission, scored: Scored
    ) -> Selection:
        """Decide on each update by its score, if it has one."""
        failed = scored.failed if self.is_protecting else {}
        refused = {**admission.quarantined, **failed}
        num_malicious = count_malicious(
            self.num_malicious,
            scored.scores.values(),
            self._traits.threshold,
            num_banned=len(self._banned),
        )
        num_scored = len(updates) - len(refused)
        skipped = ""
        if self.is_protecting and scored.problem is not None:
            skipped = OUT_OF_MEMORY
        elif self.is_protecting and not can_select(num_scored, num_malicious):
            skipped = TOO_FEW
        decisions = decide(
            updates,
            refused,
            scored.scores,
            num_malicious,
            skipped=skipped,
            reasons=scored.reasons,
        )
        return Selection(decisions, num_malicious, skipped)

    def _withheld(self) -> tuple[Decision, ...]:
        """Report the clients that were not asked."""
        return tuple(
            Decision(client_id, "banned", None, reason)
            for client_id, reason in self._banned.items()
        )

    def _shortened(
        self,
        states: Mapping[int, State],
        decisions: Sequence[Decision],
        global_state: State,
    ) -> dict[int, State]:
        """Shorten kept updates that are longer than the scoring lets them be."""
        if self._traits.max_update is None or not self.is_protecting:
            return {}
        names = self.probe.parameter_names
        shares = shares_allowed(states, global_state, names, self._traits.max_update)
        return {
            place: shortened(states[place], global_state, share)
            for place, share in shares.items()
            if decisions[place].verdict == "kept"
        }


def _noting(
    decisions: Sequence[Decision], short: Collection[int]
) -> tuple[Decision, ...]:
    """Say of which updates only a part was handed on."""
    reason = "shortened to the longest update that is allowed"
    return tuple(
        replace(decision, reason=reason) if place in short else decision
        for place, decision in enumerate(decisions)
    )


def _in_order(
    changed: Mapping[int, State], report: RoundReport, keys: Sequence[str]
) -> dict[int, dict[str, Tensor]]:
    """Give the arrays of kept updates that the wrapped strategy must get anew."""
    return {
        place: dict(zip(keys, state.values(), strict=True))
        for place, state in changed.items()
        if report.decisions[place].verdict == "kept"
    }
