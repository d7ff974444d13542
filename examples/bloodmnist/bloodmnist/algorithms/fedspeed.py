r"""FedSpeed: a prox-corrected, perturbed gradient (Sun et al., ICLR 2023).

Every step computes, Eq. 6 of the paper,

.. math::
    g_1 &= \nabla F(w), \quad g_2 = \nabla F(w + \rho\, g_1 / \lVert g_1 \rVert),
    \quad q = (1 - a) g_1 + a g_2, \\
    w &\leftarrow w - \eta \left( q - \hat g_k + (w - w_g) / \lambda \right).

After the last one, :math:`\hat g_k \leftarrow \hat g_k - (w_K - w_g) / \lambda`, from 0
in the first round, and the client uploads :math:`w_K - \lambda \hat g_k`. Batch norm's
running statistics follow the first pass alone.

**Knobs at zero.** The limit :math:`1/\lambda \to 0` is not FedAvg, since
:math:`\lambda \hat g_k` does not vanish in it. So ``lambda_speed = 0`` means neither
penalty nor correction; with it and :math:`\rho = 0` the algorithm is FedAvg.

**Batch norm.** The running statistics are those of :math:`w_K`, not of the amended
upload. A large :math:`\lambda` puts the two far apart, and the global model then tests
badly, in evaluation mode, while its training loss falls.

**A client that is not aggregated.** :math:`-\lambda \hat g_k` is the sum of all the
drifts that the client has sent so far, and every upload contains it. A client whose
update was dropped, lost or late takes its :math:`\hat g_k` back before it trains again
(see :mod:`bloodmnist.memory`), so no round puts weight on a drift that the others have
never seen.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bloodmnist.algorithms.fedsam import climbed
from bloodmnist.loop import (
    Backward,
    Batches,
    Memory,
    Settings,
    copy_parameters,
    run_epochs,
)
from bloodmnist.model import State

CORRECTION = "correction"


def train(
    model: nn.Module, batches: Batches, settings: Settings, memory: Memory
) -> float:
    """Minimise by corrected steps, then move the correction and amend the upload."""
    start = copy_parameters(model)
    correction = memory.get(CORRECTION) or {
        name: torch.zeros_like(value) for name, value in start.items()
    }

    def step(backward: Backward) -> Tensor:
        loss = backward()
        first = [p.grad.clone() for p in model.parameters()]
        with climbed(model, settings.rho):
            backward()
        for parameter, gradient in zip(model.parameters(), first, strict=True):
            parameter.grad = gradient.lerp(parameter.grad, settings.a_speed)
        if settings.lambda_speed:
            _correct(model, start, correction, settings.lambda_speed)
        return loss

    loss = run_epochs(model, batches, settings, step=step)
    if settings.lambda_speed:
        memory[CORRECTION] = _amend(model, start, correction, settings.lambda_speed)
    return loss


@torch.no_grad()
def _correct(model: nn.Module, start: State, correction: State, lam: float) -> None:
    """Take the correction off every gradient, and add the penalty's."""
    for name, parameter in model.named_parameters():
        parameter.grad += (parameter - start[name]) / lam - correction[name]


@torch.no_grad()
def _amend(model: nn.Module, start: State, correction: State, lam: float) -> State:
    """Move the parameters to what is uploaded, and return the new correction."""
    moved = {
        name: correction[name] - (parameter - start[name]) / lam
        for name, parameter in model.named_parameters()
    }
    for name, parameter in model.named_parameters():
        parameter.sub_(lam * moved[name])
    return moved
