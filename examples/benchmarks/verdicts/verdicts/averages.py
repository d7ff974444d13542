"""Rows to averages: how well a rule does over all rounds, by attack and altogether."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from statistics import mean

from verdicts.judging import NO_ATTACK

Rows = Sequence[Mapping[str, str]]

HIDDEN = {"alie", "min-max", "min-sum", "mimic", "slow-drift"}
HIDDEN |= {"tolerated noise", "jittered alie", "leaked seed", "with the current"}
"""Attacks that are made to stay within the spread of honest clients."""


def rows_where(rows: Rows, conditions: Sequence[str]) -> Rows:
    """Choose rows by conditions like ``stage=late``; values of a column add up.

    Raises
    ------
    ValueError
        If a condition is none, or no row has such a value.
    """
    allowed: defaultdict[str, set[str]] = defaultdict(set)
    for condition in conditions:
        column, _, value = condition.partition("=")
        known = sorted({row[column] for row in rows if column in row})
        if value not in known:
            columns = ", ".join(rows[0])
            hint = f"one of {', '.join(known)}" if known else f"a column of {columns}"
            raise ValueError(f"got {condition!r}; allowed is column=value, {hint}")
        allowed[column].add(value)
    return [row for row in rows if all(row[c] in allowed[c] for c in allowed)]


def means(rows: Rows, column: str) -> dict[tuple[str, str], float]:
    """Average a column over rounds and numbers of attackers, by attack and rule."""
    found: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
    for row in rows:
        if row[column]:
            found[row["attack"], row["rule"]].append(float(row[column]))
    return {key: mean(values) for key, values in found.items()}


def open_attacks(rows: Rows) -> list[str]:
    """List the attacks that do not hide."""
    names = dict.fromkeys(row["attack"] for row in rows)
    return [name for name in names if name not in HIDDEN | {NO_ATTACK}]


def overall(rows: Rows, column: str, attacks: Collection[str]) -> dict[str, float]:
    """Average a column over some attacks, each of which counts the same, by rule."""
    by_rule: defaultdict[str, list[float]] = defaultdict(list)
    for (attack, rule), value in means(rows, column).items():
        if attack in attacks:
            by_rule[rule].append(value)
    return {rule: mean(values) for rule, values in by_rule.items()}


def false_drops(rows: Rows, rule: str) -> float:
    """Give the share of honest clients that a rule drops where nobody attacks."""
    shares = [
        int(row["num_dropped"]) / int(row["num_clients"])
        for row in rows
        if (row["attack"], row["rule"]) == (NO_ATTACK, rule)
    ]
    return mean(shares) if shares else float("nan")


def num_rounds(rows: Rows) -> int:
    """Count the recorded rounds."""
    return len({(row["seed"], row["stage"], row["local_epochs"]) for row in rows})
