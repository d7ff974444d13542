"""The one training loop, with two seams: the objective, and how a gradient is found."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from bloodmnist.model import State
from bloodmnist.run_config import RunConfig

Memory = dict[str, State]
"""What a client carries from round to round, by name."""

Objective = Callable[[Tensor, Tensor], Tensor]
"""Images and labels of a batch to the value to minimise."""

Backward = Callable[[], Tensor]
"""Computes the objective of the current batch and its gradient, both anew."""

Step = Callable[[Backward], Tensor]
"""Leaves the gradient to descend in the parameters' ``grad``; returns the loss."""


@dataclass(frozen=True)
class Settings:
    """Settings of local training, as the run config's keys of the same names.

    Attributes
    ----------
    clip_norm : float
        The norm that gradients are shortened to; 0 leaves them.
    mu, alpha_dyn, alpha_rs, rho, lambda_speed, a_speed : float
        The algorithms' own, see there.
    """

    learning_rate: float = 0.05
    local_epochs: int = 1
    clip_norm: float = 0.0
    mu: float = 0.01
    alpha_dyn: float = 0.1
    alpha_rs: float = 0.5
    rho: float = 0.1
    lambda_speed: float = 10.0
    a_speed: float = 1.0

    @classmethod
    def of(cls, run_config: RunConfig) -> Settings:
        """Read the settings from a run config."""
        return cls(
            learning_rate=float(run_config["learning-rate"]),
            local_epochs=int(run_config["local-epochs"]),
            clip_norm=float(run_config["clip-norm"]),
            mu=float(run_config["mu"]),
            alpha_dyn=float(run_config["alpha-dyn"]),
            alpha_rs=float(run_config["alpha-rs"]),
            rho=float(run_config["rho"]),
            lambda_speed=float(run_config["lambda-speed"]),
            a_speed=float(run_config["a-speed"]),
        )


@dataclass(frozen=True)
class Batches:
    """A client's images in batches, in a new random order every epoch.

    An incomplete last batch is left out where there are others, because batch norm
    cannot normalise a single image.

    Attributes
    ----------
    images, labels : Tensor
        All images of the client and their classes.
    num_classes : int
        How many classes there are, whether the client holds them or not.
    batch_size : int
        Images a batch.
    generator : torch.Generator
        Decides the order.
    """

    images: Tensor
    labels: Tensor
    num_classes: int
    batch_size: int
    generator: torch.Generator

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Go through the images once."""
        order = torch.randperm(len(self.labels), generator=self.generator)
        for rows in order.split(self.batch_size):
            if len(rows) == self.batch_size or len(order) < self.batch_size:
                here = rows.to(self.labels.device)
                yield self.images[here], self.labels[here]


def run_epochs(
    model: nn.Module,
    batches: Batches,
    settings: Settings,
    *,
    objective: Objective | None = None,
    step: Step | None = None,
) -> float:
    """Train the model in place by SGD (Eq. 8) and return the mean loss over all steps.

    Parameters
    ----------
    model : nn.Module
        The model to train; it is left in training mode.
    batches : Batches
        The client's images.
    settings : Settings
        Learning rate, number of epochs, gradient norm.
    objective : Objective, optional
        What to minimise; the cross entropy if not given.
    step : Step, optional
        How a step's gradient is found; the objective's own if not given.
    """
    model.train()
    optimizer = torch.optim.SGD(model.parameters(), lr=settings.learning_rate)
    minimised = objective or partial(mean_cross_entropy, model)
    losses = []
    for _ in range(settings.local_epochs):
        for images, labels in batches:
            backward = partial(_backward, model, minimised, images, labels)
            losses.append(float(step(backward) if step else backward()))
            if settings.clip_norm:
                nn.utils.clip_grad_norm_(model.parameters(), settings.clip_norm)
            optimizer.step()
    return sum(losses) / len(losses)


def mean_cross_entropy(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """Compute the cross entropy of the model's answers, the mean over the batch."""
    return cross_entropy(model(images), labels)


def copy_parameters(model: nn.Module) -> State:
    """Copy the parameters by name; buffers are none."""
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def _backward(
    model: nn.Module, objective: Objective, images: Tensor, labels: Tensor
) -> Tensor:
    model.zero_grad()
    loss = objective(images, labels)
    loss.backward()
    return loss.detach()
