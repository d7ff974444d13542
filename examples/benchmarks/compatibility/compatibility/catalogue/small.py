"""Tables, sequences and generators: what people write themselves, with torch alone."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Generator, Tensor, nn

from compatibility.entry import Entry, Samples

KIND = "Tables, sequences, generators"
NUM_COLUMNS, VOCABULARY = 12, 50


def token_ids(generator: Generator, num_samples: int) -> Tensor:
    """Draw sequences of ten tokens."""
    return torch.randint(VOCABULARY, (num_samples, 10), generator=generator)


def image_and_table(generator: Generator, num_samples: int) -> tuple[Tensor, Tensor]:
    """Draw an image and a row of a table for each sample."""
    images = torch.randn((num_samples, 1, 16, 16), generator=generator)
    return images, torch.randn((num_samples, NUM_COLUMNS), generator=generator)


def time_first(generator: Generator, num_samples: int) -> Tensor:
    """Draw series of nine steps, whose second axis is that of the samples."""
    return torch.randn((9, num_samples, 4), generator=generator)


def entries() -> list[Entry]:
    """List models that need nothing but torch."""
    entry = partial(Entry, KIND, library="torch")
    return [
        entry("multilayer perceptron", build=perceptron, writes=_of(NUM_COLUMNS)),
        entry("logistic regression", build=linear, writes=_of(NUM_COLUMNS)),
        entry(
            "survival, Cox regression",
            build=partial(perceptron, 1),
            writes=_of(NUM_COLUMNS),
            loss=cox_loss,
        ),
        entry("LSTM on tokens", build=TokenLSTM, writes={"virtual_samples": token_ids}),
        entry("GRU that keeps its state", build=KeepingGRU, writes=_of(9, 4)),
        entry(
            "series with the time first",
            build=TimeFirst,
            writes={"virtual_samples": time_first},
        ),
        entry("1D convolutions on signals", build=signals, writes=_of(1, 64)),
        entry(
            "image and table",
            build=ImageAndTable,
            writes={"virtual_samples": image_and_table},
        ),
        entry("two tasks, two heads", build=TwoHeads, writes=_of(NUM_COLUMNS)),
        entry(
            "two tasks, both heads named",
            build=TwoHeads,
            writes=_of(NUM_COLUMNS) | {"head": ("first", "second")},
        ),
        entry("autoencoder", build=autoencoder, writes=_of(NUM_COLUMNS)),
        entry("variational autoencoder", build=Variational, writes=_of(NUM_COLUMNS)),
        entry("GAN, generator", build=generator_network, writes=_of(16)),
        entry("complex parameters", build=Spectral, writes=_of(NUM_COLUMNS)),
        entry(
            "a fixed batch of 16",
            build=FixedBatch,
            writes=_of(NUM_COLUMNS) | {"num_virtual_samples": 16},
            loss=fixed_batch_loss,
        ),
    ]


def _of(*shape: int) -> dict[str, Any]:
    return {"input_shape": shape}


def perceptron(num_outputs: int = 3) -> nn.Module:
    """Build two linear layers."""
    return nn.Sequential(
        nn.Linear(NUM_COLUMNS, 32), nn.ReLU(), nn.Linear(32, num_outputs)
    )


def linear() -> nn.Module:
    """Build one layer, which is the whole model."""
    return nn.Linear(NUM_COLUMNS, 2)


def signals() -> nn.Module:
    """Build a classifier of signals, such as electrocardiograms."""
    return nn.Sequential(
        nn.Conv1d(1, 8, 5),
        nn.BatchNorm1d(8),
        nn.ReLU(),
        nn.AdaptiveAvgPool1d(4),
        nn.Flatten(),
        nn.Linear(32, 4),
    )


def autoencoder() -> nn.Module:
    """Build a narrow middle between two wide ends."""
    return nn.Sequential(
        nn.Linear(NUM_COLUMNS, 16),
        nn.ReLU(),
        nn.Linear(16, 4),
        nn.ReLU(),
        nn.Linear(4, 16),
        nn.ReLU(),
        nn.Linear(16, NUM_COLUMNS),
    )


def generator_network() -> nn.Module:
    """Build a generator of images of 16 x 16."""
    return nn.Sequential(
        nn.Unflatten(1, (16, 1, 1)),
        nn.ConvTranspose2d(16, 16, 4),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.ConvTranspose2d(16, 8, 4, 2, 1),
        nn.ReLU(),
        nn.ConvTranspose2d(8, 1, 4, 2, 1),
        nn.Tanh(),
    )


def cox_loss(model: nn.Module, table: Samples) -> Tensor:
    """Lower Cox's partial likelihood of those who died in the order of the rows.

    The first column is what they died of.
    """
    risk = model(table[table[:, 0].argsort(descending=True)]).flatten()
    return (risk.logcumsumexp(0) - risk).mean()


class TokenLSTM(nn.Module):
    """An embedding, an LSTM and a linear layer over its last output."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, 16)
        self.lstm = nn.LSTM(16, 24, batch_first=True)
        self.head = nn.Linear(24, VOCABULARY)

    def forward(self, tokens: Tensor) -> Tensor:
        """Predict the next token."""
        return self.head(self.lstm(self.embedding(tokens))[0][:, -1])


