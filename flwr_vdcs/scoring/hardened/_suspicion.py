"""Tolerated to suspicion: what lies within a tolerance says little."""

import torch
from torch import Tensor

RESERVE = 4
"""How little. Chosen on recorded rounds."""


def with_reserve(shares: Tensor) -> Tensor:
    """Take shares of a tolerance to the power of `RESERVE`, where they are below 1.

    For what differs much among honest clients: between those who are all within the
    tolerances other evidence is to decide.
    """
    return torch.where(shares < 1, shares**RESERVE, shares)
