r"""FedSAM: descend where the loss is worst nearby (Qu et al., ICML 2022).

Every step takes the gradient at :math:`w + \rho\, g / \lVert g \rVert`, with
:math:`g = \nabla F(w)`, and applies it at :math:`w`, Eq. 5 of the paper. Batch norm's
running statistics follow the first pass alone, so they are updated once a step. With
:math:`\rho = 0` it is FedAvg.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from bloodmnist.loop import Backward, Batches, Memory, Settings, run_epochs


def train(
    model: nn.Module, batches: Batches, settings: Settings, _memory: Memory
) -> float:
    """Minimise the cross entropy by sharpness-aware steps."""

    def step(backward: Backward) -> Tensor:
        loss = backward()
        with climbed(model, settings.rho):
            backward()
        return loss

    return run_epochs(model, batches, settings, step=step)


@contextmanager
def climbed(model: nn.Module, rho: float) -> Iterator[None]:
    """Hold the model at ``w + rho g / |g|``, with its batch-norm statistics fixed.

    ``g`` are the gradients at entry, of which the norm is taken over all parameters
    together. Where it is 0 the model is not moved. At exit the parameters are,
    bit for bit, what they were.
    """
    parameters = [p for p in model.parameters() if p.grad is not None]
    before = [p.detach().clone() for p in parameters]
    norm = nn.utils.get_total_norm([p.grad for p in parameters])
    scale = torch.where(norm > 0, rho / norm, 0.0)
    with torch.no_grad():
        for parameter in parameters:
            parameter.add_(scale * parameter.grad)
    try:
        with _fixed_statistics(model):
            yield
    finally:
        with torch.no_grad():
            for parameter, value in zip(parameters, before, strict=True):
                parameter.copy_(value)


@contextmanager
def _fixed_statistics(model: nn.Module) -> Iterator[None]:
    """Normalise by the batch as in training, without updating running statistics."""
    layers = [
        layer
        for layer in model.modules()
        if isinstance(layer, _BatchNorm) and layer.track_running_stats
    ]
    for layer in layers:
        layer.track_running_stats = False
    try:
        yield
    finally:
        for layer in layers:
            layer.track_running_stats = True
