"""Attacks that need no memory, as campaigns."""

from __future__ import annotations

from dataclasses import dataclass

from bloodmnist.attacks import AttackerView
from bloodmnist.model import State

from federations.attacking import HONEST, Poison, poisoned_samples
from federations.campaigns.campaign import Campaign
from federations.samples import Samples


@dataclass(eq=False)
class Momentary(Campaign):
    """Lie in each round as if there had been none before."""

    poison: Poison = HONEST

    def samples(self, place: int) -> Samples:
        """Give the own samples, maybe with the attacker's labels."""
        task = self.scene.federation.task
        return poisoned_samples(self.scene.hospitals[place], self.poison, task)

    def send(self, view: AttackerView) -> State:
        """Send what the poison makes of it."""
        return self.poison.send(view)
