"""Attacked rounds to verdicts: what each rule drops, and what its model would be.

Every rule is told the true number of malicious clients unless its name says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any, Literal

import torch
from bloodmnist.baselines.deltas import Updates, find_updates
from bloodmnist.baselines.dnc import dnc
from bloodmnist.baselines.krum import krum_scores
from bloodmnist.baselines.median import median
from bloodmnist.baselines.nnm import nnm
from bloodmnist.data import INPUT_SHAPE
from bloodmnist.model import State, build_model
from torch import Tensor

from flwr_vdcs import HardenedScoring, History, PaperScoring, Scoring, examine_round
from verdicts.adaptive import LEAKED_SEED
from verdicts.attacked import AttackedRound
from verdicts.recording import Recording

CPU = torch.device("cpu")
NUM_VIRTUAL_SAMPLES = 100
SEED = LEAKED_SEED
AUTO: Literal["auto"] = "auto"

NumMalicious = int | Literal["auto"]


@dataclass(frozen=True)
class Verdict:
    """What a rule made of a round.

    Parameters
    ----------
    scores : Tensor or None
        One for each client, the lowest the most suspicious; None for rules without.
    dropped : set of int
        The clients that were left out.
    aggregate : Tensor
        The parameters' delta of the next global model.
    seconds : float
        How long it took.
    """

    scores: Tensor | None
    dropped: frozenset[int]
    aggregate: Tensor
    seconds: float


class Judge:
    """Apply every rule to attacked rounds of one recording.

    Features of honest updates are the same under every attack, and those of attackers
    the same for every rule with that scoring. Both are computed once.
    """

    def __init__(self, recording: Recording) -> None:
        self.model = build_model(0, recording.num_classes, recording.trajectory.model)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.momentum = recording.momentum
        self._scorings: dict[str, Remembering] = {
            "paper": RememberingPaper(),
            "hardened": RememberingHardened(),
        }
        self._last: AttackedRound | None = None

    def apply(self, rule: str, attacked: AttackedRound, updates: Updates) -> Verdict:
        """Apply the rule of that name.

        Raises
        ------
        TooFewUpdatesError
            If the rule cannot resist so many malicious clients.
        """
        if rule in SCORINGS or rule in MISTAKEN:
            name, told = SCORINGS.get(rule) or MISTAKEN[rule]
            assumed = told(attacked.num_malicious)
            return self._examine(self._scorings[name], assumed, attacked, updates)
        start = perf_counter()
        if rule in AGGREGATORS:
            aggregate = AGGREGATORS[rule](updates, attacked.num_malicious)
            return Verdict(None, frozenset(), aggregate, perf_counter() - start)
        scores = SCORES[rule](updates.parameters, attacked.num_malicious)
        dropped = _lowest(scores, attacked.num_malicious)
        seconds = perf_counter() - start
        return Verdict(scores, dropped, _mean(updates, dropped), seconds)

    def _examine(
        self,
        scoring: Remembering,
        num_malicious: NumMalicious,
        attacked: AttackedRound,
        updates: Updates,
    ) -> Verdict:
        """Let the plugin decide, as it would in the round after these."""
        if attacked is not self._last:
            self._last = attacked
            for each in self._scorings.values():
                each.forget_all_but(attacked.recording.honest)
        scoring.seconds_saved = 0.0
        history = History()
        history.momentum.state = dict(self.momentum)
        found = examine_round(
            self.model,
            attacked.received,
            attacked.states,
            input_shape=INPUT_SHAPE,
            num_malicious=num_malicious,
            num_virtual_samples=NUM_VIRTUAL_SAMPLES,
            scoring=scoring,
            device=self.device,
            seed=SEED - 1,
            history=history,
        )
        decisions = found.report.decisions
        refused = {n for n, each in enumerate(decisions) if each.verdict != "kept"}
        scores = [-torch.inf if d.score is None else d.score for d in decisions]
        return Verdict(
            torch.tensor(scores, dtype=torch.float64),
            frozenset(refused),
            self._mean_of(list(found.kept.values()), attacked.received),
            found.report.seconds + scoring.seconds_saved,
        )

    def _mean_of(self, kept: list[State], received: State) -> Tensor:
        """Average what goes on; if nothing does, the model stays."""
        sent = find_updates(received, kept or [received], max(1, len(kept)))
        return sent.parameters.mean(0).to(self.device)


class Remembering(Scoring):
    """Look at each update once, however often it is scored.

    Attributes
    ----------
    seconds_saved : float
        How long it took to look at what was remembered, in all.
    """

    def __init__(self) -> None:
        self._seen: dict[tuple[int, ...], tuple[Any, float]] = {}
        self.seconds_saved = 0.0

    def features(self, context: Any, global_state: State, update: State) -> Any:
        """Look at an update, unless that was done before."""
        key = _places(update)
        if key in self._seen:
            found, seconds = self._seen[key]
            self.seconds_saved += seconds
            return found
        start = perf_counter()
        found = super().features(context, global_state, update)
        self._seen[key] = found, perf_counter() - start
        return found

    def forget_all_but(self, states: list[State]) -> None:
        """Forget the others, whose memory is used again."""
        kept = set(map(_places, states))
        self._seen = {key: seen for key, seen in self._seen.items() if key in kept}


class RememberingPaper(Remembering, PaperScoring):
    """The published score."""


class RememberingHardened(Remembering, HardenedScoring):
    """Hardened scoring."""


def _places(state: State) -> tuple[int, ...]:
    """Tell a state by the places of its arrays in memory."""
    return tuple(tensor.data_ptr() for tensor in state.values())


def cosine_scores(deltas: Tensor, _num_malicious: int = 0) -> Tensor:
    """Average the cosines of whole deltas with all others."""
    unit = deltas / deltas.norm(dim=1, keepdim=True).clamp_min(1e-30)
    return (unit @ unit.sum(0) - 1) / (len(deltas) - 1)


def norm_scores(deltas: Tensor, _num_malicious: int = 0) -> Tensor:
    """Take the longest for the most suspicious."""
    return -deltas.norm(dim=1)


def dnc_scores(deltas: Tensor, num_malicious: int) -> Tensor:
    """Take those without weight for the most suspicious."""
    return dnc(deltas, num_malicious, generator=torch.Generator().manual_seed(SEED))


SCORINGS: Mapping[str, tuple[str, Callable[[int], NumMalicious]]] = {
    "hardened": ("hardened", lambda number: number),
    "hardened, auto": ("hardened", lambda _: AUTO),
    "paper": ("paper", lambda number: number),
}
"""By name the scoring, and M in a round with so many malicious clients."""

MISTAKEN: Mapping[str, tuple[str, Callable[[int], NumMalicious]]] = {
    "hardened, one too few": ("hardened", lambda number: number - 1),
    "hardened, one too many": ("hardened", lambda number: number + 1),
}
"""Rules that are told a wrong number; they are judged only where they are named."""

SCORES: Mapping[str, Callable[[Tensor, int], Tensor]] = {
    "delta cosine": cosine_scores,
    "norm": norm_scores,
    "multi-krum": lambda deltas, num: -krum_scores(deltas, num),
    "dnc": dnc_scores,
}

AGGREGATORS: Mapping[str, Callable[[Updates, int], Tensor]] = {
    "mean": lambda updates, _: updates.parameters.mean(0),
    "median": lambda updates, _: median(updates.parameters),
    "nnm": lambda updates, num: nnm(updates, num).parameters,
}

RULES = (*SCORINGS, *SCORES, *AGGREGATORS)


def updates_of(attacked: AttackedRound, device: torch.device = CPU) -> Updates:
    """Give what the clients send as deltas, where the rules are to work on them."""
    sent = find_updates(attacked.received, attacked.states, len(attacked.states))
    parameters, buffers = sent.parameters.to(device), sent.buffers.to(device)
    return replace(sent, parameters=parameters, buffers=buffers)


def is_possible(rule: str, num_clients: int, num_malicious: int) -> bool:
    """Tell whether a rule is defined for so many malicious clients."""
    needed = {"multi-krum": 2 * num_malicious + 3, "nnm": 2 * num_malicious + 1}
    return num_clients >= needed.get(rule, 0)


def _lowest(scores: Tensor, number: int) -> frozenset[int]:
    return frozenset(scores.argsort(stable=True)[:number].tolist())


def _mean(updates: Updates, dropped: frozenset[int]) -> Tensor:
    kept = [
        client for client in range(len(updates.parameters)) if client not in dropped
    ]
    return updates.parameters[kept].mean(0)
