"""Verdicts to rows: how many of the attackers a rule found, and what was left."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from bloodmnist.baselines.deltas import is_buffer
from torch import Tensor

from verdicts.attacked import ATTACKS, AttackedRound, attack
from verdicts.recording import Recording
from verdicts.rules import Judge, Verdict, is_possible, updates_of

NO_ATTACK = "none"


@dataclass(frozen=True)
class Row:
    """One rule on one attacked round.

    Parameters
    ----------
    model, alpha, seed, stage, local_epochs
        The recording.
    num_clients : int
        K, how many clients take part.
    accuracy : float
        The global model's before the round.
    num_malicious : int
        M, how many of them attack; for no attack, how many are dropped.
    attack, rule : str
        Their names.
    recall : float or None
        Share of the attackers that were dropped.
    num_dropped, false_drops : int
        How many clients were dropped, and how many of those were honest.
    margin : float or None
        Lowest honest score minus highest of an attacker; positive: all are ranked last.
    damage : float
        Distance of the aggregate from the honest mean, in lengths of that.
    seconds : float
        How long the rule took.
    """

    model: str
    alpha: float
    seed: int
    stage: str
    local_epochs: int
    num_clients: int
    accuracy: float
    num_malicious: int
    attack: str
    rule: str
    recall: float | None
    num_dropped: int
    false_drops: int
    margin: float | None
    damage: float
    seconds: float


COLUMNS = [field.name for field in fields(Row)]


def judge(
    judge_: Judge,
    recording: Recording,
    num_malicious: int,
    name: str,
    rules: Sequence[str],
) -> Iterator[Row]:
    """Let the rules meet one attack, or none."""
    if name == NO_ATTACK:
        attacked = AttackedRound(recording, name, num_malicious, recording.honest)
    else:
        attacked = attack(recording, name, num_malicious)
    updates = updates_of(attacked, judge_.device)
    num_attackers = 0 if name == NO_ATTACK else num_malicious
    honest_mean = updates.parameters[num_attackers:].mean(0)
    for rule in rules:
        if not is_possible(rule, recording.num_clients, num_malicious):
            continue
        verdict = judge_.apply(rule, attacked, updates)
        found = sum(client < num_attackers for client in verdict.dropped)
        yield Row(
            model=recording.trajectory.model,
            alpha=recording.trajectory.alpha,
            seed=recording.trajectory.seed,
            stage=recording.stage,
            local_epochs=recording.local_epochs,
            num_clients=recording.num_clients,
            accuracy=round(recording.accuracy, 4),
            num_malicious=num_malicious,
            attack=name,
            rule=rule,
            recall=_recall(verdict, found, num_attackers),
            num_dropped=len(verdict.dropped),
            false_drops=len(verdict.dropped) - found,
            margin=_margin(verdict, num_attackers),
            damage=round(_damage(verdict, honest_mean), 4),
            seconds=round(verdict.seconds, 4),
        )


def names(recording: Recording) -> list[str]:
    """List none, and all attacks that do anything to this model."""
    has_buffers = any(is_buffer(name) for name in recording.received)
    return [NO_ATTACK, *(n for n in ATTACKS if has_buffers or n != "buffer-only")]


class Sheet:
    """A CSV file of rows that is added to, and knows what it has.

    Parameters
    ----------
    path : Path
        The file; written with a head line if it is not there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(",".join(COLUMNS) + "\n")
        with path.open(newline="") as file:
            self._known = {_key(row) for row in csv.DictReader(file)}

    def has(self, recording: Recording, num_malicious: int, name: str) -> bool:
        """Tell whether an attack was judged already."""
        trajectory = recording.trajectory
        found = (trajectory.model, trajectory.alpha, trajectory.seed, recording.stage)
        clients = (recording.num_clients, num_malicious)
        key = (*found, recording.local_epochs, *clients, name)
        return tuple(map(str, key)) in self._known

    def add(self, rows: Sequence[Row]) -> None:
        """Write all rules' rows of one attacked round at once."""
        with self.path.open("a", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            writer.writerows(map(asdict, rows))


def _key(row: dict[str, str]) -> tuple[str, ...]:
    recording = ("model", "alpha", "seed", "stage", "local_epochs", "num_clients")
    return tuple(row[name] for name in (*recording, "num_malicious", "attack"))


def _recall(verdict: Verdict, found: int, num_attackers: int) -> float | None:
    if verdict.scores is None or not num_attackers:
        return None
    return found / num_attackers


def _margin(verdict: Verdict, num_attackers: int) -> float | None:
    if verdict.scores is None or not num_attackers:
        return None
    honest, attackers = verdict.scores[num_attackers:], verdict.scores[:num_attackers]
    return round(float(honest.min() - attackers.max()), 4)


def _damage(verdict: Verdict, honest_mean: Tensor) -> float:
    return float((verdict.aggregate - honest_mean).norm() / honest_mean.norm())
