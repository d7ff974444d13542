"""What the catalogue says of a model: how it is built, and what the user writes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from compatibility.exchange import WHOLE, Exchange

Samples = Any
"""A tensor, a tuple for ``model(*x)``, or a dictionary for ``model(**x)``."""

Loss = Callable[[nn.Module, Samples], Tensor]


def called(model: nn.Module, samples: Samples) -> Any:
    """Run a model on samples, in whichever way they are given."""
    if isinstance(samples, tuple):
        return model(*samples)
    if isinstance(samples, Mapping):
        return model(**samples)
    return model(samples)


def distance_from_one(model: nn.Module, samples: Samples) -> Tensor:
    """Teach a model to answer one, whatever it is asked: a task for every model."""
    answers = list(_numbers_in(called(model, samples)))
    losses = [(answer - 1).abs().square().mean() for answer in answers]
    return torch.stack(losses).mean()


def as_it_is(model: nn.Module) -> nn.Module:
    """Give the plugin the model that the clients train."""
    return model


@dataclass(frozen=True)
class Entry:
    """A model, and what a user writes who federates it.

    Attributes
    ----------
    kind, name
        The section of the table, and the line in it.
    library
        The package that has the model, as pip calls it.
    build
        Makes the model, with random weights.
    writes
        The arguments of `VirtualConsistencyStrategy`, besides the strategy and model.
    travels
        Which arrays clients and server send each other.
    loss
        What clients minimise.
    serves
        Makes what the user gives as ``model`` of what clients train.
    served
        How the user writes that.
    is_refused
        Whether an error is expected that says what to do.
    instead
        What to do where it is refused.
    """

    kind: str
    name: str
    library: str
    build: Callable[[], nn.Module]
    writes: Mapping[str, Any] = field(default_factory=dict)
    travels: Exchange = WHOLE
    loss: Loss = distance_from_one
    serves: Callable[[nn.Module], nn.Module] = as_it_is
    served: str = "net"
    is_refused: bool = False
    instead: str = ""

    @property
    def written(self) -> str:
        """What the user writes, as code."""
        arguments = (f"{name}={_code(each)}" for name, each in self.writes.items())
        return ", ".join([f"model={self.served}", *arguments])

    def draw(self, generator: torch.Generator, num_samples: int) -> Samples:
        """Draw inputs to train on: of the same kind as the virtual samples."""
        if "virtual_samples" in self.writes:
            return self.writes["virtual_samples"](generator, num_samples)
        shape = (num_samples, *self.writes["input_shape"])
        return torch.randn(shape, generator=generator)


def _code(argument: Any) -> str:
    return getattr(argument, "__name__", repr(argument))


def _numbers_in(answer: Any) -> Iterator[Tensor]:
    """Find what a model answers, in whatever it is wrapped."""
    if isinstance(answer, Tensor):
        if answer.is_floating_point() or answer.is_complex():
            yield answer
    elif isinstance(answer, Mapping):
        yield from _numbers_in(list(answer.values()))
    elif isinstance(answer, list | tuple):
        for each in answer:
            yield from _numbers_in(each)
