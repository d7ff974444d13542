"""What liars know and remember, and an honest campaign."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from bloodmnist.attacks import AttackerView
from bloodmnist.model import State
from torch import Tensor, nn

from federations.campaigns.triggers import Trigger
from federations.federation import Federation
from federations.samples import Samples


@dataclass(frozen=True)
class Scene:
    """What the liars know before the first round.

    Attributes
    ----------
    federation
        What is learned, and how.
    hospitals
        The samples of each.
    liars
        The places of those who lie.
    model
        Its architecture; attackers train copies of it.
    seed
        Of all that they draw.
    """

    federation: Federation
    hospitals: Sequence[Samples]
    liars: frozenset[int]
    model: nn.Module
    seed: int


@dataclass(eq=False)
class Campaign:
    """What the liars of one run do; here they remember and are honest.

    A campaign begins anew with each run, and all liars share it. They receive every
    global model, also in rounds that they are not part of.

    Attributes
    ----------
    scene
        What they know before the first round.
    trigger
        What is on the images that their success is measured with; no success is
        measured without it.
    is_gross
        Whether their updates are far longer than honest ones.
    """

    scene: Scene
    trigger: Trigger | None = None

    is_gross: ClassVar[bool] = False

    def __post_init__(self) -> None:
        """Remember nothing yet."""
        self.generator = torch.Generator().manual_seed(self.scene.seed)
        self.received: State = {}
        self.present: tuple[int, ...] = ()
        self.change = torch.zeros(
            sum(value.numel() for value in self.scene.model.parameters()),
            dtype=torch.float64,
        )

    @classmethod
    def check(cls, scene: Scene) -> None:
        """Raise a ValueError if there is nothing to attack here."""

    @property
    def lying(self) -> list[int]:
        """The liars of this round."""
        return [place for place in self.present if place in self.scene.liars]

    def begin_round(
        self, server_round: int, state: State, present: Sequence[int]
    ) -> None:
        """Learn of the global model, how it changed, and who takes part."""
        if self.received:
            self.change = self.vector(state) - self.vector(self.received)
        self.received, self.present = state, tuple(present)

    def samples(self, place: int) -> Samples:
        """Give what a liar trains on."""
        return self.scene.hospitals[place]

    def gradient_masks(self) -> State:
        """Give what the gradients of some parameters are multiplied by."""
        return {}

    def send(self, view: AttackerView) -> State:
        """Give what a liar sends."""
        return view.trained

    def vector(self, state: State) -> Tensor:
        """Line the parameters of a state up, in double precision, without buffers."""
        names = [name for name, _ in self.scene.model.named_parameters()]
        return torch.cat([state[name].double().flatten() for name in names])

    def arrays(self, vector: Tensor) -> State:
        """Give the parts of a vector the names and shapes of the parameters."""
        like = dict(self.scene.model.named_parameters())
        parts = vector.split([value.numel() for value in like.values()])
        named = zip(like.items(), parts, strict=True)
        return {name: part.view_as(value) for (name, value), part in named}
