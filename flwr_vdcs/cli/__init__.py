"""The operator's command line: look at a log, follow it, try a model, verify a log."""

from typing import Annotated

import typer

from flwr_vdcs._version import __version__
from flwr_vdcs.cli.check import check
from flwr_vdcs.cli.outcome import EXIT_CODES
from flwr_vdcs.cli.report import report
from flwr_vdcs.cli.verify import verify
from flwr_vdcs.cli.watch import watch

app = typer.Typer(
    name="flwr-vdcs",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    epilog=EXIT_CODES,
)
for command in (report, watch, check, verify):
    app.command(epilog=EXIT_CODES)(command)


def _show_version(wanted: bool) -> None:  # noqa: FBT001  # as Typer calls it
    if wanted:
        typer.echo(f"flwr-vdcs {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_show_version,
            is_eager=True,
            help="Show the version and exit.",
        ),
    ] = False,
) -> None:
    """Look at what flwr-vdcs decided, and at what it would see in a model."""


def main() -> None:
    """Run the command line."""
    app()
