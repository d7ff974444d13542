"""Ledger to expectation: what part of the dropping is not about anybody."""

from flwr_vdcs.cli.reporting.ledger import Entry, Ledger
from flwr_vdcs.cli.reporting.words.scorings import WITHOUT_THRESHOLD
from flwr_vdcs.cli.reporting.words.text import in_words, plural

NONE_TO_DROP = (
    "No update was to be dropped: none scored below the threshold, or it was a dry run "
    "(M = 0)."
)

DRY_RUN = "Nobody was to be dropped (M = 0): the scores were only looked at."

NOBODY_HAD_TO = (
    "Nobody had to be dropped (M = auto): only updates that scored below the "
    "threshold{threshold} were."
)

SOME_HAD_TO = (
    "{updates} had to be dropped or quarantined in every round, whether or not anybody "
    "attacked (M = {number}). Look for clients that were dropped far more often than "
    "the others."
)


def expectations(ledger: Ledger) -> list[str]:
    """Say for each M that was set whether somebody had to be dropped."""
    runs_by_note: dict[str, set[int]] = {}
    for each in ledger.of("train"):
        if each.line.run:
            runs_by_note.setdefault(_expected(each), set()).add(each.run)
    old = _of_old_lines([each for each in ledger.of("train") if not each.line.run])
    if len(runs_by_note) == 1 and not old:
        return [*runs_by_note]
    told = [f"{_named(runs)}: {note}" for note, runs in runs_by_note.items()]
    return [*told, *([old] if old else [])]


def must_drop(ledger: Ledger) -> bool:
    """Tell whether being dropped is no proof: in some run, somebody had to be."""
    return any(
        each.line.num_malicious > 0
        if each.line.run is None
        else each.line.run.num_malicious not in {"auto", 0}
        for each in ledger.of("train")
    )


def _expected(each: Entry) -> str:
    run = each.line.run
    if run is None or run.num_malicious == "auto":
        threshold = run.threshold if run else None
        told = "" if threshold is None else f" of {threshold:g}"
        return NOBODY_HAD_TO.format(threshold=told)
    if run.num_malicious == 0:
        return DRY_RUN
    number = run.num_malicious
    updates = (
        f"{number:.0%} of the updates"
        if isinstance(number, float)
        else plural(int(number), "update")
    )
    return SOME_HAD_TO.format(updates=updates, number=number)


def _of_old_lines(entries: list[Entry]) -> str:
    """Say what lines of 0.1 show, which have how many were to be dropped, and not why.

    Without a threshold it was the user who said so.
    """
    counts = {each.line.num_malicious for each in entries}
    if any(each.line.scoring not in WITHOUT_THRESHOLD for each in entries):
        return NONE_TO_DROP if counts == {0} else ""
    if counts == {0}:
        return DRY_RUN
    if len(counts) != 1 or any(each.line.scores_alike for each in entries):
        return ""
    [number] = counts
    return SOME_HAD_TO.format(updates=plural(number, "update"), number=number)


def _named(runs: set[int]) -> str:
    noun = "Run" if len(runs) == 1 else "Runs"
    return f"{noun} {in_words([str(run) for run in sorted(runs)])}"
