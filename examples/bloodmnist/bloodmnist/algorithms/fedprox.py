r"""FedProx: the local loss plus a pull back to the global model (Li et al., 2020).

Minimises :math:`F(w) + \frac{\mu}{2} \lVert w - w_g \rVert^2`, Eq. 2 of the paper.
With :math:`\mu = 0` it is FedAvg.
"""

from __future__ import annotations

from torch import Tensor, nn

from bloodmnist.loop import (
    Batches,
    Memory,
    Settings,
    copy_parameters,
    mean_cross_entropy,
    run_epochs,
)


def train(
    model: nn.Module, batches: Batches, settings: Settings, _memory: Memory
) -> float:
    """Minimise the cross entropy and half ``mu`` times the squared drift."""
    start = copy_parameters(model)

    def objective(images: Tensor, labels: Tensor) -> Tensor:
        drift = sum((p - start[n]).square().sum() for n, p in model.named_parameters())
        return mean_cross_entropy(model, images, labels) + settings.mu / 2 * drift

    return run_epochs(model, batches, settings, objective=objective)
