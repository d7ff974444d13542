"""Attacked rounds to verdicts: what each rule drops, and what its model would be.

Every rule is told the true number of malicious clients unless its name says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from time import perf_counter

import torch
from torch import Tensor

from bloodmnist.baselines.deltas import Updates, find_updates
from bloodmnist.baselines.dnc import dnc
from bloodmnist.baselines.krum import krum_scores
from bloodmnist.baselines.median import median
from bloodmnist.baselines.nnm import nnm
from bloodmnist.bench.attacked import AttackedRound
from bloodmnist.bench.recording import Recording
from bloodmnist.data import INPUT_SHAPE
from bloodmnist.model import State, build_model
from flwr_vdcs.decision.selection import AUTO, NumMalicious, count_malicious, lowest
from flwr_vdcs.probe.device import resolve_device
from flwr_vdcs.probe.probe import Probe
from flwr_vdcs.probe.virtual_samples import draw_samples, gaussian
from flwr_vdcs.scoring.base import PaperScoring, Scoring, stacked
from flwr_vdcs.scoring.hardened import HardenedScoring
from flwr_vdcs.scoring.traits import traits_of

CPU = torch.device("cpu")
NUM_VIRTUAL_SAMPLES = 100
SEED = 20


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
        draw = gaussian(INPUT_SHAPE)
        samples = draw_samples(draw, SEED, NUM_VIRTUAL_SAMPLES, INPUT_SHAPE)
        model = build_model(0, recording.num_classes, recording.trajectory.model)
        self.device = resolve_device("auto")
        self.probe = Probe(model, samples[:2], None, self.device)
        self.probe.start_round(samples, SEED, recording.received, recording.momentum)
        self._seen: dict[tuple[str, int], tuple[State, object, float]] = {}

    def apply(self, rule: str, attacked: AttackedRound, updates: Updates) -> Verdict:
        """Apply the rule of that name.

        Raises
        ------
        TooFewUpdatesError
            If the rule cannot resist so many malicious clients.
        """
        if rule in SCORINGS or rule in MISTAKEN:
            scoring, told = SCORINGS.get(rule) or MISTAKEN[rule]
            assumed = told(attacked.num_malicious)
            return self._score(scoring, assumed, attacked, updates)
        start = perf_counter()
        if rule in AGGREGATORS:
            aggregate = AGGREGATORS[rule](updates, attacked.num_malicious)
            return Verdict(None, frozenset(), aggregate, perf_counter() - start)
        scores = SCORES[rule](updates.parameters, attacked.num_malicious)
        dropped = _lowest(scores, attacked.num_malicious)
        seconds = perf_counter() - start
        return Verdict(scores, dropped, _mean(updates, dropped), seconds)

    def _score(
        self,
        scoring: Scoring,
        num_malicious: NumMalicious,
        attacked: AttackedRound,
        updates: Updates,
    ) -> Verdict:
        self._forget_all_but(attacked)
        looked = [self._look(scoring, attacked, state) for state in attacked.states]
        start = perf_counter()
        scores = scoring.scores(stacked([features for features, _ in looked]))
        seconds = perf_counter() - start + sum(each for _, each in looked)
        traits = traits_of(scoring)
        number = count_malicious(num_malicious, scores.tolist(), traits.threshold)
        dropped = _lowest(scores, number)
        mean = _mean(updates, dropped, traits.max_update)
        return Verdict(scores, dropped, mean, seconds)

    def _look(
        self, scoring: Scoring, attacked: AttackedRound, state: State
    ) -> tuple[object, float]:
        """Compute the features, unless they were before."""
        key = (scoring.name, id(state))
        if key not in self._seen:
            start = perf_counter()
            features = scoring.features(self.probe, attacked.received, state)
            self._seen[key] = (state, features, perf_counter() - start)
        _, features, seconds = self._seen[key]
        return features, seconds

    def _forget_all_but(self, attacked: AttackedRound) -> None:
        """Keep what was seen of the honest clients and of this round's attackers."""
        needed = {id(state) for state in (*attacked.recording.honest, *attacked.states)}
        self._seen = {key: seen for key, seen in self._seen.items() if key[1] in needed}


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


SCORINGS: Mapping[str, tuple[Scoring, Callable[[int], NumMalicious]]] = {
    "hardened": (HardenedScoring(), lambda number: number),
    "hardened, auto": (HardenedScoring(), lambda _: AUTO),
    "paper": (PaperScoring(), lambda number: number),
}
"""By name the scoring, and M in a round with so many malicious clients."""

MISTAKEN: Mapping[str, tuple[Scoring, Callable[[int], NumMalicious]]] = {
    "hardened, one too few": (HardenedScoring(), lambda number: number - 1),
    "hardened, one too many": (HardenedScoring(), lambda number: number + 1),
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
    return lowest(dict(enumerate(scores.tolist())), number)


def _mean(
    updates: Updates, dropped: frozenset[int], longest: float | None = None
) -> Tensor:
    """Average the kept updates, shortened to so many lengths of the median one."""
    lengths = updates.parameters.norm(dim=1)
    weights = torch.ones_like(lengths)
    if longest is not None:
        limit = longest * lengths.quantile(0.5)
        weights = (limit / lengths.clamp_min(1e-30)).clamp(max=1)
    kept = [client for client in range(len(lengths)) if client not in dropped]
    return weights[kept] @ updates.parameters[kept] / len(kept)
