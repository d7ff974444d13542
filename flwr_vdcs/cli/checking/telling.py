"""Facts and findings to the terminal, or to whoever reads stdout."""

from collections.abc import Mapping

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from flwr_vdcs.cli.checking.findings import Finding


def tell_facts(title: str, facts: Mapping[str, str]) -> None:
    """Draw a table on a terminal, and write plain lines elsewhere."""
    console = Console()
    if not console.is_terminal:
        for label, value in facts.items():
            typer.echo(f"{label}: {value}")
        return
    table = Table(title=title, box=SIMPLE_HEAD, show_header=False)
    for label, value in facts.items():
        table.add_row(Text(label, style="bold"), Text(value))
    console.print(table)


def tell_finding(finding: Finding) -> None:
    """Write a finding in one line."""
    word, colour = ("fails", "red") if finding.fails else ("doubtful", "yellow")
    kind = typer.style(word, fg=colour, bold=True)
    typer.echo(f"{kind}: {finding.what}; {finding.remedy}.")
