"""Round reports to one line of text for people."""

from collections.abc import Iterator

from flwr_vdcs.errors import quoted
from flwr_vdcs.report import Decision, RoundReport, Verdict

MAX_NAMED = 10
"""So many clients are named for one verdict; the others are counted."""

MAX_REASON = 200
"""So many characters of a reason are shown."""

NOTHING_LEFT = "skipped: no update is left to aggregate"
"""Why a round is skipped in which nobody was dropped."""


def summarize(report: RoundReport) -> str:
    """Say in one line what a round decided: who was left out, why, and what was kept.

    Returns
    -------
    str
        For example ``"round 7: dropped hospital-3 (score -1.60): …; kept 9 of 10"``.
        Clients are called by name, or by id where they have no name.
    """
    return f"{_heading(report)}: {'; '.join(_parts(report))}"


def is_eventful(report: RoundReport) -> bool:
    """Tell whether a round banned, quarantined or dropped somebody, or was skipped."""
    is_refusal = report.num_dropped or report.num_quarantined
    return bool(report.bans or report.skipped or is_refusal)


def _heading(report: RoundReport) -> str:
    phase = ", evaluation" if report.phase == "evaluate" else ""
    mode = ", report only" if report.report_only else ""
    return f"round {report.server_round}{phase}{mode}"


def _parts(report: RoundReport) -> Iterator[str]:
    if report.bans:
        names = {each.client_id: _name(each) for each in report.decisions}
        banned = [names.get(each, _printable(each)) for each in report.bans]
        yield f"banned from now on: {_listed(banned)}"
    yield from _refusals(report, "quarantined")
    if report.skipped:
        yield _skip(report)
    else:
        yield from _refusals(report, "dropped")
    yield _counts(report)


def _skip(report: RoundReport) -> str:
    """Say once why everybody was left out."""
    reasons = (each.reason for each in report.decisions if each.verdict == "dropped")
    return next(reasons, NOTHING_LEFT).removeprefix("round ")


def _refusals(report: RoundReport, verdict: Verdict) -> Iterator[str]:
    """Name who got a verdict, and why; then count the others."""
    refused = [each for each in report.decisions if each.verdict == verdict]
    for decision in refused[:MAX_NAMED]:
        yield f"{verdict} {_name(decision)}{_score(decision)}{_reason(decision)}"
    if more := len(refused[MAX_NAMED:]):
        yield f"{verdict} {more} more"


def _counts(report: RoundReport) -> str:
    counts = {"idle": report.num_idle, "banned": report.num_banned}
    unusual = "".join(f", {name} {count}" for name, count in counts.items() if count)
    return f"kept {report.num_kept} of {len(report.decisions)}{unusual}"


def _score(decision: Decision) -> str:
    return "" if decision.score is None else f" (score {decision.score:.2f})"


def _reason(decision: Decision) -> str:
    reason = decision.reason
    cut = reason if len(reason) <= MAX_REASON else f"{reason[:MAX_REASON]}..."
    return f": {cut}" if cut else ""


def _name(decision: Decision) -> str:
    return _printable(decision.name or decision.client_id)


def _printable(name: str) -> str:
    """Keep a name from adding lines of its own."""
    return name if name.isprintable() else quoted(name)


def _listed(names: list[str]) -> str:
    more = len(names[MAX_NAMED:])
    return ", ".join(names[:MAX_NAMED]) + (f" and {more} more" if more else "")
