"""Options to setting: how a model is to be checked."""

from dataclasses import dataclass

import torch
from torch import Tensor

from flwr_vdcs.cli.checking.loading import load_object
from flwr_vdcs.cli.outcome import InputError
from flwr_vdcs.errors import DeviceUnavailableError
from flwr_vdcs.probe import VirtualSamples, draw_samples, gaussian, resolve_device
from flwr_vdcs.scoring import Scoring


@dataclass(frozen=True)
class Setting:
    """What the strategy would be told."""

    input_shape: tuple[int, ...]
    num_clients: int
    num_virtual_samples: int
    virtual_samples: VirtualSamples
    head: str | None
    scoring: Scoring
    device: torch.device

    def draw(self, num_samples: int) -> Tensor:
        """Draw some virtual samples, always the same."""
        return draw_samples(self.virtual_samples, 0, num_samples, self.input_shape)


def shape_from(text: str) -> tuple[int, ...]:
    """Read ``3,28,28``.

    Raises
    ------
    InputError
        If it is anything else.
    """
    lengths = text.split(",")
    if not all(length.strip().isdecimal() and int(length) for length in lengths):
        raise InputError(
            f"--input-shape {text} is no shape: give whole numbers above zero, without "
            "the batch axis, such as 3,28,28."
        )
    return tuple(int(length) for length in lengths)


def drawing_from(reference: str | None, input_shape: tuple[int, ...]) -> VirtualSamples:
    """Find the function that draws virtual samples.

    Raises
    ------
    InputError
        If it cannot be imported, or cannot be called.
    """
    if reference is None:
        return gaussian(input_shape)
    found: VirtualSamples = load_object("--virtual-samples", reference)
    if not callable(found):
        raise InputError(
            f"--virtual-samples {reference} is no function: give one that takes "
            "(generator, N) and gives a tensor with N inputs."
        )
    return found


def device_from(name: str) -> torch.device:
    """Find a device.

    Raises
    ------
    InputError
        If it is not there.
    """
    try:
        return resolve_device(name)
    except DeviceUnavailableError as error:
        raise InputError(str(error)) from error
