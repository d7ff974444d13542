"""One federation: hospitals that train one model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from numpy.random import Generator, default_rng
from torch import Tensor, nn

from federations.samples import Samples
from federations.tasks import Task

Hospitals = Callable[[Generator], tuple[Sequence[Samples], Samples]]
"""From a generator to the samples of each hospital, and those of the test."""


@dataclass(frozen=True)
class Federation:
    """Hospitals that train one model.

    Attributes
    ----------
    name
        Short and unique.
    task
        What is learned.
    hospitals
        From a generator the samples of each hospital, and those of the test.
    build
        The model.
    rounds
        How many rounds; enough to converge.
    local_epochs, local_steps
        How long a hospital trains in a round; steps count if they are not zero.
    learning_rate, batch_size
        Of local training by SGD.
    presence
        How likely a hospital takes part in a round.
    half_trained
        Every so manieth hospital trains half as long; none if zero.
    idle
        How likely the smallest hospital answers with the model that it got.
    is_adaptive
        Whether local training is by Adam instead.
    virtual_samples
        What draws them, where normal samples cannot be inputs.
    is_held_out
        Whether it is looked at for published numbers only.
    """

    name: str
    task: Task
    hospitals: Hospitals
    build: Callable[[], nn.Module]
    rounds: int = 15
    local_epochs: int = 1
    local_steps: int = 0
    learning_rate: float = 0.1
    batch_size: int = 16
    presence: float = 1.0
    half_trained: int = 0
    idle: float = 0.0
    is_adaptive: bool = False
    virtual_samples: Callable[[torch.Generator, int], Tensor] | None = None
    is_held_out: bool = True

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one input."""
        return tuple(self.hospitals(default_rng(0))[1].inputs.shape[1:])
