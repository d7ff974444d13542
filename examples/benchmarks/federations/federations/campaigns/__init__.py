"""Attacks over rounds: what liars remember, train on and send.

A :class:`~federations.campaigns.campaign.Campaign` begins anew with each run. Attacks
that need no memory are campaigns too, so that a simulation knows nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from federations.attacking import ATTACKS, HONEST
from federations.campaigns.adaptive import Adaptive
from federations.campaigns.backdoors import Distributed, Neurotoxin, Replacement
from federations.campaigns.campaign import Campaign, Scene
from federations.campaigns.momentary import Momentary
from federations.campaigns.one_direction import OneDirection
from federations.campaigns.triggers import Trigger, success_rate

__all__ = [
    "CAMPAIGNS",
    "Campaign",
    "Scene",
    "Trigger",
    "find_campaign",
    "success_rate",
]

CAMPAIGNS: dict[str, type[Campaign]] = {
    "replacement": Replacement,
    "dba": Distributed,
    "neurotoxin": Neurotoxin,
    "a3fl": Adaptive,
    "poisoned-fl": OneDirection,
}
"""Every attack that needs memory or training of its own, by its name."""


def find_campaign(attack: str, scene: Scene) -> Callable[[], Campaign]:
    """Give what begins the attack of that name anew; honest where there is none.

    Raises
    ------
    ValueError
        If the attack cannot be on this federation.
    """
    if attack not in CAMPAIGNS:
        return partial(Momentary, scene, poison=ATTACKS.get(attack, HONEST))
    CAMPAIGNS[attack].check(scene)
    return partial(CAMPAIGNS[attack], scene)
