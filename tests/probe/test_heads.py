"""The head: found or named, one layer or several, whatever it is given and gives."""

import pytest
import torch
from flwr.serverapp.strategy import FedAvg
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.utils import parametrizations
from torch.testing import assert_close

from flwr_vdcs import VirtualConsistencyStrategy, examine_round
from flwr_vdcs.errors import HeadNotFoundError, InvalidArgumentError
from flwr_vdcs.probe import Probe
from tests.cli.networks import TwoHeads
from tests.federation import seeded
from tests.models import mlp
from tests.probe.contexts import (
    CPU,
    context_of,
    moved,
    paper_features,
)

LAYERS = {
    "linear": lambda: nn.Linear(4, 3),
    "weight norm": lambda: parametrizations.weight_norm(nn.Linear(4, 3)),
    "bilinear": lambda: Squared(),
}


class Squared(nn.Bilinear):
    """A layer of a kind of its own."""

    def __init__(self) -> None:
        super().__init__(4, 4, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        """Take the input twice."""
        return super().forward(inputs, inputs)


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("is_held", [False, True])
def test_a_model_of_one_layer_is_compared_by_its_output(kind, is_held):
    """With the deviations in it; the layer itself has no name."""
    layer = seeded(LAYERS[kind])
    model = nn.Sequential(layer) if is_held else layer
    samples = torch.randn(5, 4, generator=torch.Generator().manual_seed(1))
    context = context_of(model, samples)
    first, second = (moved(context.global_state, seed) for seed in (1, 2))
    assert context.probe.head == ("0" if is_held else "")
    assert all(map(context.probe.is_of_head, context.global_state))
    seen = paper_features(context, first)
    assert seen.shape == (5, 3)
    assert not torch.equal(seen, paper_features(context, second))


@given(seed=st.integers(0, 2**16))
def test_the_output_of_a_logistic_regression_equals_the_definition(seed):
    """The deviations times the samples."""
    model, samples = seeded(lambda: nn.Linear(4, 3)), torch.randn(5, 4)
    context = context_of(model, samples)
    start, update = context.global_state, moved(context.global_state, seed)
    weight, bias = (update[n] - start[n] for n in ("weight", "bias"))
    expected = [
        [sum(w * x for w, x in zip(row, sample, strict=True)) + b for row, b in rows]
        for sample in samples.tolist()
        for rows in [list(zip(weight.tolist(), bias.tolist(), strict=True))]
    ]
    assert_close(paper_features(context, update), torch.tensor(expected))


def test_a_reversed_logistic_regression_scores_lowest():
    """The published score protects it."""
    model = nn.Linear(30, 2)
    start = model.state_dict()
    step = moved(start, 9)
    updates = [moved(step, client, 0.03) for client in range(5)]
    updates[3] = {n: 2 * start[n] - each for n, each in updates[3].items()}
    options = {"input_shape": (30,), "num_malicious": 1, "scoring": "paper"}
    found = examine_round(model, start, updates, **options)
    assert found.report.decisions[3].verdict == "dropped"
    assert found.head == ""


def test_several_heads_put_their_features_side_by_side():
    """All their parameters are of the head; there is no one matrix of classes."""
    model, samples = seeded(TwoHeads), torch.randn(5, 12)
    context = context_of(model, samples, head=["organ", "age"])
    update = moved(context.global_state, 1)
    probe = context.probe
    one = paper_features(context_of(model, samples, head="organ"), update)
    assert_close(paper_features(context, update), torch.cat([one, one], 1))
    assert context.global_answers.shape == (5, 6)
    assert (probe.head, probe.num_classes) == ("organ, age", 1)
    assert [probe.is_of_head(n) for n in ("organ.bias", "age.bias", "body.bias")] == [
        True,
        True,
        False,
    ]


def test_heads_must_have_the_same_rows():
    """A class for each image and one for each pixel cannot stand side by side."""

    class Dense(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.image = nn.Linear(3, 4), nn.Linear(4, 2)
            self.pixels = nn.Linear(4, 2)

        def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
            hidden = self.body(inputs)
            return self.image(hidden.mean(1)), self.pixels(hidden.flatten(0, 1))

    with pytest.raises(HeadNotFoundError, match="it is given 2 and 10 rows"):
        Probe(Dense(), torch.ones(2, 5, 3), ["image", "pixels"], CPU)


class Output(dict):
    """What libraries give: a dictionary with more to it."""


class Boxed(nn.Linear):
    """A layer that takes a dictionary and gives another one."""

    def forward(self, box: dict) -> Output:
        """Open the box."""
        return Output(loss=None, logits=super().forward(box["hidden"]))


def test_a_head_may_take_and_give_dictionaries():
    """The first tensor counts."""
    boxed = seeded(lambda: Boxed(4, 2))

    class Boxing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.head = nn.Linear(3, 4), boxed

        def forward(self, inputs: Tensor) -> Output:
            return self.head({"name": "x", "hidden": self.body(inputs)})

    model, samples = seeded(Boxing), torch.ones(5, 3)
    context = context_of(model, samples)
    assert context.probe.num_features == 4
    assert_close(context.global_answers, model(samples)["logits"].detach())


def test_a_head_without_tensors_is_an_error():
    """There is nothing to compare."""

    class Silent(nn.Linear):
        def forward(self, _inputs: object) -> str:
            return "nothing"

    with pytest.raises(HeadNotFoundError, match="it gives no tensor"):
        Probe(nn.Sequential(nn.Linear(3, 4), Silent(4, 2)), torch.ones(2, 3), None, CPU)


@pytest.mark.parametrize("head", [3, [], ["4", 3], {"4": 1}])
def test_a_head_is_named(head):
    """Or several are."""
    with pytest.raises(InvalidArgumentError, match="None, the name of a layer, or"):
        examine_round(seeded(mlp), {}, [], input_shape=(3, 4), head=head)


def test_one_of_several_names_may_be_unknown():
    """The error is about that one."""
    with pytest.raises(HeadNotFoundError, match="head='no'"):
        Probe(seeded(mlp), torch.ones(2, 3, 4), ["4", "no"], CPU)


def test_what_was_found_is_logged_once(flower_log):
    """Unless it was named."""
    options = {"model": seeded(mlp), "input_shape": (3, 4)}
    VirtualConsistencyStrategy(FedAvg(), **options)
    assert flower_log.text.count("the features are what the layer '4' is given") == 1
    flower_log.clear()
    VirtualConsistencyStrategy(FedAvg(), head="1", **options)
    assert "the features are" not in flower_log.text
