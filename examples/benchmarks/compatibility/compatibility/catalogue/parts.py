"""Parts of a model: what is sent is not the whole ``state_dict``."""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from compatibility.entry import Entry
from compatibility.exchange import (
    PARAMETERS,
    TRAINABLE,
    UNCOUNTED,
    listed,
    named,
    only,
    without,
)

KIND = "Parts of a model"
SHAPE = (1, 16, 16)


def entries() -> list[Entry]:
    """List ways to send less, or under other names."""
    entry = partial(Entry, KIND, library="torch", writes={"input_shape": SHAPE})
    return [
        entry("all parameters, no buffers", build=Network, travels=PARAMETERS),
        entry("list without batch counters", build=Network, travels=UNCOUNTED),
        entry(
            "FedBN",
            build=Network,
            travels=without("all but batch norm, by name", "norm"),
        ),
        entry(
            "FedPer",
            build=Network,
            travels=without("all but the head, by name", "head"),
        ),
        entry(
            "FedRep, a list",
            build=Network,
            travels=listed("a list of the body's parameters", _body),
        ),
        entry(
            "head-only fine-tuning",
            build=frozen,
            travels=only("the head, by name", "head"),
        ),
        entry("frozen body, a list", build=frozen, travels=TRAINABLE),
        entry(
            "Opacus, prefix `_module.`",
            build=GroupNormNetwork,
            travels=named(
                "the whole `state_dict`, prefixed", lambda _: True, "_module."
            ),
        ),
    ]


def _body(model: nn.Module) -> list[str]:
    return [name for name, _ in model.named_parameters() if not name.startswith("head")]


class Network(nn.Module):
    """A convolution, batch normalisation and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(1, 8, 3, 2)
        self.norm = self.normalisation()
        self.hidden = nn.Linear(8 * 7 * 7, 16)
        self.head = nn.Linear(16, 4)

    def normalisation(self) -> nn.Module:
        """Build the layer that normalises."""
        return nn.BatchNorm2d(8)

    def forward(self, images: Tensor) -> Tensor:
        """Classify images."""
        maps = self.norm(self.convolution(images)).relu()
        return self.head(self.hidden(maps.flatten(1)).relu())


class GroupNormNetwork(Network):
    """The same with group normalisation, as Opacus asks for."""

    def normalisation(self) -> nn.Module:
        """Build the layer that normalises."""
        return nn.GroupNorm(2, 8)


def frozen() -> nn.Module:
    """Freeze all but the head."""
    model = Network()
    model.requires_grad_(requires_grad=False)
    model.head.requires_grad_()
    return model
