r"""FedRS: a restricted softmax for classes the client does not hold (Li & Zhan, 2021).

The softmax is taken over :math:`\alpha_c \cdot (w_c \cdot h)`, Eq. 4 of the paper, with
:math:`\alpha_c = 1` for the classes among the client's own labels and
:math:`\alpha_c = \alpha` for the others. A head with a bias counts it as the weight of
a feature that is always 1, so whole logits are scaled. With :math:`\alpha = 1`, or
where the client holds all classes, it is FedAvg.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from bloodmnist.loop import Batches, Memory, Settings, run_epochs


def train(
    model: nn.Module, batches: Batches, settings: Settings, _memory: Memory
) -> float:
    """Minimise the cross entropy of the restricted softmax."""
    scale = restrict(batches.labels, batches.num_classes, settings.alpha_rs)

    def objective(images: Tensor, labels: Tensor) -> Tensor:
        return cross_entropy(scale * model(images), labels)

    return run_epochs(model, batches, settings, objective=objective)


def restrict(labels: Tensor, num_classes: int, alpha: float) -> Tensor:
    """Give 1 for every class among the labels and alpha for every other."""
    held = labels.bincount(minlength=num_classes) > 0
    return held.float() + alpha * (~held).float()
