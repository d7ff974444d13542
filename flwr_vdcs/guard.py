"""Updates to decisions: the examination of a round, independent of Flower's APIs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from time import perf_counter

import torch
from torch import Tensor, nn

from flwr_vdcs.admission import Admission, admit, refused_claims
from flwr_vdcs.arrays import State
from flwr_vdcs.errors import InvalidArgumentError, RoundOrderError
from flwr_vdcs.features import Probe
from flwr_vdcs.reference import EncodedArrays, Reference, reference_from
from flwr_vdcs.report import RoundReport
from flwr_vdcs.scoring import Scoring
from flwr_vdcs.selection import (
    NumMalicious,
    can_select,
    count_malicious,
    decide,
)
from flwr_vdcs.updates import Update
from flwr_vdcs.virtual import VirtualSamples, draw_samples, round_seed

NUM_SAMPLES_TO_TRY = 2
"""Enough to see whether the model runs; batch normalisation needs more than one."""

MIN_SCORED = 2


@dataclass(frozen=True)
class Examination:
    """A round's report, and what the wrapped strategy gets of changed updates.

    Attributes
    ----------
    report
        The decisions, one for each update, in their order.
    normalised
        The arrays, by key, of kept updates that had to be put in the global order
        and dtype, by their place in the round.
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
        self._virtual_samples = virtual_samples
        self._model = model
        self._reference: Reference | None = None
        few = min(num_virtual_samples, NUM_SAMPLES_TO_TRY)
        samples = draw_samples(virtual_samples, 0, few, input_shape)
        self.probe = Probe(model, samples, head, device)

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
        features, failed = self._look(admission.states, reference.state, seed)
        places = [place for place in admission.states if place not in failed]
        scores, unscored = self._score(features, places)
        unsure = {**failed, **unscored} if self.num_malicious > 0 else {}
        refused = {**admission.quarantined, **unsure}
        num_scored = len(updates) - len(refused)
        num_malicious = count_malicious(self.num_malicious, num_scored)
        skipped = self.num_malicious > 0 and not can_select(num_scored, num_malicious)
        report = RoundReport(
            server_round=server_round,
            decisions=decide(updates, refused, scores, num_malicious, skipped=skipped),
            num_malicious=num_malicious,
            scoring=self.scoring.name,
            device=str(self.device),
            seed=seed,
            seconds=perf_counter() - start,
            skipped=skipped,
        )
        return Examination(report, _in_order(admission, report, reference.keys))

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

    def _look(
        self, states: Mapping[int, State], global_state: State, seed: int
    ) -> tuple[Tensor, dict[int, str]]:
        """Compute the features of the updates, and tell which have none and why."""
        samples = draw_samples(
            self._virtual_samples, seed, self.num_virtual_samples, self.input_shape
        )
        self.probe.start_round(samples, seed, global_state)
        rows: list[Tensor] = []
        failed: dict[int, str] = {}
        for place, state in states.items():
            try:
                found = self.scoring.features(self.probe, global_state, state)
            except Exception as error:  # noqa: BLE001  # an update made the model raise
                failed[place] = f"the model cannot run with it: {type(error).__name__}"
                continue
            rows.append(_without_direction_where_not_finite(found))
        return torch.stack(rows) if rows else torch.empty(0, 0, 0), failed

    def _score(
        self, features: Tensor, places: Sequence[int]
    ) -> tuple[dict[int, float], dict[int, str]]:
        """Score the updates; a single one has nobody to be compared with."""
        if len(features) < MIN_SCORED:
            return {}, {}
        found = self.scoring.scores(features)
        if found.shape != (len(features),):
            allowed = f"an object whose `scores` gives {len(features)} numbers here"
            raise InvalidArgumentError("scoring", self.scoring.name, allowed)
        scores = dict(zip(places, found.tolist(), strict=True))
        finite = {place: s for place, s in scores.items() if isfinite(s)}
        return finite, dict.fromkeys(scores.keys() - finite, "its score is not finite")


def _without_direction_where_not_finite(features: Tensor) -> Tensor:
    """Let a sample whose features overflow agree with nobody: its cosine is 0."""
    is_finite = torch.isfinite(features).all(dim=-1, keepdim=True)
    return torch.where(is_finite, features, 0.0)


def _in_order(
    admission: Admission, report: RoundReport, keys: Sequence[str]
) -> dict[int, dict[str, Tensor]]:
    """Give the arrays of kept updates that the wrapped strategy must get anew."""
    kept = {p for p, d in enumerate(report.decisions) if d.verdict == "kept"}
    return {
        place: dict(zip(keys, admission.states[place].values(), strict=True))
        for place in kept & admission.normalised
    }
