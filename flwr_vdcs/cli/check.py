"""The command ``check``: what the plugin would see in a model, before it is trained.

Scorings are named here, and not imported: PyTorch would make every command slow.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from flwr_vdcs.cli.outcome import explained, stop_at_problem

if TYPE_CHECKING:
    from flwr_vdcs.cli.checking.findings import Finding

MIN_CLIENTS = 3
"""Fewer than that cannot be compared."""


class ScoringName(StrEnum):
    """The scorings that have a name; a server uses the first unless told otherwise."""

    HARDENED = "hardened"
    PAPER = "paper"


def check(
    *,
    model: Annotated[
        str,
        typer.Option(
            metavar="MODULE:NAME",
            help="A torch model, its class, or a function that makes one.",
        ),
    ],
    input_shape: Annotated[
        str | None,
        typer.Option(
            metavar="3,28,28",
            help="Shape of one input, without the batch axis; not needed with "
            "--virtual-samples.",
        ),
    ] = None,
    head: Annotated[
        list[str] | None,
        typer.Option(
            help="The final classification layer, more than once if there are several; "
            "found if not given."
        ),
    ] = None,
    clients: Annotated[
        int, typer.Option(min=MIN_CLIENTS, help="How many clients a round has.")
    ] = 10,
    num_virtual_samples: Annotated[
        int, typer.Option(min=1, help="How many virtual samples are drawn.")
    ] = 100,
    virtual_samples: Annotated[
        str | None,
        typer.Option(
            metavar="MODULE:NAME",
            help="A function (generator, N) -> Tensor, tuple or dict that draws them: "
            "token ids, for example. Standard normal if not given.",
        ),
    ] = None,
    scoring: Annotated[
        ScoringName, typer.Option(help="How updates are scored.")
    ] = ScoringName.HARDENED,
    device: Annotated[
        str, typer.Option(help="Where to score: auto, cpu, cuda, hpu, xpu or mps.")
    ] = "auto",
) -> None:
    """Try a model with made-up clients, and say what would fail or is doubtful.

    The clients move the model a little at random; nothing is trained.
    """
    from flwr_vdcs.cli.checking.examination import examined
    from flwr_vdcs.cli.checking.loading import load_model
    from flwr_vdcs.cli.checking.setting import setting_from

    with explained():
        net = load_model(model)
        setting = setting_from(
            input_shape=input_shape,
            num_clients=clients,
            num_virtual_samples=num_virtual_samples,
            virtual_samples=virtual_samples,
            head=head,
            scoring=scoring.value,
            device=device,
        )
        facts, findings = examined(net, setting)
    _tell_facts(f"{model} with {scoring.value} scoring", facts)
    for finding in findings:
        _tell_finding(finding)
    if any(finding.fails for finding in findings):
        stop_at_problem()
    if not findings:
        typer.echo("Nothing speaks against it.")


def _tell_facts(title: str, facts: Mapping[str, str]) -> None:
    """Draw a table on a terminal, and write plain lines elsewhere."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    if not console.is_terminal:
        for label, value in facts.items():
            typer.echo(f"{label}: {value}")
        return
    table = Table(title=title, box=SIMPLE_HEAD, show_header=False)
    for label, value in facts.items():
        table.add_row(Text(label, style="bold"), Text(value))
    console.print(table)


def _tell_finding(finding: "Finding") -> None:
    """Write a finding in one line."""
    word, colour = ("fails", "red") if finding.fails else ("doubtful", "yellow")
    kind = typer.style(word, fg=colour, bold=True)
    typer.echo(f"{kind}: {finding.what}; {finding.remedy}.")
