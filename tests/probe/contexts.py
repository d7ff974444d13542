"""Probes and rounds for tests, in as few words as possible."""

import torch
from torch import Tensor, nn

from flwr_vdcs.probe import Probe, RoundContext
from flwr_vdcs.scoring import PaperScoring

CPU = torch.device("cpu")


def real_state(model: nn.Module, *only: str) -> dict[str, Tensor]:
    """Give a model's state as it travels, or the arrays of these names."""
    return {
        name: (torch.view_as_real(each) if each.is_complex() else each).clone()
        for name, each in model.state_dict().items()
        if not only or name in only
    }


def context_of(
    model, samples, state=None, *, head=None, seed=0, tried=None
) -> RoundContext:
    """Begin a round in which a state was sent, all of the model's if not given.

    The probe is tried with some of the samples only, or with all of them.
    """
    probe = Probe(model, samples if tried is None else samples[:tried], head, CPU)
    state = real_state(model) if state is None else state
    return RoundContext(probe, probe.prepared(samples), seed, state)


def moved(state: dict[str, Tensor], seed: int, scale: float = 0.1) -> dict:
    """Move all floating arrays of a state."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: each + (scale * torch.randn(each.shape, generator=generator)).to(each)
        if each.is_floating_point()
        else each
        for name, each in state.items()
    }


def paper_features(context: RoundContext, update: dict) -> Tensor:
    """Look at an update as the published score does."""
    return PaperScoring().features(context, context.global_state, update)
