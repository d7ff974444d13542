"""The options of ``check``, as Typer reads them."""

from enum import StrEnum
from typing import Annotated

import typer

from flwr_vdcs.decision import MIN_UPDATES
from flwr_vdcs.scoring import SCORINGS

ScoringName = StrEnum("ScoringName", [*SCORINGS])  # type: ignore[misc]
"""The scorings that have a name."""

AS_A_SERVER = ScoringName("hardened")
"""The scoring that a server uses unless it is told otherwise."""


Model = Annotated[
    str,
    typer.Option(
        metavar="MODULE:NAME",
        help="A torch model, its class, or a function that makes one.",
    ),
]

InputShape = Annotated[
    str | None,
    typer.Option(
        metavar="3,28,28",
        help="Shape of one input, without the batch axis; not needed with "
        "--virtual-samples.",
    ),
]

Head = Annotated[
    list[str] | None,
    typer.Option(
        help="The final classification layer, more than once if there are several; "
        "found if not given."
    ),
]

Clients = Annotated[
    int, typer.Option(min=MIN_UPDATES, help="How many clients a round has.")
]

NumVirtualSamples = Annotated[
    int, typer.Option(min=1, help="How many virtual samples are drawn.")
]

VirtualSamplesFrom = Annotated[
    str | None,
    typer.Option(
        metavar="MODULE:NAME",
        help="A function (generator, N) -> Tensor, tuple or dict that draws them: "
        "token ids, for example. Standard normal if not given.",
    ),
]

Scoring = Annotated[ScoringName, typer.Option(help="How updates are scored.")]

Device = Annotated[
    str, typer.Option(help="Where to score: auto, cpu, cuda, hpu, xpu or mps.")
]
