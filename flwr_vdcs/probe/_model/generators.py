"""The generators of random numbers that a model may use."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import torch


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed the generators that the model may use, and put them back afterwards."""
    with generators_kept(device):
        torch.default_generator.manual_seed(seed)
        if device.type == "cuda":
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        yield


def generators_kept(device: torch.device) -> AbstractContextManager[None]:
    """Put the generators that the model may use back afterwards."""
    return torch.random.fork_rng(devices=[device] if device.type == "cuda" else [])
