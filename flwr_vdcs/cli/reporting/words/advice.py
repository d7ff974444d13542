"""Findings to advice: what whoever reads the page should do next."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from flwr_vdcs.cli.reporting.histories import History
from flwr_vdcs.cli.reporting.ledger import Ledger
from flwr_vdcs.cli.reporting.words.expectation import must_drop
from flwr_vdcs.verification import Verification


@dataclass(frozen=True)
class Advice:
    """One thing to do.

    Attributes
    ----------
    title, text : str
        What to do in a few words, and how.
    command : str
        What to type for it; empty if nothing.
    """

    title: str
    text: str
    command: str = ""


BROKEN = Advice(
    "Do not rely on this page yet.",
    "The log is not as it was written, or files are missing. Ask whoever runs the "
    "server for the untouched files, and for the last hash that was kept elsewhere.",
)

REPORT_ONLY = Advice(
    "Nothing was left out of the training.",
    "The plugin only reported. Decide with whoever runs the server if it is to act.",
)

QUIET = Advice(
    "Nobody needs to be called.",
    "No update was refused. Keep this page and the log.",
)

NO_PROOF = Advice(
    "Do not take a single drop for proof.",
    "A fixed number of updates had to be dropped in every round. Act only on clients "
    "that were dropped far more often than the others.",
)

DROPPED = Advice(
    "Dropped: ask the hospital what is different about its data.",
    "Its update was unlike those of the others, so it was left out of that round. This "
    "can be an attack, a fault, or patients unlike those elsewhere. Call the person "
    "responsible for its data, who should check: labels and units, preprocessing, the "
    "version of the client's software, what changed before the first drop, and who had "
    "access to the machine.",
)

QUARANTINED = Advice(
    "Quarantined: ask the hospital's IT to check the client.",
    "Its reply could not be used: the reason says what was wrong with it. Most often "
    "the software has another version than the server's, or training broke down. Check "
    "versions, the learning rate, and the client's own log.",
)

BANNED = Advice(
    "Banned: agree with the hospital on when it comes back.",
    "It was refused so often that the server does not ask it for some rounds. Once the "
    "cause is mended, whoever runs the server can pardon it earlier.",
)

IDLE = Advice(
    "Idle: see that the hospital has data to train on.",
    "It answered, and had no examples or sent back what it was sent. It is not blamed "
    "for that.",
)

SKIPPED = Advice(
    "Skipped rounds: call whoever runs the server.",
    "The model was not changed in them. Either too few clients sent usable updates, or "
    "the server ran out of memory; the notes above say which.",
)


def advice_on(
    ledger: Ledger, histories: Sequence[History], chain: Verification
) -> list[Advice]:
    """Say what to do, in the order in which to do it."""

    def is_any(verdict: str) -> bool:
        return any(each.counts[verdict] for each in histories)

    is_refused = any(each.refused or each.evaluations for each in histories)
    is_quarantined = is_any("quarantined") or any(
        each.evaluations for each in histories
    )
    applies = (
        (BROKEN, not chain.is_whole),
        (REPORT_ONLY, ledger.is_report_only),
        (QUIET, not is_refused),
        (BANNED, is_any("banned")),
        (NO_PROOF, is_any("dropped") and must_drop(ledger)),
        (DROPPED, is_any("dropped")),
        (QUARANTINED, is_quarantined),
        (IDLE, is_any("idle")),
        (SKIPPED, any(each.line.skipped for each in ledger.of("train"))),
    )
    return [advice for advice, holds in applies if holds]


def to_verify(paths: Sequence[Path], chain: Verification) -> Advice:
    """Say how to prove that the log is as it was written."""
    files = shlex.join(path.name for path in paths)
    return Advice(
        "Check that the log was not changed.",
        "Ask for the last hash that was kept outside the server, in the minutes of a "
        "meeting for example, and put it in place of HASH. This page read the log up "
        f"to the hash {chain.head}.",
        f"flwr-vdcs verify {files} --expect HASH",
    )
