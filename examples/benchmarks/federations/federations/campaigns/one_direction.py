"""A push in one direction over all rounds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import ClassVar

import torch
from bloodmnist.attacks import AttackerView
from bloodmnist.model import State
from torch import Tensor
from torch.nn.functional import normalize

from federations.campaigns.campaign import Campaign

SIGNIFICANCE = 0.01
SMALLEST_FACTOR = 0.5
"""Both as Xie et al. have them."""


@dataclass(eq=False)
class OneDirection(Campaign):
    r"""PoisonedFL: all liars push in one random direction, round after round.

    Xie, Fang and Gong, "Model Poisoning Attacks to Federated Learning via Multi-Round
    Consistency", CVPR 2025. With the last change of the global model,
    :math:`g = w_t - w_{t-1}`, and the liars' own last push :math:`u`, the next one is
    :math:`c \lVert g \rVert \, v \odot s / \lVert v \odot s \rVert`. The signs s are
    drawn once; the magnitudes are the paper's,
    :math:`v = |g - u \lVert g \rVert / \lVert u \rVert|`: what of the change the own
    push does not explain. In the first round nothing is known, and the received
    parameters are sent. No training is needed; buffers are sent as trained.

    Attributes
    ----------
    factor
        c; at 0 the received parameters are sent.
    shrinkage
        What it is multiplied by if over a window of rounds the global model has not
        gone along s, by a one-sided binomial test in its normal approximation on how
        many coordinates have moved by their sign. It is at least a half.
    window
        How many rounds there are between two such tests.
    """

    factor: float = 10.0
    shrinkage: float = 0.7
    window: int = 50

    is_gross: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Draw the direction."""
        super().__post_init__()
        coins = torch.randint(2, self.change.shape, generator=self.generator)
        self.signs = 2.0 * coins.double() - 1.0
        self.push = torch.zeros_like(self.change)
        self.start: Tensor | None = None

    def begin_round(
        self, server_round: int, state: State, present: Sequence[int]
    ) -> None:
        """Prepare the push of this round."""
        super().begin_round(server_round, state, present)
        if (server_round - 1) % self.window == 0:
            self._adjust(self.vector(state))
        self.push = self._next_push() if self.lying else torch.zeros_like(self.push)

    def send(self, view: AttackerView) -> State:
        """Send the push, whatever was trained."""
        return view.send(self.arrays(self.vector(view.received) + self.push))

    def follows(self, moved: Tensor) -> bool:
        """Tell whether more coordinates moved by their sign than by chance."""
        number = len(self.signs)
        z = NormalDist().inv_cdf(1 - SIGNIFICANCE)
        matching = int((moved.sign() == self.signs).sum())
        return bool(matching > number / 2 + z * number**0.5 / 2)

    def _adjust(self, now: Tensor) -> None:
        """Push less if the last window was in vain."""
        shrunk = self.factor * self.shrinkage
        in_vain = self.start is not None and not self.follows(now - self.start)
        if in_vain and shrunk >= SMALLEST_FACTOR:
            self.factor = shrunk
        self.start = now

    def _next_push(self) -> Tensor:
        length = self.change.norm()
        magnitudes = (self.change - length * _unit(self.push)).abs()
        return self.factor * length * _unit(magnitudes * self.signs)


def _unit(vector: Tensor) -> Tensor:
    """Give a vector the length 1; zeros stay."""
    unit: Tensor = normalize(vector, dim=0)
    return unit
