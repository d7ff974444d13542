"""Log to settings: how the rounds were checked, and whether the log is whole."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import flwr_vdcs
from flwr_vdcs.cli.reporting.headline import in_words
from flwr_vdcs.cli.reporting.reading.log import Log


def settings_of(log: Log, paths: Sequence[Path], chain: str) -> dict[str, str]:
    """Give what there is to know about the runs, by label."""
    lines = [each.line for each in log.of("train")]
    seconds = median(line.seconds for line in lines)
    return {
        "Scoring": _different(line.scoring for line in lines),
        "Updates to drop (M)": _span([line.num_malicious for line in lines]),
        "Report only": _answered([line.report_only for line in lines]),
        "Device": _different(line.device for line in lines),
        "Training rounds": f"{len(lines):,}",
        "Runs of the server": str(log.num_runs),
        "Skipped rounds": str(sum(line.skipped for line in lines)),
        "Time of a check": f"{seconds:.2g} s (median)",
        "First line (UTC)": moment(log.rounds[0].line.time),
        "Last line (UTC)": moment(log.rounds[-1].line.time),
        "Lines left out": str(log.num_unreadable),
        "Chain of hashes": chain,
        "Read from": in_words([path.name for path in paths]),
        "Page made by": f"flwr-vdcs {flwr_vdcs.__version__}",
    }


def moment(time: datetime) -> str:
    """Write a time in UTC."""
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M}"


def _different(values: Iterable[str]) -> str:
    return in_words(sorted(set(values)))


def _answered(values: Sequence[bool]) -> str:
    if all(values):
        return "yes"
    return f"in {sum(values)} of {len(values)} rounds" if any(values) else "no"


def _span(counts: Sequence[int]) -> str:
    low, high = min(counts), max(counts)
    return str(low) if low == high else f"{low} to {high}"
