"""Seed to virtual samples: the inputs that every client's model is probed with."""

import secrets
from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import Tensor

from flwr_vdcs.errors import InvalidArgumentError
from flwr_vdcs.probe._samples import Samples

VirtualSamples = Callable[[torch.Generator, int], Samples]
"""Draws N samples: a tensor, a tuple of inputs, or a dictionary of them."""

MAX_SEED = 2**53
"""Seeds stay exact in readers of JSON that know floating point only."""


NUM_SAMPLES_TO_TRY = 2
"""Enough to see whether a model runs; batch normalisation needs more than one."""


def gaussian(input_shape: tuple[int, ...]) -> VirtualSamples:
    """Draw standard normal samples of one input shape (Section 3.2, step 1)."""
    return partial(_normal, input_shape)


def _normal(
    input_shape: tuple[int, ...], generator: torch.Generator, num_samples: int
) -> Tensor:
    return torch.randn((num_samples, *input_shape), generator=generator)


def round_seed(seed: int | None, server_round: int) -> int:
    """Give the seed of one round's virtual samples.

    Without a seed it comes from the operating system's randomness, and only when
    the round's updates are in, so that no client can know the samples in time.
    With one it is ``seed + server_round``: reproducible, different every round.
    """
    if seed is None:
        return secrets.randbelow(MAX_SEED)
    return seed + server_round


def draw_samples(
    virtual_samples: VirtualSamples,
    seed: int,
    num_samples: int,
    input_shape: tuple[int, ...] | None,
) -> Samples:
    """Draw ``num_samples`` inputs on the CPU, the same on every device.

    Raises
    ------
    InvalidArgumentError
        If the callable gives a tensor of another shape than ``num_samples`` inputs of
        ``input_shape``, or something that no model is called with.
    """
    generator = torch.Generator().manual_seed(seed)
    samples = virtual_samples(generator, num_samples)
    if isinstance(samples, tuple | Mapping) and samples:
        return samples
    expected = (num_samples, *(input_shape or ()))
    if isinstance(samples, Tensor) and (not input_shape or samples.shape == expected):
        return samples
    shape = f" of shape {expected}" if input_shape else ""
    found = tuple(samples.shape) if isinstance(samples, Tensor) else type(samples)
    raise InvalidArgumentError(
        "virtual_samples",
        virtual_samples,
        f"a callable (generator, N) -> Tensor{shape}, not {found}; or one that gives a "
        "tuple, for model(*x), or a dict, for model(**x)",
    )
