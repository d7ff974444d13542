"""Ledger to notes: what one must know to read the page right."""

from collections.abc import Callable, Sequence
from itertools import groupby

from flwr_vdcs.cli.reporting.ledger import Entry, Ledger
from flwr_vdcs.cli.reporting.words.expectation import expectations
from flwr_vdcs.cli.reporting.words.scorings import SEE_WITHOUT_SAMPLES
from flwr_vdcs.cli.reporting.words.text import in_words, plural
from flwr_vdcs.report import OUT_OF_MEMORY, TOO_FEW

MAX_LISTED = 5

SKIPS = {TOO_FEW: "too few updates", OUT_OF_MEMORY: "the server had no memory"}
BELOW_QUORUM = "fewer clients answered than the quorum asks for"

REPORT_ONLY = (
    "The plugin only reported (report_only): every update went on as it came. What "
    "stands here is what would have been done."
)


def notes_on(ledger: Ledger) -> list[str]:
    """Say what is unusual about a log, and what follows from it."""
    found = (
        _reporting(ledger),
        _unreadable(ledger),
        _disorder(ledger),
        _runs(ledger),
        *expectations(ledger),
        _scorings(ledger),
    )
    rounds = (
        *_skips(ledger),
        _told(ledger.of("aggregate"), "lost: what was made of it was not finite"),
        _noted(ledger, _is_blind, "scored on features that hardly vary"),
        _noted(ledger, lambda each: each.is_tied, "decided between equal scores"),
        _noted(
            ledger,
            lambda each: each.line.scores_alike,
            "kept whole: all clients had the same score",
        ),
    )
    return [note for note in (*found, *rounds) if note]


def _reporting(ledger: Ledger) -> str:
    """Say where nothing of what stands here was done."""
    if ledger.is_report_only:
        return REPORT_ONLY
    return _noted(
        ledger,
        lambda each: each.line.report_only,
        "only reported on, and not changed",
    )


def _unreadable(ledger: Ledger) -> str:
    if not ledger.num_unreadable:
        return ""
    lines = plural(ledger.num_unreadable, "line")
    return f"{lines} of the log could not be read, and not shown here."


def _disorder(ledger: Ledger) -> str:
    if ledger.is_in_order:
        return ""
    return "Some lines are older than those before them: give the oldest file first."


def _runs(ledger: Ledger) -> str:
    if ledger.num_runs == 1:
        return ""
    starts = [
        next(group) for _, group in groupby(ledger.entries, lambda each: each.run)
    ]
    numbers = [str(each.number) for each in starts[1:]]
    return (
        f"The server was started {ledger.num_runs} times. Its rounds are numbered "
        f"through here: new runs begin at {_rounds(numbers)}."
    )


def _scorings(ledger: Ledger) -> str:
    names = sorted({each.line.scoring for each in ledger.of("train")})
    if len(names) == 1:
        return ""
    return f"Scores of different scorings cannot be compared: {in_words(names)}."


def _skips(ledger: Ledger) -> list[str]:
    """Name the rounds that were skipped for want of each thing."""
    rounds: dict[str, list[Entry]] = {}
    for each in ledger.of("train"):
        if each.why_skipped:
            cause = SKIPS.get(each.why_skipped, BELOW_QUORUM)
            rounds.setdefault(cause, []).append(each)
    return [_told(entries, f"skipped: {cause}") for cause, entries in rounds.items()]


def _noted(ledger: Ledger, holds: Callable[[Entry], bool], what: str) -> str:
    return _told([each for each in ledger.of("train") if holds(each)], what)


def _told(entries: Sequence[Entry], what: str) -> str:
    numbers = [str(each.number) for each in entries]
    if not numbers:
        return ""
    verb = "was" if len(numbers) == 1 else "were"
    return f"{_rounds(numbers).capitalize()} {verb} {what}."


def _is_blind(each: Entry) -> bool:
    line = each.line
    return line.is_insensitive and line.scoring not in SEE_WITHOUT_SAMPLES


def _rounds(numbers: Sequence[str]) -> str:
    """Name some rounds."""
    noun = "round" if len(numbers) == 1 else "rounds"
    more = len(numbers) - MAX_LISTED
    if more <= 0:
        return f"{noun} {in_words(numbers)}"
    return f"{noun} {', '.join(numbers[:MAX_LISTED])} and {more} more"
