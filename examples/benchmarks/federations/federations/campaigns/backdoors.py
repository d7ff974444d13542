"""Backdoors: the model works, but takes images with a trigger for the target class."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from bloodmnist.attacks import AttackerView
from bloodmnist.attacks.boosting import boost
from bloodmnist.model import State

from federations.campaigns.campaign import Campaign, Scene
from federations.campaigns.triggers import Trigger, bright_corner
from federations.samples import Samples

DIGIT = (1, 8, 8)
NUM_CLASSES = 10


@dataclass(eq=False)
class Backdoor(Campaign):
    """Train on samples of which some carry the trigger and the target's label.

    Attributes
    ----------
    share
        How many; drawn anew in each round. At 0 the training is honest.
    trigger
        On these, and on the images that success is measured with.
    """

    share: float = 0.5
    trigger: Trigger = field(default_factory=bright_corner)

    @classmethod
    def check(cls, scene: Scene) -> None:
        """Refuse what is not a classification of digits.

        Raises
        ------
        ValueError
            If it is not; the message says what it is.
        """
        shape = tuple(scene.hospitals[0].inputs.shape[1:])
        largest = max(int(samples.labels.max()) for samples in scene.hospitals)
        task = scene.federation.task.name
        if (task, shape, largest + 1) != ("classes", DIGIT, NUM_CLASSES):
            raise ValueError(
                f"a backdoor needs images of shape {DIGIT} in {NUM_CLASSES} classes, "
                f"got inputs of shape {shape} and the task {task!r} in federation "
                f"{scene.federation.name!r}: use a federation of digits"
            )

    def samples(self, place: int) -> Samples:
        """Plant the trigger."""
        honest = self.scene.hospitals[place]
        return self.trigger.plant(honest, self.share, self.generator)


@dataclass(eq=False)
class Replacement(Backdoor):
    r"""Send :math:`w_g + \gamma (w - w_g)`, so that the average is the liars' model.

    Bagdasaryan et al., "How To Backdoor Federated Learning", AISTATS 2020. It is where
    the liars agree and honest updates are short, with :math:`\gamma` the weight of all
    who take part over that of the liars.
    """

    is_gross: ClassVar[bool] = True

    @property
    def gamma(self) -> float:
        """How much longer than trained an update is sent."""
        sizes = {place: len(self.scene.hospitals[place]) for place in self.present}
        return sum(sizes.values()) / sum(sizes[place] for place in self.lying)

    def send(self, view: AttackerView) -> State:
        """Send the update, longer."""
        return boost(view, factor=self.gamma)


@dataclass(eq=False)
class Distributed(Backdoor):
    """DBA: each liar trains with its own part of the trigger; the whole one works.

    Xie et al., "DBA: Distributed Backdoor Attacks against Federated Learning", ICLR
    2020. Where there are more liars than pixels some have the same part.

    Attributes
    ----------
    gamma
        How much longer than trained an update is sent; as trained at 1.
    """

    gamma: float = 1.0

    def part(self, place: int) -> Trigger:
        """Give a liar's part of the trigger."""
        parts = self.trigger.parts(len(self.scene.liars))
        return parts[sorted(self.scene.liars).index(place) % len(parts)]

    def samples(self, place: int) -> Samples:
        """Plant a part of the trigger."""
        honest = self.scene.hospitals[place]
        return self.part(place).plant(honest, self.share, self.generator)

    def send(self, view: AttackerView) -> State:
        """Send the update, longer if asked to."""
        return boost(view, factor=self.gamma)


@dataclass(eq=False)
class Neurotoxin(Backdoor):
    """Train the backdoor only where the honest hospitals change little.

    Zhang et al., "Neurotoxin: Durable Backdoors in Federated Learning", ICML 2022. The
    honest change is taken to be the last one of the global model; there is none yet in
    the first round, whose training is not held back.

    Attributes
    ----------
    spared
        The share of all coordinates, those that changed most, which are left alone.
    """

    spared: float = 0.01

    def gradient_masks(self) -> State:
        """Give 0 where the global model changed most, and 1 elsewhere."""
        number = round(self.spared * len(self.change)) if self.change.any() else 0
        mask = torch.ones_like(self.change, dtype=torch.float32)
        mask[self.change.abs().topk(number).indices] = 0
        return self.arrays(mask)
