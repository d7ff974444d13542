"""A backdoor whose trigger follows the global model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from copy import deepcopy
from dataclasses import dataclass

import torch
from bloodmnist.model import State
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity, cross_entropy
from torch.nn.utils import parameters_to_vector

from federations.campaigns.backdoors import Backdoor
from federations.campaigns.triggers import BRIGHTEST, DARKEST, TARGET, Trigger
from federations.samples import Samples


@dataclass(eq=False)
class Adaptive(Backdoor):
    r"""A3FL: adapt the trigger to the global model, and to one that unlearns it.

    Zhang et al., "A3FL: Adversarially Adaptive Backdoor Attacks to Federated Learning",
    NeurIPS 2023. In each round the liars pool their samples. In turns they train a copy
    of the global model to see through the trigger, and descend with the trigger's
    pattern the loss towards the target of the global model and, weighted by
    :math:`\lambda_0 \cos(\theta', \theta)`, that of the copy. Then they train with it.

    Attributes
    ----------
    turns
        How many; at 0 the trigger stays as it is.
    steps
        Of the pattern in each turn.
    step
        How far a pixel moves in each; a pixel is in [-1, 1].
    unlearning_epochs
        Of the copy in each turn, trained as hospitals train.
    balance
        :math:`\lambda_0`.
    """

    turns: int = 2
    steps: int = 5
    step: float = 0.2
    unlearning_epochs: int = 1
    balance: float = 1.0

    def begin_round(
        self, server_round: int, state: State, present: Sequence[int]
    ) -> None:
        """Adapt the trigger, if any liar takes part."""
        super().begin_round(server_round, state, present)
        if self.lying:
            model = deepcopy(self.scene.model)
            model.load_state_dict(state)
            self._adapt(model.eval())

    def _adapt(self, model: nn.Module) -> None:
        pooled = self._pooled()
        for _ in range(self.turns):
            copy = self._unlearn(model, pooled)
            weighted = ((model, 1.0), (copy, self.balance * similarity(copy, model)))
            for _ in range(self.steps):
                self.trigger = descend(self.trigger, weighted, pooled.inputs, self.step)

    def _unlearn(self, model: nn.Module, samples: Samples) -> nn.Module:
        """Train a copy to see through the trigger: stamped images keep their labels."""
        federation = self.scene.federation
        copy = deepcopy(model).train()
        optimizer = torch.optim.SGD(copy.parameters(), lr=federation.learning_rate)
        for _ in range(self.unlearning_epochs):
            order = torch.randperm(len(samples), generator=self.generator)
            for rows in order.split(federation.batch_size):
                optimizer.zero_grad()
                stamped = self.trigger.stamp(samples.inputs[rows])
                cross_entropy(copy(stamped), samples.labels[rows]).backward()
                optimizer.step()
        return copy.eval()

    def _pooled(self) -> Samples:
        theirs = [self.scene.hospitals[place] for place in self.lying]
        return Samples(
            torch.cat([samples.inputs for samples in theirs]),
            torch.cat([samples.labels for samples in theirs]),
        )


def similarity(first: nn.Module, second: nn.Module) -> float:
    """Compute the cosine of the angle between two models' parameters."""
    one, other = (parameters_to_vector(m.parameters()) for m in (first, second))
    return float(cosine_similarity(one.detach(), other.detach(), dim=0))


def target_loss(model: nn.Module, trigger: Trigger, images: Tensor) -> Tensor:
    """Compute how far a model is from taking stamped images for the target."""
    wanted = torch.full((len(images),), TARGET)
    return cross_entropy(model(trigger.stamp(images)), wanted)


def descend(
    trigger: Trigger,
    weighted: Iterable[tuple[nn.Module, float]],
    images: Tensor,
    step: float,
) -> Trigger:
    """Take one step of projected gradient descent on the pattern.

    Every pixel of the trigger moves by ``step`` towards the target, by the weighted sum
    of the models' losses, and stays within what a pixel can be.
    """
    moving = Trigger(trigger.mask, trigger.pattern.clone().requires_grad_())
    losses = [weight * target_loss(model, moving, images) for model, weight in weighted]
    (gradient,) = torch.autograd.grad(torch.stack(losses).sum(), moving.pattern)
    moved = trigger.pattern - step * gradient.sign()
    return Trigger(trigger.mask, moved.clamp(DARKEST, BRIGHTEST))
