"""Run a federation of hospitals over TLS, one of them poisoned, on this machine.

It is a rehearsal: the key of the certificate authority and all hospitals' keys lie in
one folder of one machine, where nobody should ever put them.

Run ``python examples/hospitals/federation.py --help`` for its options.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from deployment.audit import lay_out_audit
from deployment.commands import RunConfig
from deployment.errors import FederationError
from deployment.federation import Federation
from deployment.run import Run
from deployment.signals import exit_on_signals
from flwr.serverapp import Grid
from rich.console import Console

MIN_HOSPITALS = 3
MEBIBYTE = 2**20


class Poison(StrEnum):
    """What a poisoned hospital does."""

    SIGN_FLIP = "sign-flip"
    NAN = "nan"


class Model(StrEnum):
    """What the hospitals train."""

    GROUPNORM_CNN = "groupnorm-cnn"
    RESNET18 = "resnet18"


@contextmanager
def folder_for(given: Path | None) -> Iterator[Path]:
    """Lend the given folder, or a temporary one that is removed if nothing fails."""
    if given:
        yield given
        return
    folder = Path(tempfile.mkdtemp(prefix="hospitals-"))
    try:
        yield folder
    except (KeyboardInterrupt, SystemExit):
        shutil.rmtree(folder)
        raise
    shutil.rmtree(folder)


def summarise(console: Console, federation: Federation, run: Run) -> None:
    """Print the audit, how much memory the server took, and where the files are."""
    if audit := run.audit():
        console.print(lay_out_audit(audit))
    memory = ", ".join(
        f"{name} {size / MEBIBYTE:.0f} MiB" for name, size in run.memory.bytes.items()
    )
    console.print(f"Memory, at most: {memory}", highlight=False)


def main(
    *,
    folder: Annotated[
        Path | None,
        typer.Option(help="Where all files go; a temporary folder if not given."),
    ] = None,
    hospitals: Annotated[
        int, typer.Option(min=MIN_HOSPITALS, help="How many SuperNodes.")
    ] = 4,
    rounds: Annotated[int, typer.Option(min=1, help="How many rounds.")] = 3,
    poisoned: Annotated[
        int, typer.Option(min=0, help="Number of the poisoned hospital; 0 for none.")
    ] = 3,
    poison: Annotated[
        Poison, typer.Option(help="What the poisoned hospital does.")
    ] = Poison.SIGN_FLIP,
    strength: Annotated[
        float, typer.Option(help="How many times it reverses the update.")
    ] = 3.0,
    model: Annotated[
        Model, typer.Option(help="What the hospitals train.")
    ] = Model.GROUPNORM_CNN,
    local_epochs: Annotated[
        int, typer.Option(min=1, help="How long a hospital trains in a round.")
    ] = 5,
    unprotected: Annotated[
        bool, typer.Option("--unprotected", help="Leave the plugin out.")
    ] = False,
) -> None:
    """Rehearse a federation on one machine, with keys and certificates for that alone.

    Starts server and hospitals, runs the app, prints the audit and ends everything.
    """
    if poisoned > hospitals:
        raise typer.BadParameter(f"there is no hospital {poisoned} of {hospitals}")
    console = Console()
    if not hasattr(Grid, "get_nodes"):
        console.print("This needs Flower 1.38 or later, which gives nodes names.")
        raise typer.Exit(code=1)
    exit_on_signals()
    attack = f'poison="{poison.value}" poison-strength={strength}'
    config: RunConfig = {
        "num-server-rounds": rounds,
        "model": model.value,
        "local-epochs": local_epochs,
        "plugin": not unprotected,
    }
    try:
        with (
            folder_for(folder) as place,
            Federation(
                place,
                hospitals=hospitals,
                node_configs={f"hospital-{poisoned}": attack},
                console=console,
            ) as federation,
        ):
            run = federation.run(config)
            summarise(console, federation, run)
    except FederationError as error:
        console.print(f"{error}", markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(code=1) from error


if __name__ == "__main__":
    typer.run(main)
