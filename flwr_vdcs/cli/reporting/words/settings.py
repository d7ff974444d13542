"""Ledger to settings: how the rounds were checked, run by run."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from statistics import median

from flwr_vdcs.cli.reporting.ledger import Entry, Ledger
from flwr_vdcs.cli.reporting.words.text import in_words, moment, plural

MAX_RUNS = 50
"""So many are listed, the last ones."""

NOT_TOLD = "not in the log: it was written by version 0.1"


@dataclass(frozen=True)
class RunSettings:
    """What there is to know about one run of the server, by label."""

    title: str
    settings: dict[str, str]


def settings_of(ledger: Ledger, paths: Sequence[Path], chain: str) -> dict[str, str]:
    """Give what is to be said of the log as a whole, by label."""
    lines = [each.line for each in ledger.of("train")]
    seconds = median(line.seconds for line in lines)
    return {
        "Training rounds": f"{len(lines):,}",
        "Runs of the server": str(ledger.num_runs),
        "Skipped rounds": str(sum(line.skipped for line in lines)),
        "Report only": _answered([line.report_only for line in lines]),
        "Time of a check": f"{seconds:.2g} s (median)",
        "First line (UTC)": moment(ledger.entries[0].line.time),
        "Last line (UTC)": moment(ledger.entries[-1].line.time),
        "Lines left out": str(ledger.num_unreadable),
        "Read from": in_words([path.name for path in paths]),
        "Chain of hashes": chain,
    }


def runs_of(ledger: Ledger) -> list[RunSettings]:
    """Give the settings of each run, those that the log has; the last runs first."""
    groups = groupby(ledger.entries, lambda each: each.run)
    runs = [_settings(number, list(entries)) for number, entries in groups]
    return runs[-MAX_RUNS:][::-1]


def _settings(number: int, entries: Sequence[Entry]) -> RunSettings:
    first, last = entries[0].number, entries[-1].number
    rounds = f"round {first}" if first == last else f"rounds {first} to {last}"
    told_by = [each for each in entries if each.line.phase == "train"] or entries
    lines = [each.line for each in told_by]

    def told(tell: Callable[[Entry], str]) -> str:
        return _different(tell(each) for each in told_by)

    return RunSettings(
        f"Run {number}: {rounds}",
        {
            "Run id": told(
                lambda each: each.line.run.id if each.line.run else NOT_TOLD
            ),
            "M as set": told(_m_as_set),
            "Updates to drop in a round": _span([line.num_malicious for line in lines]),
            "Threshold for dropping": told(_threshold),
            "Threshold for bans": told(_ban_threshold),
            "Virtual samples (N)": told(_num_virtual_samples),
            "Bans (reputation)": told(_reputation),
            "Scoring": _different(line.scoring for line in lines),
            "Device": _different(line.device for line in lines),
            "Versions that decided": told(_versions),
            "Time (UTC)": f"{moment(lines[0].time)} to {moment(lines[-1].time)}",
        },
    )


def _m_as_set(each: Entry) -> str:
    return str(each.line.run.num_malicious) if each.line.run else NOT_TOLD


def _threshold(each: Entry) -> str:
    run = each.line.run
    if run is None:
        return NOT_TOLD
    if run.threshold is None:
        return "none: the scoring has none"
    used = "" if run.num_malicious == "auto" else ", not used: M is a number"
    return f"{run.threshold:g}{used}"


def _ban_threshold(each: Entry) -> str:
    run = each.line.run
    if run is None:
        return NOT_TOLD
    return "none" if run.ban_threshold is None else f"{run.ban_threshold:g}"


def _num_virtual_samples(each: Entry) -> str:
    return f"{each.line.run.num_virtual_samples:,}" if each.line.run else NOT_TOLD


def _reputation(each: Entry) -> str:
    run = each.line.run
    return NOT_TOLD if run is None else run.reputation or "nobody is banned"


def _versions(each: Entry) -> str:
    run = each.line.run
    if run is None:
        return NOT_TOLD
    return ", ".join(f"{name} {number}" for name, number in run.versions.items())


def _different(values: Iterable[str]) -> str:
    return in_words(sorted(set(values)))


def _answered(values: Sequence[bool]) -> str:
    if all(values):
        return "yes"
    return (
        f"in {sum(values)} of {plural(len(values), 'round')}" if any(values) else "no"
    )


def _span(counts: Sequence[int]) -> str:
    low, high = min(counts), max(counts)
    return str(low) if low == high else f"{low} to {high}"
