"""A network with all that recipes leave out: batch normalisation and a head."""

from torch import Tensor, nn

from tests.recipes.sites import State, Take

INPUT_SHAPE = (1, 8, 8)


class Network(nn.Module):
    """A convolution, batch normalisation, a hidden layer and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution, self.norm = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4)
        self.hidden, self.head = nn.Linear(4 * 6 * 6, 16), nn.Linear(16, 2)

    def forward(self, images: Tensor) -> Tensor:
        """Classify images."""
        maps = self.norm(self.convolution(images)).relu()
        return self.head(self.hidden(maps.flatten(1)).relu())


def without(part: str) -> Take:
    """Send all arrays but those of one layer."""
    return lambda model: {
        name: array
        for name, array in model.state_dict().items()
        if not name.startswith(part)
    }


def only(part: str) -> Take:
    """Send the arrays of one layer."""
    return lambda model: {
        name: array
        for name, array in model.state_dict().items()
        if name.startswith(part)
    }


def put(model: nn.Module, sent: State) -> None:
    """Write what was sent, and leave the rest as it is."""
    model.load_state_dict(sent, strict=False)
