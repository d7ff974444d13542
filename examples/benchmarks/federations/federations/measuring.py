"""Rounds to rows, and rows to what became of the model and of each hospital."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from math import isnan, log
from statistics import mean
from typing import Any

from federations.simulation import Played, Simulation

Row = Mapping[str, Any]

FIELDS = ["federation", "is held out", "attack", "who", "seed", "rule", "round"]
FIELDS += ["metric", "damage", "success", "client", "examples", "lies", "verdict"]
FIELDS += ["score", "reason", "commit"]

RUN = ["federation", "is held out", "attack", "who", "seed", "rule"]

LAST_ROUNDS = 3
"""The final metric is the mean of so many rounds, as one of them is noisy."""

SUMMARY = [*RUN, "metric", "without plugin", "honest alone", "worst honest kept"]
SUMMARY += ["honest data kept", "honest dropped", "honest banned", "liars dropped"]
SUMMARY += ["damage", "damage without plugin", "success", "success without plugin"]
SUMMARY += ["commit"]

FALSE_ALARM_RATES = (0.05, 0.01, 0.001)

FALSE_ALARMS = ["federation", "scores", *map(str, FALSE_ALARM_RATES)]

NOT_REFUSED = frozenset({"kept", "idle"})
"""Verdicts that take nothing from a hospital: an idle one has sent nothing new."""

PLAIN, HONEST_ALONE, AUTO = "no plugin", "honest alone", "hardened, auto"


def rows_of(
    run: Row, simulation: Simulation, played: Played, commit: str = ""
) -> Iterator[Row]:
    """Give one row for each client of a round."""
    report = played.report
    decisions = {d.client_id: d for d in report.decisions} if report else {}
    for client in played.present:
        decision = decisions.get(str(client))
        yield {
            **run,
            "round": played.server_round,
            "metric": round(played.metric, 5),
            "damage": round(played.damage, 4),
            "success": "" if isnan(played.success) else round(played.success, 4),
            "client": client,
            "examples": simulation.sizes[client],
            "lies": int(client in simulation.liars),
            "verdict": decision.verdict if decision else "",
            "score": decision.score if decision and decision.score is not None else "",
            "reason": decision.reason if decision else "",
            "commit": commit,
        }


def summarise(rows: Sequence[Row]) -> Iterator[Row]:
    """Put each run with the plugin beside the same runs without it."""
    runs = {
        key: list(some)
        for key, some in groupby(rows, key=lambda row: tuple(row[n] for n in RUN))
    }
    for key, some in runs.items():
        if key[-1] in {PLAIN, HONEST_ALONE}:
            continue
        without, alone = runs[*key[:-1], PLAIN], runs[*key[:-1], HONEST_ALONE]
        yield {
            **dict(zip(RUN, key, strict=True)),
            "metric": _final(some, "metric"),
            "without plugin": _final(without, "metric"),
            "honest alone": _final(alone, "metric"),
            **_verdicts(some),
            "damage": _typical(some, "damage"),
            "damage without plugin": _typical(without, "damage"),
            "success": _final(some, "success"),
            "success without plugin": _final(without, "success"),
            "commit": some[0].get("commit", ""),
        }


def count_false_alarms(rows: Iterable[Row]) -> Iterator[Row]:
    r"""Measure false-alarm rates where nobody attacks, with ``num_malicious="auto"``.

    A false-alarm rate :math:`\alpha` is a threshold of :math:`\ln\alpha / \ln 100` for
    the score. Held-out federations only, each by itself and all of them.
    """
    scores: dict[str, list[float]] = {}
    for row in rows:
        if _is_honest_score(row):
            scores.setdefault(row["federation"], []).append(float(row["score"]))
    scores["all"] = [score for some in scores.values() for score in some]
    for federation, some in scores.items():
        if some:
            rates = {str(r): _share_below(some, r) for r in FALSE_ALARM_RATES}
            yield {"federation": federation, "scores": len(some), **rates}


def _is_honest_score(row: Row) -> bool:
    is_counted = row["attack"] == "none" and row["is held out"] == "True"
    return is_counted and row["rule"] == AUTO and row["score"] != ""


def _share_below(scores: Sequence[float], rate: float) -> float:
    threshold = log(rate) / log(100)
    return round(mean(score < threshold for score in scores), 6)


def _verdicts(rows: Iterable[Row]) -> Row:
    """Count what became of the honest and of the liars."""
    honest = [row for row in rows if not int(row["lies"])]
    liars = [row for row in rows if int(row["lies"])]
    by_client: dict[str, list[bool]] = {}
    for row in honest:
        by_client.setdefault(row["client"], []).append(row["verdict"] in NOT_REFUSED)
    data = sum(int(row["examples"]) for row in honest)
    kept = sum(int(row["examples"]) for row in honest if row["verdict"] in NOT_REFUSED)
    return {
        "worst honest kept": round(min(map(mean, by_client.values())), 4),
        "honest data kept": round(kept / data, 4),
        "honest dropped": _share(honest, "dropped"),
        "honest banned": _share(honest, "banned"),
        "liars dropped": _share(liars, "dropped"),
    }


def _share(rows: Sequence[Row], verdict: str) -> float | str:
    return round(mean(r["verdict"] == verdict for r in rows), 4) if rows else ""


def _final(rows: Iterable[Row], column: str) -> float | str:
    """Average the last rounds."""
    by_round = {int(row["round"]): row[column] for row in rows}
    last = [float(by_round[n]) for n in sorted(by_round)[-LAST_ROUNDS:] if by_round[n]]
    return round(mean(last), 4) if last else ""


def _typical(rows: Iterable[Row], column: str) -> float:
    """Take the median round."""
    by_round = {int(row["round"]): float(row[column]) for row in rows}
    return sorted(by_round.values())[len(by_round) // 2]
