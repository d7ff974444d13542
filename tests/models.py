"""Small models of every kind that a federation may train, and their inputs."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torchvision.models import resnet18

from flwr_vdcs.probe.virtual_samples import VirtualSamples

VOCABULARY = 20


@dataclass(frozen=True)
class Case:
    """A model, its input shape, its head, and token ids where it wants them."""

    build: Callable[[], nn.Module]
    input_shape: tuple[int, ...]
    head: str
    virtual_samples: VirtualSamples | None = None


def mlp() -> nn.Module:
    """Two linear layers."""
    return nn.Sequential(
        nn.Flatten(), nn.Linear(12, 16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, 4)
    )


def plain_cnn() -> nn.Module:
    """Convolutions without normalisation."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(8 * 4 * 4, 5),
    )


def batch_norm_cnn() -> nn.Module:
    """Convolutions with batch normalisation."""
    return nn.Sequential(
        nn.Conv2d(1, 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(4 * 4 * 4, 3),
    )


def group_norm_cnn() -> nn.Module:
    """Convolutions with group normalisation."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 3),
        nn.GroupNorm(2, 8),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 5),
    )


class VisionTransformer(nn.Module):
    """Patches, a class token, two encoder layers, and a linear head."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 16, 4, stride=4)
        self.class_token = nn.Parameter(torch.randn(1, 1, 16))
        layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(16, 4)

    def forward(self, images: Tensor) -> Tensor:
        """Classify by the class token."""
        tokens = self.patches(images).flatten(2).transpose(1, 2)
        class_tokens = self.class_token.expand(len(images), -1, -1)
        return self.head(self.encoder(torch.cat([class_tokens, tokens], 1))[:, 0])


class TokenLSTM(nn.Module):
    """An embedding, an LSTM and a linear layer over its last output."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, 8)
        self.lstm = nn.LSTM(8, 12, num_layers=2, dropout=0.2, batch_first=True)
        self.decoder = nn.Linear(12, VOCABULARY)

    def forward(self, tokens: Tensor) -> Tensor:
        """Predict the next token."""
        return self.decoder(self.lstm(self.embedding(tokens))[0][:, -1])


class Tied(nn.Module):
    """A language model whose head shares its embedding's weight."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.body = nn.Embedding(20, 6), nn.Linear(6, 6)
        self.head = nn.Linear(6, 20)
        self.head.weight = self.embedding.weight

    def forward(self, tokens: Tensor) -> Tensor:
        """Score each next token."""
        return self.head(self.body(self.embedding(tokens)))


class Masked(nn.Module):
    """A model that keeps a causal mask, zeros and minus infinities, as a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(4, 4), nn.Linear(4, 3)
        mask = nn.Transformer.generate_square_subsequent_mask(4)
        self.register_buffer("mask", mask)

    def forward(self, inputs: Tensor) -> Tensor:
        """Let each feature see those before it."""
        weights = (self.body(inputs)[:, None] + self.mask).softmax(-1)
        return self.head((weights @ inputs[..., None])[..., 0])


def token_ids(generator: torch.Generator, num_samples: int) -> Tensor:
    """Draw sequences of seven random tokens."""
    return torch.randint(VOCABULARY, (num_samples, 7), generator=generator)


CASES = {
    "resnet18": Case(lambda: resnet18(num_classes=8), (3, 28, 28), "fc"),
    "plain-cnn": Case(plain_cnn, (3, 8, 8), "4"),
    "batch-norm-cnn": Case(batch_norm_cnn, (1, 6, 6), "4"),
    "group-norm-cnn": Case(group_norm_cnn, (3, 8, 8), "5"),
    "mlp": Case(mlp, (3, 4), "4"),
    "vision-transformer": Case(VisionTransformer, (3, 8, 8), "head"),
    "token-lstm": Case(TokenLSTM, (7,), "decoder", token_ids),
}
