"""Round reports to numbers and settings, by name, for dashboards."""

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from flwr_vdcs.report import RoundReport, Verdict
from flwr_vdcs.sinks._labels import Labels

LEVELS: Mapping[Verdict, int] = MappingProxyType(
    {"kept": 0, "idle": 1, "dropped": 2, "quarantined": 3, "banned": 4}
)
"""Verdicts as numbers: 0 is what one hopes for, and more is worse."""


def numbers(report: RoundReport, labels: Labels) -> Iterator[tuple[str, float]]:
    """Name the numbers of a round that are worth a curve.

    Of an evaluation that is how many replies were quarantined.
    """
    if report.phase == "evaluate":
        yield "vdcs/evaluate/quarantined", report.num_quarantined
        return
    yield from _of_the_round(report)
    yield from _of_each_client(report, labels)


def settings(report: RoundReport) -> dict[str, str]:
    """Name what is the same in all rounds of a run."""
    given: dict[str, object] = {
        "scoring": report.scoring,
        "report_only": report.report_only,
    }
    if run := report.run:
        given |= {
            "num_malicious": run.num_malicious,
            "threshold": run.threshold,
            "ban_threshold": run.ban_threshold,
            "num_virtual_samples": run.num_virtual_samples,
            "reputation": run.reputation or None,
        }
        given |= {f"version {name}": what for name, what in run.versions.items()}
    return {name: "none" if what is None else str(what) for name, what in given.items()}


def run_of(report: RoundReport) -> str:
    """Tell one run from another; empty outside of a strategy."""
    return report.run.id if report.run else ""


def _of_the_round(report: RoundReport) -> Iterator[tuple[str, float]]:
    yield "vdcs/kept", report.num_kept
    yield "vdcs/idle", report.num_idle
    yield "vdcs/dropped", report.num_dropped
    yield "vdcs/quarantined", report.num_quarantined
    yield "vdcs/banned", report.num_banned
    yield "vdcs/skipped", int(report.skipped)
    yield "vdcs/seconds", report.seconds
    if report.margin is not None:
        yield "vdcs/margin", report.margin
    if report.sensitivity is not None:
        yield "vdcs/sensitivity", report.sensitivity


def _of_each_client(report: RoundReport, labels: Labels) -> Iterator[tuple[str, float]]:
    for decision in report.decisions:
        if (label := labels.of(decision)) is None:
            continue
        yield f"vdcs/verdict/{label}", LEVELS[decision.verdict]
        if decision.score is not None:
            yield f"vdcs/score/{label}", decision.score
