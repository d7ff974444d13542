"""The command ``report``: an audit log as one page to look at."""

from pathlib import Path
from typing import Annotated

import typer

from flwr_vdcs.cli.outcome import InputError, explained


def report(
    logs: Annotated[
        list[Path],
        typer.Argument(
            exists=True, dir_okay=False, help="Audit logs, the oldest first."
        ),
    ],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", dir_okay=False, help="The page to write."),
    ] = Path("report.html"),
    names: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help='JSON file with names by client id: {"123": "hospital-1"}.',
        ),
    ] = None,
) -> None:
    """Draw an audit log as one page that opens in any browser and needs no network.

    Give all files of the log, the oldest first.
    """
    with explained():
        _check_is_new(output, [*logs, *([names] if names else [])])
        page = _drawn(logs, names)
        _write(output, page)
    typer.echo(f"{output}: {len(page) / 1e6:.1f} MB")


def _check_is_new(output: Path, inputs: list[Path]) -> None:
    if any(output.exists() and output.samefile(path) for path in inputs):
        raise InputError(f"{output} is to be read: give --output another name.")


def _drawn(logs: list[Path], names: Path | None) -> str:
    try:
        from flwr_vdcs.cli.reporting.page import page_of
        from flwr_vdcs.cli.reporting.reading.log import read_log
        from flwr_vdcs.cli.reporting.reading.names import read_names
    except ModuleNotFoundError as error:
        raise InputError(
            f"the report needs {error.name}, which is not installed: "
            'pip install "flwr-vdcs[report]"'
        ) from error
    return page_of(read_log(logs), read_names(names), logs)


def _write(output: Path, page: str) -> None:
    try:
        output.write_text(page, encoding="utf-8")
    except OSError as error:
        raise InputError(
            f"{output} cannot be written: {error.strerror}. Give --output a file in an "
            "existing folder that you may write to."
        ) from error
