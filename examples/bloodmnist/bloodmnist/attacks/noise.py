r"""Random numbers instead of training; the paper's untargeted poisoning.

Where the attackers are sybils, all of them draw the same noise in a round: their
copies have a cosine of 1 with each other and so raise each other's mean score.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from statistics import median

import torch
from torch import Tensor

from bloodmnist.attacks.view import AttackerView
from bloodmnist.model import State

DRIFT_SEED = 25
"""Colluders agree on it once, and need not talk again."""


def untargeted_paper(
    view: AttackerView, *, scale: float = 10.0, sybil: bool = False
) -> State:
    r"""Send :math:`\tau (w' - w_g)` with :math:`w' \sim N(0, I)`, Eqs. 11 and 12.

    Buffers are sent as trained.
    """
    noise = _draw(view, view.parameter_names, sybil=sybil)
    return view.send({n: scale * (w - view.received[n].double()) for n, w in noise})


def untargeted_authors(view: AttackerView, *, scale: float = 10.0) -> State:
    r"""Send :math:`\tau (w_g - w')` with :math:`w' \sim N(0, I)`.

    The form in the code of the paper's authors: the other sign, and running
    statistics are attacked as well. Counters, which are integers, are sent as trained.
    """
    names = [n for n, value in view.trained.items() if value.is_floating_point()]
    noise = _draw(view, names, sybil=False)
    return view.send({n: scale * (view.received[n].double() - w) for n, w in noise})


def gaussian(view: AttackerView, *, sybil: bool = False) -> State:
    r"""Send :math:`w_g + \sigma z`, noise as long as the median honest update.

    :math:`z \sim N(0, I)` over all parameters, and
    :math:`\sigma = \operatorname{median}_i \lVert \Delta_i \rVert / \lVert z \rVert`
    over the honest clients i, whose updates the colluders know from repeating their
    deterministic training. Buffers are sent as trained.
    """
    noise = dict(_draw(view, view.parameter_names, sybil=sybil))
    squares = [
        updates.square().flatten(1).sum(1) for _, updates in view.honest_updates()
    ]
    honest_lengths = torch.stack(squares).sum(0).sqrt().tolist()
    length = sum(float(values.square().sum()) for values in noise.values()) ** 0.5
    sigma = median(honest_lengths) / length
    return view.send({n: view.received[n] + sigma * z for n, z in noise.items()})


def free_rider(view: AttackerView, *, scale: float = 1e-6) -> State:
    r"""Send the received model back, buffers too, with noise to hide that.

    The noise has standard deviation ``scale`` on every parameter, in all a few
    thousandths for a ResNet-18: far shorter than an honest update. A scale of 0 sends
    exactly what was received.
    """
    noise = _draw(view, view.parameter_names, sybil=False)
    hidden = {n: view.received[n].double() + scale * z for n, z in noise}
    return view.send(view.received | hidden)


def slow_drift(view: AttackerView, *, share: float = 1.0) -> State:
    r"""Send :math:`w_m + s \lVert \Delta_l \rVert d_l`, always towards the same place.

    :math:`d_l` is a random direction for each parameter l, the same for all colluders
    and in all rounds, so that small steps add up; layer by layer they are s times as
    long as the honest ones that hide them. A share s of 0 is honest.
    """
    generator = torch.Generator().manual_seed(DRIFT_SEED)
    attacked = {}
    for name in view.parameter_names:
        update = view.update(name)
        direction = torch.randn(update.shape, generator=generator).double()
        step = share * update.norm() / direction.norm().clamp_min(1e-30)
        attacked[name] = view.trained[name] + step * direction
    return view.send(attacked)


def _draw(
    view: AttackerView, names: Iterable[str], *, sybil: bool
) -> Iterator[tuple[str, Tensor]]:
    generator = view.shared_generator if sybil else view.generator
    for name in names:
        shape = view.trained[name].shape
        yield name, torch.randn(shape, generator=generator).double()
