"""Tensors to parcels and back: plain memory, which any pickler can ship.

PyTorch's own tensors are pickled slowly, or put into memory that processes share, where
workers would write over each other.
"""

from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Parcel:
    """A tensor as the bytes that it takes, with its strides.

    Sums of a tensor with other strides can differ in the last digits.
    """

    memory: np.ndarray[Any, np.dtype[np.uint8]]
    dtype: torch.dtype
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    device: str
    is_parameter: bool

    @classmethod
    def of(cls, tensor: Tensor) -> "Parcel":
        """View a tensor's memory; that of another device is copied to the CPU."""
        steps = zip(tensor.shape, tensor.stride(), strict=True)
        last = sum((length - 1) * stride for length, stride in steps)
        span = last + 1 if tensor.numel() else 0
        memory = tensor.detach().as_strided((span,), (1,)).cpu()
        return cls(
            memory.view(torch.uint8).numpy(),
            tensor.dtype,
            tuple(tensor.shape),
            tensor.stride(),
            tensor.device.type,
            isinstance(tensor, nn.Parameter),
        )

    def opened(self) -> Tensor:
        """Give a tensor with memory of its own, on the same kind of device."""
        memory = torch.tensor(self.memory).view(self.dtype).to(self.device)
        tensor = memory.as_strided(self.shape, self.strides)
        if self.is_parameter:
            return nn.Parameter(tensor, requires_grad=False)
        return tensor


def parcelled(value: Any) -> Any:
    """Give a tensor, or a dictionary of tensors, as parcels; all else as it is."""
    if isinstance(value, Tensor):
        return Parcel.of(value)
    if isinstance(value, Mapping):
        return {name: parcelled(each) for name, each in value.items()}
    return value


def opened(value: Any) -> Any:
    """Give the tensors that are in parcels; all else as it is."""
    if isinstance(value, Parcel):
        return value.opened()
    if isinstance(value, Mapping) and any(
        isinstance(each, Parcel) for each in value.values()
    ):
        return {name: opened(each) for name, each in value.items()}
    return value


class Place:
    """Stands where a tensor was."""


@dataclass(frozen=True)
class Apart:
    """An object without some of its tensors, the places of these, and parcels."""

    rest: Any
    places: tuple[Place, ...]
    parcels: tuple[Parcel, ...]


def taken_apart(value: Any, tensors: Iterable[Tensor]) -> Apart:
    """Copy an object, with its tensors as parcels beside it."""
    known = {id(tensor): tensor for tensor in tensors}
    places = {address: Place() for address in known}
    rest = deepcopy(value, dict(places))
    return Apart(rest, (*places.values(),), (*map(Parcel.of, known.values()),))


def put_together(apart: Apart) -> Any:
    """Put the tensors back where they were."""
    pairs = zip(apart.places, apart.parcels, strict=True)
    return deepcopy(apart.rest, {id(place): each.opened() for place, each in pairs})
