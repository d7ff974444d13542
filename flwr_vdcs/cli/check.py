"""The command ``check``: what the plugin would see in a model, before it is trained."""

from collections.abc import Mapping

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from rich.text import Text
from torch import nn

from flwr_vdcs.cli.checking import options
from flwr_vdcs.cli.checking.anatomy import anatomy_of
from flwr_vdcs.cli.checking.facts import facts_of
from flwr_vdcs.cli.checking.findings import Finding, findings_of
from flwr_vdcs.cli.checking.loading import load_model
from flwr_vdcs.cli.checking.reach import reach_of
from flwr_vdcs.cli.checking.setting import (
    Setting,
    device_from,
    drawing_from,
    shape_from,
)
from flwr_vdcs.cli.checking.trial import Trial, try_out
from flwr_vdcs.cli.outcome import explained, stop_at_problem
from flwr_vdcs.probe import unwrapped
from flwr_vdcs.scoring import resolve_scoring


def check(
    *,
    model: options.Model,
    input_shape: options.InputShape = None,
    head: options.Head = None,
    clients: options.Clients = 10,
    num_virtual_samples: options.NumVirtualSamples = 100,
    virtual_samples: options.VirtualSamplesFrom = None,
    scoring: options.Scoring = options.AS_A_SERVER,
    device: options.Device = "auto",
) -> None:
    """Try a model with made-up clients, and say what would fail or is doubtful.

    The clients move the model a little at random; nothing is trained.
    """
    with explained():
        net = unwrapped(load_model(model))
        shape = shape_from(input_shape)
        setting = Setting(
            input_shape=shape,
            num_clients=clients,
            num_virtual_samples=num_virtual_samples,
            virtual_samples=drawing_from(virtual_samples, shape),
            head=head,
            scoring=resolve_scoring(scoring.value),
            device=device_from(device),
        )
        facts, findings = _checked(net, setting)
    _tell_facts(f"{model} with {scoring.value} scoring", facts)
    for finding in findings:
        _tell_finding(finding)
    if any(finding.fails for finding in findings):
        stop_at_problem()
    if not findings:
        typer.echo("Nothing speaks against it.")


def _checked(net: nn.Module, setting: Setting) -> tuple[dict[str, str], list[Finding]]:
    anatomy = anatomy_of(net)
    trial = _with_progress(net, setting)
    reach = reach_of(net, setting.draw(trial.num_tried), trial.heads)
    return facts_of(anatomy, trial, setting), findings_of(anatomy, trial, reach)


def _with_progress(net: nn.Module, setting: Setting) -> Trial:
    console = Console(stderr=True)
    disable = not console.is_terminal
    with Progress(console=console, transient=True, disable=disable) as progress:
        task = progress.add_task("clients", total=setting.num_clients)
        return try_out(net, setting, lambda: progress.advance(task))


def _tell_facts(title: str, facts: Mapping[str, str]) -> None:
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


def _tell_finding(finding: Finding) -> None:
    """Write a finding in one line."""
    word, colour = ("fails", "red") if finding.fails else ("doubtful", "yellow")
    kind = typer.style(word, fg=colour, bold=True)
    typer.echo(f"{kind}: {finding.what}; {finding.remedy}.")
