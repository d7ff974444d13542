"""Errors to exit codes: what a command says when it cannot go on."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import typer

FOUND_A_PROBLEM = 1
CANNOT_WORK = 2
INTERRUPTED = 130

EXIT_CODES = (
    "Exit codes: 0 fine; 1 a check found a problem; 2 wrong usage or unreadable input; "
    f"{INTERRUPTED} interrupted."
)


class InputError(Exception):
    """What was given cannot be used; the message says what can."""

    exit_code = CANNOT_WORK


class ProblemError(InputError):
    """What was to be checked is not as it should be."""

    exit_code = FOUND_A_PROBLEM


def listed(paths: Sequence[Path]) -> str:
    """Name some files in a message."""
    return ", ".join(str(path) for path in paths)


@contextmanager
def explained() -> Iterator[None]:
    """Turn an error into one line on stderr and an exit code."""
    try:
        yield
    except InputError as error:
        typer.echo(f"Error: {error}", err=True)
        raise typer.Exit(error.exit_code) from None


def stop_at_problem() -> NoReturn:
    """End a command that has told what it found."""
    raise typer.Exit(FOUND_A_PROBLEM)
