"""The command ``report``: an audit log as one page to look at."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Annotated

import typer

from flwr_vdcs.cli.outcome import InputError, explained
from flwr_vdcs.cli.reading.names import NamesFile, read_names


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
    names: NamesFile = None,
    csv: Annotated[
        Path | None,
        typer.Option(dir_okay=False, help="Write every decision to this file, too."),
    ] = None,
) -> None:
    """Draw an audit log as one page that opens in any browser and needs no network.

    Give all files of the log, the oldest first.
    """
    with explained():
        inputs = [*logs, *([names] if names else [])]
        _check_is_new("--output", output, inputs)
        _check_is_new("--csv", csv, [*inputs, output])
        _report(logs, names, output, csv)


def _check_is_new(option: str, output: Path | None, inputs: list[Path]) -> None:
    if output is None:
        return
    if any(output.resolve() == path.resolve() for path in inputs):
        raise InputError(f"{output} is in use: give {option} another name.")


def _report(
    logs: list[Path], names: Path | None, output: Path, csv: Path | None
) -> None:
    from flwr_vdcs.cli.reporting.histories import histories_of
    from flwr_vdcs.cli.reporting.ledger import read_logs
    from flwr_vdcs.cli.reporting.page import page_of
    from flwr_vdcs.cli.reporting.spreadsheet import write_csv

    ledger = read_logs(logs)
    histories = histories_of(ledger, read_names(names))
    page = page_of(ledger, histories, logs)
    with _written("--output", output) as file:
        file.write(page)
    typer.echo(f"{output}: {len(page.encode()) / 1e6:.2f} MB")
    if csv is not None:
        labels = {each.client_id: each.label for each in histories}
        with _written("--csv", csv) as file:
            write_csv(file, logs, labels)
        typer.echo(f"{csv}: {len(ledger.entry):,} decisions")


@contextmanager
def _written(option: str, output: Path) -> Iterator[IO[str]]:
    try:
        with output.open("w", encoding="utf-8", newline="") as file:
            yield file
    except OSError as error:
        raise InputError(
            f"{output} cannot be written: {error.strerror}. Give {option} a file in an "
            "existing folder that you may write to."
        ) from error
