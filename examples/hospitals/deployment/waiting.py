"""Event to patience: wait for it, say so, and give up with the log that tells why."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from deployment.errors import FederationError
from deployment.program import Program

SECONDS_BETWEEN_LOOKS = 0.5


@contextmanager
def stage(console: Console, title: str) -> Iterator[None]:
    """Show what is waited for, and how long it took in the end."""
    started = time.monotonic()
    with console.status(f"{title} …"):
        yield
    console.print(f"{title}: {time.monotonic() - started:.0f} s", highlight=False)


def wait_until(
    what: str,
    is_so: Callable[[], bool],
    seconds: float,
    programs: Sequence[Program],
    log: Callable[[], Path] | None = None,
) -> None:
    """Wait until something is so, while all the given programs run.

    Parameters
    ----------
    what : str
        What is waited for: "the server answers".
    is_so : Callable[[], bool]
        Whether it has come about.
    seconds : float
        How long to wait at most.
    programs : Sequence[Program]
        Without these it cannot come about.
    log : Callable[[], Path], optional
        Gives the log to quote if time runs out; the first program's otherwise.

    Raises
    ------
    FederationError
        If time has run out, or one of the programs has ended.
    """
    deadline = time.monotonic() + seconds
    while not is_so():
        for program in programs:
            program.check()
        if time.monotonic() > deadline:
            problem = f"waited {seconds:.0f} s in vain until {what}"
            raise FederationError(problem, log() if log else programs[0].log)
        time.sleep(SECONDS_BETWEEN_LOOKS)