class KeepingGRU(nn.Module):
    """A GRU that goes on from where the last batch ended."""

    def __init__(self) -> None:
        super().__init__()
        self.gru, self.head = nn.GRU(4, 16, batch_first=True), nn.Linear(16, 3)
        self.state: Tensor | None = None

    def forward(self, series: Tensor) -> Tensor:
        """Classify series."""
        outputs, state = self.gru(series, self.state)
        self.state = state.detach()
        return self.head(outputs[:, -1])


class TimeFirst(nn.Module):
    """A GRU whose first axis is the time."""

    def __init__(self) -> None:
        super().__init__()
        self.gru, self.head = nn.GRU(4, 16), nn.Linear(16, 3)

    def forward(self, series: Tensor) -> Tensor:
        """Classify series by their last step."""
        return self.head(self.gru(series)[0][-1])


class ImageAndTable(nn.Module):
    """Two inputs, two bodies, one head."""

    def __init__(self) -> None:
        super().__init__()
        self.images = nn.Sequential(nn.Conv2d(1, 4, 3, 2), nn.ReLU(), nn.Flatten())
        self.table = nn.Sequential(nn.Linear(NUM_COLUMNS, 16), nn.ReLU())
        self.head = nn.Linear(4 * 7 * 7 + 16, 3)

    def forward(self, images: Tensor, table: Tensor) -> Tensor:
        """Classify by both."""
        return self.head(torch.cat([self.images(images), self.table(table)], 1))


class TwoHeads(nn.Module):
    """One body, a classification and a regression."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(NUM_COLUMNS, 32), nn.ReLU())
        self.first, self.second = nn.Linear(32, 4), nn.Linear(32, 1)

    def forward(self, table: Tensor) -> tuple[Tensor, Tensor]:
        """Give both answers."""
        hidden = self.body(table)
        return self.first(hidden), self.second(hidden)


class Variational(nn.Module):
    """Draws what is between encoder and decoder."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(NUM_COLUMNS, 32), nn.ReLU())
        self.mean, self.log_variance = nn.Linear(32, 4), nn.Linear(32, 4)
        self.decoder = nn.Sequential(
            nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, NUM_COLUMNS)
        )

    def forward(self, table: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Give the reconstruction, and mean and variance of what it was drawn from."""
        hidden = self.encoder(table)
        mean, log_variance = self.mean(hidden), self.log_variance(hidden)
        noise = torch.randn_like(mean) * (log_variance / 2).exp()
        return self.decoder(mean + noise), mean, log_variance


class Spectral(nn.Module):
    """A complex filter between two transforms, as in Fourier neural operators."""

    def __init__(self) -> None:
        super().__init__()
        self.filter = nn.Parameter(
            torch.randn(NUM_COLUMNS // 2 + 1, dtype=torch.cfloat)
        )
        self.head = nn.Linear(NUM_COLUMNS, 3)

    def forward(self, table: Tensor) -> Tensor:
        """Filter, then classify."""
        spectrum = torch.fft.rfft(table) * self.filter
        return self.head(torch.fft.irfft(spectrum, NUM_COLUMNS))


class FixedBatch(nn.Module):
    """Takes as many rows as are written in it, and no others."""

    NUM_ROWS = 16

    def __init__(self) -> None:
        super().__init__()
        self.body = perceptron(8)
        self.head = nn.Linear(8, 3)

    def forward(self, table: Tensor) -> Tensor:
        """Classify the rows."""
        return self.head(self.body(table).view(self.NUM_ROWS, 8).relu())


def fixed_batch_loss(model: nn.Module, table: Samples) -> Tensor:
    """Give each row twice, as the model takes no fewer."""
    rows = torch.cat([table] * (FixedBatch.NUM_ROWS // len(table)))
    return (model(rows) - 1).square().mean()
