"""FedPer: each site keeps a head of its own (Arivazhagan et al., 2019)."""

import torch

from tests.recipes.networks import INPUT_SHAPE, Network, put, without
from tests.recipes.sites import (
    assert_only_the_attacker_is_stopped,
    assert_the_model_goes_with_the_honest,
    play,
)


def test_two_rounds():
    """The body is averaged; heads stay where they are, and differ."""
    played = play(Network, without("head"), put, input_shape=INPUT_SHAPE)
    assert_only_the_attacker_is_stopped(played)
    assert_the_model_goes_with_the_honest(played)
    assert not any(key.startswith("head") for key in played.arrays)
    heads = torch.stack([site.model.head.weight.detach() for site in played.honest()])
    assert len(heads.unique(dim=0)) == len(heads)
