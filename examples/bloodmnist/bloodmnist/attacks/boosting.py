r"""The client's own update, longer or reversed; the paper's targeted poisoning.

Batch-norm buffers are sent as honest training left them.
"""

from __future__ import annotations

from bloodmnist.attacks.view import AttackerView
from bloodmnist.model import State


def as_trained(view: AttackerView) -> State:
    """Send what was trained: no attack on the model."""
    return view.trained


def boost(view: AttackerView, *, factor: float) -> State:
    r"""Send :math:`w_g + b \Delta`: the own update, ``factor`` b times as long.

    A factor of 1 is honest.
    """
    return view.send({n: view.boosted(n, factor) for n in view.parameter_names})


def sign_flip(view: AttackerView, *, scale: float = 1.0) -> State:
    r"""Send :math:`w_g - s \Delta`: the own update, reversed and s times as long."""
    return boost(view, factor=-scale)


def targeted_paper(view: AttackerView, *, scale: float = 10.0) -> State:
    r"""Send :math:`w_m + \lambda (w_m - w_g)`, Eqs. 9 and 10 of the paper.

    With :math:`\lambda` = 10 this is an update eleven times as long. It is a targeted
    attack on flipped labels only; on clean ones the direction is an honest client's.
    A scale of 0 is honest.
    """
    return boost(view, factor=1 + scale)


def targeted_authors(view: AttackerView, *, scale: float = 10.0) -> State:
    r"""Send :math:`\lambda (w_m - w_g)`, without the model that Eq. 9 adds it to.

    The form in the code of the paper's authors, where labels are clean.
    """
    return view.send({n: scale * view.update(n) for n in view.parameter_names})
