"""FedAvg: local epochs of SGD (McMahan et al., AISTATS 2017), Eq. 8 of the paper."""

from __future__ import annotations

from torch import nn

from bloodmnist.loop import Batches, Memory, Settings, run_epochs


def train(
    model: nn.Module, batches: Batches, settings: Settings, _memory: Memory
) -> float:
    """Minimise the cross entropy."""
    return run_epochs(model, batches, settings)
