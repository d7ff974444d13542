"""Log to notes: what one must know to read the page right."""

from collections.abc import Callable, Sequence
from itertools import groupby

from flwr_vdcs.cli.reporting.headline import in_words, plural
from flwr_vdcs.cli.reporting.reading.log import Line, Log
from flwr_vdcs.scoring import is_blind, may_have_threshold

MAX_LISTED = 5

REPORT_ONLY = (
    "The plugin only reported (report_only): every update went on as it came. What "
    "stands here is what would have been done."
)

NONE_TO_DROP = (
    "No update was to be dropped: none scored below the threshold, or it was a dry run "
    "(M = 0)."
)


def notes_on(log: Log) -> list[str]:
    """Say what is unusual about a log, and what follows from it."""
    found = (
        _reporting(log),
        _unreadable(log),
        _disorder(log),
        _runs(log),
        _expectation(log),
    )
    rounds = (
        _noted(log, _had_too_few, "skipped: too few updates to compare"),
        _noted(
            log, lambda line: line.is_out_of_memory, "skipped: the server had no memory"
        ),
        _noted(log, _is_blind, "scored on features that hardly vary"),
        _noted(log, lambda line: line.is_tied, "decided between equal scores"),
        _noted(
            log,
            lambda line: line.scores_alike,
            "kept whole: all clients had the same score",
        ),
    )
    return [note for note in (*found, _scorings(log), *rounds) if note]


def _reporting(log: Log) -> str:
    """Say where nothing of what stands here was done."""
    if log.is_report_only:
        return REPORT_ONLY
    return _noted(
        log, lambda line: line.report_only, "only reported on, and not changed"
    )


def _unreadable(log: Log) -> str:
    if not log.num_unreadable:
        return ""
    lines = plural(log.num_unreadable, "line")
    return f"{lines} of the log could not be read, and not shown here."


def _disorder(log: Log) -> str:
    if log.is_in_order:
        return ""
    return "Some lines are older than those before them: give the oldest file first."


def _runs(log: Log) -> str:
    if log.num_runs == 1:
        return ""
    starts = [next(group) for _, group in groupby(log.rounds, lambda each: each.run)]
    numbers = [str(each.number) for each in starts[1:]]
    return (
        f"The server was started {log.num_runs} times, and its rounds began again at 1."
        f" They are numbered through here: new runs begin at {_rounds(numbers)}."
    )


def _expectation(log: Log) -> str:
    """Say what part of the dropping is not about anybody.

    A line has how many were to be dropped, and not whether a threshold or the user said
    so. Without a threshold it was the user.
    """
    lines = [each.line for each in log.of("train")]
    counts = {line.num_malicious for line in lines}
    if any(may_have_threshold(line.scoring) for line in lines):
        return NONE_TO_DROP if counts == {0} else ""
    if counts == {0}:
        return "Nobody was to be dropped (M = 0): the scores were only looked at."
    if len(counts) > 1 or any(line.scores_alike for line in lines):
        return ""
    return (
        f"{plural(counts.pop(), 'update')} had to be dropped in every round, whether "
        "or not anybody attacked. Look for clients that were dropped far more often "
        "than the others."
    )


def _scorings(log: Log) -> str:
    names = sorted({each.line.scoring for each in log.of("train")})
    if len(names) == 1:
        return ""
    return f"Scores of different scorings cannot be compared: {in_words(names)}."


def _noted(log: Log, holds: Callable[[Line], bool], what: str) -> str:
    numbers = [str(each.number) for each in log.of("train") if holds(each.line)]
    if not numbers:
        return ""
    verb = "was" if len(numbers) == 1 else "were"
    return f"{_rounds(numbers).capitalize()} {verb} {what}."


def _had_too_few(line: Line) -> bool:
    return line.skipped and not line.is_out_of_memory


def _is_blind(line: Line) -> bool:
    return is_blind(line.scoring, line.sensitivity)


def _rounds(numbers: Sequence[str]) -> str:
    """Name some rounds."""
    noun = "round" if len(numbers) == 1 else "rounds"
    more = len(numbers) - MAX_LISTED
    if more <= 0:
        return f"{noun} {in_words(numbers)}"
    return f"{noun} {', '.join(numbers[:MAX_LISTED])} and {more} more"
