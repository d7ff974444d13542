"""Updates to decisions: the examination of a round, independent of Flower's APIs."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from time import perf_counter

import torch
from torch import Tensor, nn

from flwr_vdcs.admission import admit, refused_claims
from flwr_vdcs.arrays import State
from flwr_vdcs.bounds import shares_allowed, shortened
from flwr_vdcs.errors import InvalidArgumentError, RoundOrderError
from flwr_vdcs.features import Probe
from flwr_vdcs.reference import EncodedArrays, Reference, reference_from
from flwr_vdcs.report import Decision, RoundReport
from flwr_vdcs.scored import score
from flwr_vdcs.scoring import Scoring
from flwr_vdcs.selection import (
    AUTO,
    NumMalicious,
    can_select,
    count_malicious,
    decide,
    is_protecting,
)
from flwr_vdcs.updates import Update
from flwr_vdcs.virtual import VirtualSamples, draw_samples, round_seed

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
    """

    report: RoundReport
    normalised: Mapping[int, Mapping[str, Tensor]]


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
    ) -> None:
        self.num_malicious = num_malicious
        self.num_virtual_samples = num_virtual_samples
        self.input_shape = input_shape
        self.scoring = scoring
        self.device = device
        self.seed = seed
        self._threshold: float | None = getattr(scoring, "threshold", None)
        self._max_update: float | None = getattr(scoring, "max_update", None)
        if num_malicious == AUTO and self._threshold is None:
            allowed = "a number, or a scoring with a threshold, such as 'hardened'"
            raise InvalidArgumentError("num_malicious", num_malicious, allowed)
        self._virtual_samples = virtual_samples
        self._model = model
        self._reference: Reference | None = None
        few = min(num_virtual_samples, NUM_SAMPLES_TO_TRY)
        samples = draw_samples(virtual_samples, 0, few, input_shape)
        self.probe = Probe(model, samples, head, device)

    @property
    def is_protecting(self) -> bool:
        """Whether any update may be dropped, or is everything a dry run."""
        return is_protecting(self.num_malicious)

    def start_round(self, arrays: EncodedArrays) -> None:
        """Note the global state that goes out; its arrays are viewed, not copied."""
        self._reference = reference_from(arrays, self._model)

    def examine(self, server_round: int, updates: Sequence[Update]) -> Examination:
        """Decide which of a round's updates the wrapped strategy gets."""
        if self._reference is None:
            raise RoundOrderError
        start = perf_counter()
        seed = round_seed(self.seed, server_round)
        reference = self._reference
        admission = admit(updates, reference)
        self.probe.start_round(self._draw(seed), seed, reference.state)
        scored = score(admission.states, reference.state, self.scoring, self.probe)
        failed = scored.failed if self.is_protecting else {}
        refused = {**admission.quarantined, **failed}
        num_scored = len(updates) - len(refused)
        num_malicious = count_malicious(
            self.num_malicious, scored.scores.values(), self._threshold
        )
        skipped = self.is_protecting and not can_select(num_scored, num_malicious)
        decisions = decide(
            updates,
            refused,
            scored.scores,
            num_malicious,
            skipped=skipped,
            reasons=scored.reasons,
        )
        short = self._shortened(admission.states, decisions, reference.state)
        report = RoundReport(
            server_round=server_round,
            decisions=_noting(decisions, short),
            num_malicious=num_malicious,
            scoring=self.scoring.name,
            device=str(self.device),
            seed=seed,
            seconds=perf_counter() - start,
            skipped=skipped,
            sensitivity=scored.sensitivity,
        )
        changed = {p: admission.states[p] for p in admission.normalised} | short
        return Examination(report, _in_order(changed, report, reference.keys))

    def examine_claims(
        self, server_round: int, updates: Sequence[Update]
    ) -> RoundReport:
        """Decide which answers to an evaluation the wrapped strategy gets."""
        start = perf_counter()
        decisions = decide(updates, refused_claims(updates), {}, 0, skipped=False)
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

    def _shortened(
        self,
        states: Mapping[int, State],
        decisions: Sequence[Decision],
        global_state: State,
    ) -> dict[int, State]:
        """Shorten kept updates that are longer than the scoring lets them be."""
        if self._max_update is None or not self.is_protecting:
            return {}
        names = self.probe.parameter_names
        shares = shares_allowed(states, global_state, names, self._max_update)
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
