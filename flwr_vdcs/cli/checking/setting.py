"""Options to setting: how a model is to be checked."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from flwr_vdcs.cli.checking.loading import load_object
from flwr_vdcs.cli.outcome import InputError
from flwr_vdcs.errors import DeviceUnavailableError
from flwr_vdcs.probe import (
    Samples,
    VirtualSamples,
    draw_samples,
    gaussian,
    resolve_device,
)
from flwr_vdcs.scoring import Scoring, resolve_scoring


@dataclass(frozen=True)
class Setting:
    """What the strategy would be told."""

    input_shape: tuple[int, ...] | None
    num_clients: int
    num_virtual_samples: int
    virtual_samples: VirtualSamples
    head: Sequence[str] | None
    scoring: Scoring
    device: torch.device

    def draw(self, num_samples: int) -> Samples:
        """Draw some virtual samples, always the same."""
        return draw_samples(self.virtual_samples, 0, num_samples, self.input_shape)


def setting_from(
    *,
    input_shape: str | None,
    num_clients: int,
    num_virtual_samples: int,
    virtual_samples: str | None,
    head: Sequence[str] | None,
    scoring: str,
    device: str,
) -> Setting:
    """Read the options.

    Raises
    ------
    InputError
        If one of them cannot be used.
    """
    shape = shape_from(input_shape)
    return Setting(
        input_shape=shape,
        num_clients=num_clients,
        num_virtual_samples=num_virtual_samples,
        virtual_samples=drawing_from(virtual_samples, shape),
        head=head,
        scoring=resolve_scoring(scoring),
        device=device_from(device),
    )


def shape_from(text: str | None) -> tuple[int, ...] | None:
    """Read ``3,28,28``, if a shape is given.

    Raises
    ------
    InputError
        If it is anything else.
    """
    if text is None:
        return None
    lengths = text.split(",")
    if not all(length.strip().isdecimal() and int(length) for length in lengths):
        raise InputError(
            f"--input-shape {text} is no shape: give whole numbers above zero, without "
            "the batch axis, such as 3,28,28."
        )
    return tuple(int(length) for length in lengths)


def drawing_from(
    reference: str | None, input_shape: tuple[int, ...] | None
) -> VirtualSamples:
    """Find the function that draws virtual samples.

    Raises
    ------
    InputError
        If it cannot be imported, or cannot be called, or neither it nor a shape is
        given.
    """
    if reference is None and input_shape is None:
        raise InputError(
            "nothing says what the model takes: give --input-shape, the shape of one "
            "input, or --virtual-samples, a function that draws inputs."
        )
    if reference is None:
        return gaussian(input_shape or ())
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
