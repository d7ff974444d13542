"""Attacks: from what a poisoned client knows to what it sends.

An attack is a pure function of an :class:`~bloodmnist.attacks.view.AttackerView`. What
it needs to know of the honest clients it asks that view; the colluders know it because
they repeat the honest clients' deterministic training. The mod in
:mod:`bloodmnist.attacks.mod` applies one around an honest client's training.

Written here rather than taken from a library: byzfl (MIT) has three of them, IPM, ALIE
and Mimic, on one flat float32 vector and with the factor left to the caller, and not
Min-Max or Min-Sum; it brings pandas and seaborn. The tests compare with it where it is
installed.
"""

from __future__ import annotations

from functools import partial

from bloodmnist.attacks.backdoor import replace_model
from bloodmnist.attacks.blind_spots import bias_mimic, buffer_only, head_only
from bloodmnist.attacks.boosting import (
    as_trained,
    boost,
    sign_flip,
    targeted_authors,
    targeted_paper,
)
from bloodmnist.attacks.noise import (
    free_rider,
    gaussian,
    slow_drift,
    untargeted_authors,
    untargeted_paper,
)
from bloodmnist.attacks.omniscient import (
    a_little_is_enough,
    inner_product_manipulation,
    mimic,
)
from bloodmnist.attacks.reply import REPLY_ATTACKS
from bloodmnist.attacks.spread import min_max, min_sum
from bloodmnist.attacks.view import Attack, AttackerView
from bloodmnist.model import State

__all__ = [
    "ATTACKS",
    "REPLY_ATTACKS",
    "Attack",
    "AttackerView",
    "State",
    "find_attack",
]

ATTACKS: dict[str, Attack] = {
    "none": as_trained,
    "tmp-paper": targeted_paper,
    "tmp-authors": targeted_authors,
    "ump-paper": untargeted_paper,
    "ump-authors": untargeted_authors,
    "ump-sybil": partial(untargeted_paper, sybil=True),
    "boost-2": partial(boost, factor=2.0),
    "boost-3": partial(boost, factor=3.0),
    "boost-100": partial(boost, factor=100.0),
    "sign-flip": sign_flip,
    "sign-flip-10": partial(sign_flip, scale=10.0),
    "gaussian": gaussian,
    "gaussian-sybil": partial(gaussian, sybil=True),
    "free-rider": free_rider,
    "slow-drift": slow_drift,
    "ipm-0.1": partial(inner_product_manipulation, epsilon=0.1),
    "ipm-0.5": partial(inner_product_manipulation, epsilon=0.5),
    "ipm-10": partial(inner_product_manipulation, epsilon=10.0),
    "alie": a_little_is_enough,
    "min-max": min_max,
    "min-sum": min_sum,
    "mimic": mimic,
    "backdoor": replace_model,
    "head-only": head_only,
    "buffer-only": buffer_only,
    "bias-mimic": bias_mimic,
    **dict.fromkeys(REPLY_ATTACKS, as_trained),
}
"""Every attack by its name in the run config.

Those in ``REPLY_ATTACKS`` train honestly and spoil the reply instead.
"""


def find_attack(name: str) -> Attack:
    """Return what the attack of that name does to the model.

    Raises
    ------
    ValueError
        If there is none; the message lists those there are.
    """
    if name not in ATTACKS:
        allowed = ", ".join(repr(known) for known in ATTACKS)
        raise ValueError(f"unknown attack {name!r}: use one of {allowed}")
    return ATTACKS[name]
