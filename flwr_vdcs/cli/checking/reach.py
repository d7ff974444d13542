"""Model and head to reach: what the features depend on, and what comes after them."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn

from flwr_vdcs.probe import Samples, called, tensors_in


@dataclass(frozen=True)
class Reach:
    """What a forward pass shows of a head's place in its model.

    Attributes
    ----------
    num_outputs : int
        How many tensors the model gives.
    is_last : bool
        Whether one of them has as many classes as the head's own output.
    unseen : frozenset of str
        Parameters that the features do not depend on.
    """

    num_outputs: int
    is_last: bool
    unseen: frozenset[str]


def reach_of(model: nn.Module, samples: Samples, heads: Sequence[str]) -> Reach | None:
    """Run a copy of the model once, and trace its features back.

    Returns
    -------
    Reach or None
        None if the model cannot be differentiated.
    """
    model = copy.deepcopy(model).float().eval()
    for parameter in model.parameters():
        parameter.requires_grad_(parameter.is_floating_point())
    inputs: list[Tensor] = []
    answers: list[Tensor] = []

    def note(_layer: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        inputs.extend(islice(tensors_in([args, kwargs]), 1))
        answers.extend(tensors_in(output))

    try:
        for head in heads:
            layer = model.get_submodule(head)
            layer.register_forward_hook(note, with_kwargs=True)
        outputs = list(tensors_in(called(model, samples)))
        unseen = _unseen(model, inputs)
    except RuntimeError:
        return None
    widths = {_width(answer) for answer in answers}
    is_last = any(_width(output) in widths for output in outputs)
    return Reach(len(outputs), is_last, unseen)


def _width(answers: Tensor) -> int:
    """Count the classes; one class needs no axis of its own."""
    return answers.shape[1] if answers.ndim > 1 else 1


def _unseen(model: nn.Module, features: list[Tensor]) -> frozenset[str]:
    named = {n: each for n, each in model.named_parameters() if each.requires_grad}
    total = torch.stack([each.sum() for each in features]).sum()
    slopes = torch.autograd.grad(total, list(named.values()), allow_unused=True)
    return frozenset(
        name for name, slope in zip(named, slopes, strict=True) if slope is None
    )
