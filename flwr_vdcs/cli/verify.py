"""The command ``verify``: whether an audit log is as it was written."""

import re
from pathlib import Path
from typing import Annotated

import typer

from flwr_vdcs.cli.chain import in_one_line, verified
from flwr_vdcs.cli.outcome import InputError, explained, listed, stop_at_problem

HASH = re.compile("[0-9a-f]{64}")


def verify(
    logs: Annotated[
        list[Path],
        typer.Argument(
            exists=True, dir_okay=False, help="Files of one log, the oldest first."
        ),
    ],
    expect: Annotated[
        str | None,
        typer.Option(
            metavar="HASH",
            help="The last hash, as kept elsewhere: shows whether the end was cut off.",
        ),
    ] = None,
) -> None:
    """Check that each line of an audit log follows the line before it.

    Give all files of the log, the oldest first.
    """
    with explained():
        expected = _checked(expect)
        found = verified(logs)
        if not found.num_lines:
            raise InputError(f"there is no line in {listed(logs)}: name an audit log.")
    typer.echo(in_one_line(found))
    for note in found.notes:
        typer.echo(f"note: {note}")
    if not found.is_whole:
        stop_at_problem()
    if expected not in {None, found.head}:
        typer.echo(f"not the log that was expected: its last hash should be {expected}")
        stop_at_problem()


def _checked(expect: str | None) -> str | None:
    """Take a hash as people copy it."""
    if expect is None:
        return None
    plain = expect.strip().lower()
    if not HASH.fullmatch(plain):
        raise InputError(
            f"--expect {expect} is no hash: give the 64 hexadecimal digits that "
            "`flwr-vdcs verify` printed before."
        )
    return plain
