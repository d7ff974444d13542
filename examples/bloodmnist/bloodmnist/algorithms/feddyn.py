r"""FedDyn: a regulariser that follows the client's own gradient (Acar et al., 2021).

The client minimises, Eq. 3 of the paper,

.. math:: F(w) - \langle h_k, w \rangle + \frac{\alpha}{2} \lVert w - w_g \rVert^2

and then sets :math:`h_k \leftarrow h_k - \alpha (w_k - w_g)`, starting from 0. The
server's half is :class:`bloodmnist.feddyn_server.FedDyn`. With :math:`\alpha = 0` both
halves are FedAvg.

**A client that is not aggregated.** The server's :math:`h` is the mean of all
:math:`h_k` only if both change together. So a client whose update was dropped, lost or
late takes its :math:`h_k` back before it trains again (see :mod:`bloodmnist.memory`).
It is then in the state of a client that did not take part, which the algorithm allows.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bloodmnist.loop import (
    Batches,
    Memory,
    Settings,
    copy_parameters,
    mean_cross_entropy,
    run_epochs,
)

CORRECTION = "correction"


def train(
    model: nn.Module, batches: Batches, settings: Settings, memory: Memory
) -> float:
    """Minimise the regularised loss, then move the client's correction."""
    alpha, start = settings.alpha_dyn, copy_parameters(model)
    correction = memory.get(CORRECTION) or {
        name: torch.zeros_like(value) for name, value in start.items()
    }

    def objective(images: Tensor, labels: Tensor) -> Tensor:
        linear = sum((correction[n] * p).sum() for n, p in model.named_parameters())
        drift = sum((p - start[n]).square().sum() for n, p in model.named_parameters())
        loss = mean_cross_entropy(model, images, labels)
        return loss - linear + alpha / 2 * drift

    loss = run_epochs(model, batches, settings, objective=objective)
    memory[CORRECTION] = {
        name: correction[name] - alpha * (p.detach() - start[name])
        for name, p in model.named_parameters()
    }
    return loss
