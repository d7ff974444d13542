"""Head-only fine-tuning: the body is frozen, the head alone travels."""

from torch import nn

from tests.federation import seeded
from tests.recipes.networks import INPUT_SHAPE, Network, only, put
from tests.recipes.sites import (
    assert_equal,
    assert_only_the_attacker_is_stopped,
    assert_the_model_goes_with_the_honest,
    play,
)


class Frozen(Network):
    """Trains its head alone, and leaves its statistics as they are."""

    def __init__(self) -> None:
        super().__init__()
        self.requires_grad_(requires_grad=False)
        self.head.requires_grad_()

    def train(self, mode: bool = True) -> nn.Module:  # noqa: FBT001, FBT002
        """Keep batch normalisation in evaluation mode."""
        super().train(mode)
        self.norm.eval()
        return self


def test_two_rounds():
    """The head is averaged; no site's body has changed."""
    played = play(Frozen, only("head"), put, input_shape=INPUT_SHAPE)
    assert_only_the_attacker_is_stopped(played)
    assert_the_model_goes_with_the_honest(played)
    assert list(played.arrays) == ["head.weight", "head.bias"]
    body = {
        name: array
        for name, array in seeded(Frozen).state_dict().items()
        if not name.startswith("head")
    }
    for site in played.sites:
        assert_equal({name: site.model.state_dict()[name] for name in body}, body)
