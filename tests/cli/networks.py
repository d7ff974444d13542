"""Models for ``flwr-vdcs check``, and what one may name by mistake."""

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from tests.models import VOCABULARY, TokenLSTM, token_ids

__all__ = ["TokenLSTM", "token_ids"]


def sound() -> nn.Module:
    """Make two trained layers, with dropout between them."""
    return nn.Sequential(
        nn.Flatten(), nn.Linear(12, 16), nn.ReLU(), nn.Dropout(), nn.Linear(16, 4)
    )


an_instance = sound()

not_a_model = {"layers": 3}


def needing_an_argument(width: int) -> nn.Module:
    """Make a model of any width."""
    return nn.Linear(12, width)


def raising() -> nn.Module:
    """Fail as a factory does whose weights are not there."""
    raise FileNotFoundError("weights.pt is\nnot there")


def ending() -> nn.Module:
    """End as a script does that does not like its arguments."""
    raise SystemExit(3)


def normalised() -> nn.Module:
    """Put batch normalisation after a convolution."""
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3)
    )


class OneLogit(nn.Module):
    """Tell two classes apart by one number for each sample, without an axis."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(12, 8), nn.Linear(8, 1)

    def forward(self, inputs: Tensor) -> Tensor:
        """Give as many numbers as samples."""
        return self.head(self.body(inputs.flatten(1)).relu()).squeeze(-1)


def frozen() -> nn.Module:
    """Train only the head."""
    model = sound()
    model[1].requires_grad_(requires_grad=False)
    return model


def frozen_at_the_entrance() -> nn.Module:
    """Freeze the first of three layers, so that its delta lets nothing through."""
    model = nn.Sequential(
        nn.Flatten(), nn.Linear(12, 8), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 4)
    )
    model[1].requires_grad_(requires_grad=False)
    return model


def lazy() -> nn.Module:
    """Leave the width of a layer to the first input."""
    return nn.Sequential(nn.Flatten(), nn.LazyLinear(8), nn.Linear(8, 4))


def empty() -> nn.Module:
    """Have no parameter at all."""
    return nn.Flatten()


def dividing() -> nn.Module:
    """Divide by the length of a weight that is frozen, whose delta is zero."""
    layer = weight_norm(nn.Linear(12, 8))
    layer.requires_grad_(requires_grad=False)
    return nn.Sequential(nn.Flatten(), layer, nn.Linear(8, 8), nn.Linear(8, 4))


class TwoHeads(nn.Module):
    """Tell two things about an input."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(12, 8)
        self.organ = nn.Linear(8, 5)
        self.age = nn.Linear(8, 1)

    def forward(self, inputs: Tensor) -> dict[str, Tensor]:
        """Give both by name."""
        features = self.body(inputs.flatten(1)).relu()
        return {"organ": self.organ(features), "age": self.age(features)}


class ImageAndTable(nn.Module):
    """Take an image and a row of a table."""

    def __init__(self) -> None:
        super().__init__()
        self.image, self.table = nn.Linear(12, 8), nn.Linear(3, 8)
        self.head = nn.Linear(8, 4)

    def forward(self, image: Tensor, table: Tensor) -> Tensor:
        """Add what both say."""
        return self.head((self.image(image.flatten(1)) + self.table(table)).relu())


def images_and_tables(
    generator: torch.Generator, num_samples: int
) -> tuple[Tensor, Tensor]:
    """Draw both."""
    images = torch.randn(num_samples, 3, 4, generator=generator)
    return images, torch.randn(num_samples, 3, generator=generator)


logistic_regression = nn.Linear(12, 4)


class OneBatchSize(nn.Module):
    """Take sixteen sequences, and no other number."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.head = nn.LSTM(4, 6, batch_first=True), nn.Linear(6, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        """Begin with zeros."""
        zero = torch.zeros(1, 16, 6)
        return self.head(self.cell(inputs, (zero, zero))[0][:, -1])


class Segmenting(nn.Module):
    """Give a class for each pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 2, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Classify by the neighbourhood."""
        return self.head(self.body(images).relu())


class FunctionalHead(nn.Module):
    """Compute the last layer with a bare parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(12, 8)
        self.middle = nn.Linear(8, 8)
        self.last = nn.Parameter(torch.ones(8, 3))

    def forward(self, inputs: Tensor) -> Tensor:
        """Multiply at the end."""
        return self.middle(self.body(inputs.flatten(1)).relu()) @ self.last


class Tied(nn.Module):
    """Use the embedding once more to predict the next token."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, 8)
        self.mixer = nn.Linear(8, 8)
        self.decoder = nn.Linear(8, VOCABULARY, bias=False)
        self.decoder.weight = self.embedding.weight

    def forward(self, tokens: Tensor) -> Tensor:
        """Predict from the mean of the tokens."""
        return self.decoder(self.mixer(self.embedding(tokens)).mean(1))


class Noisy(nn.Module):
    """Draw random numbers in evaluation mode as well."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(12, 8)
        self.head = nn.Linear(8, 4)

    def forward(self, inputs: Tensor) -> Tensor:
        """Drop half of the features whatever the mode."""
        features = self.body(inputs.flatten(1))
        return self.head(nn.functional.dropout(features, 0.5, training=True))


class Undifferentiable(nn.Module):
    """Count instead of multiplying, so that no gradient comes back."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(12, 8)
        self.head = nn.Linear(8, 4)

    def forward(self, inputs: Tensor) -> Tensor:
        """Round the features."""
        with torch.no_grad():
            features = self.body(inputs.flatten(1)).sign()
        return self.head(features)


class OnlyPairs(nn.Module):
    """Have no memory for more than two inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(4, 8)
        self.head = nn.Linear(8, 4)

    def forward(self, inputs: Tensor) -> Tensor:
        """Give up on larger batches."""
        if len(inputs) > 2:
            raise MemoryError
        return self.head(self.body(inputs))


class Unsendable(nn.Linear):
    """Keep something beside tensors in the state."""

    def __init__(self) -> None:
        super().__init__(12, 4)

    def get_extra_state(self) -> dict[str, int]:
        """Give the version."""
        return {"version": 2}

    def set_extra_state(self, state: dict[str, int]) -> None:
        """Take any version."""
