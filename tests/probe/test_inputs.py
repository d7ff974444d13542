"""Inputs of any kind: one tensor, several by place or by name, in whatever layout."""

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.testing import assert_close

from flwr_vdcs import examine_round
from flwr_vdcs.errors import InputShapeError, InvalidArgumentError
from flwr_vdcs.probe import Probe, draw_samples, probe_for
from tests.federation import seeded
from tests.models import mlp
from tests.probe.contexts import (
    CPU,
    context_of,
    moved,
    paper_features,
    real_state,
)


class ImageAndTable(nn.Module):
    """A model of two inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.image, self.table = nn.Linear(8, 6), nn.Linear(3, 6)
        self.head = nn.Linear(6, 2)

    def forward(self, image: Tensor, table: Tensor) -> Tensor:
        """Add what both say."""
        return self.head((self.image(image) + self.table(table)).relu())


class Masked(nn.Module):
    """A language model that takes token ids and an attention mask by name."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.body = nn.Embedding(20, 6), nn.Linear(6, 6)
        self.head = nn.Linear(6, 2)

    def forward(self, *, input_ids: Tensor, attention_mask: Tensor) -> dict:
        """Average the tokens that are there."""
        weights = attention_mask.unsqueeze(-1)
        seen = (self.embedding(input_ids) * weights).sum(1) / weights.sum(1)
        return {"logits": self.head(self.body(seen).relu())}


class OneDictionary(ImageAndTable):
    """A model whose only input is a dictionary."""

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        """Take it apart."""
        return super().forward(batch["image"], batch["table"])


def image_and_table(generator, num_samples):
    """Draw a tuple."""
    return (
        torch.randn(num_samples, 8, generator=generator),
        torch.randn(num_samples, 3, generator=generator, dtype=torch.float64),
    )


def tokens(generator, num_samples):
    """Draw a dictionary."""
    ids = torch.randint(20, (num_samples, 7), generator=generator)
    return {"input_ids": ids, "attention_mask": (ids > 4).long()}


def one_dictionary(generator, num_samples):
    """Draw a tuple of one dictionary, which is what the model takes."""
    image, table = image_and_table(generator, num_samples)
    return ({"image": image, "table": table},)


KINDS = {
    "tuple": (ImageAndTable, image_and_table),
    "dict": (Masked, tokens),
    "one dict": (OneDictionary, one_dictionary),
}

kinds = pytest.mark.parametrize("kind", KINDS)


@kinds
@pytest.mark.parametrize("scoring", ["paper", "hardened"])
def test_a_reversed_update_is_found_without_an_input_shape(kind, scoring):
    """Whatever the model is called with."""
    build, draw = KINDS[kind]
    model = seeded(build)
    start = real_state(model)
    step = moved(start, 9, 0.3)
    updates = [moved({n: step[n] for n in start}, k, 0.03) for k in range(6)]
    updates[1] = {
        n: start[n] - 3 * (step[n] - start[n]) if start[n].is_floating_point() else t
        for n, t in updates[1].items()
    }
    found = examine_round(
        model,
        start,
        updates,
        virtual_samples=draw,
        scoring=scoring,
        num_malicious=1,
        num_virtual_samples=20,
        seed=0,
    )
    verdicts = [decision.verdict for decision in found.report.decisions]
    assert verdicts == ["kept", "dropped", "kept", "kept", "kept", "kept"]


def test_a_tuple_is_given_by_place():
    """In the parameters' dtype where it has real numbers."""
    model = seeded(ImageAndTable)
    samples = image_and_table(torch.Generator().manual_seed(1), 5)
    context = context_of(model, samples)
    update = moved(context.global_state, 1)
    inputs = tuple(each.float() for each in samples)
    expected = functional_call(model, update, inputs).detach()
    assert_close(context.answers(update), expected)


def test_a_dictionary_is_given_by_name():
    """Token ids stay whole numbers."""
    model, samples = seeded(Masked), tokens(torch.Generator().manual_seed(1), 5)
    context = context_of(model, samples)
    update = moved(context.global_state, 1)
    expected = functional_call(model, update, (), samples)["logits"].detach()
    assert_close(context.answers(update), expected)


class TimeFirst(nn.Module):
    """A recurrent model whose sequences have time as their first axis."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.head = nn.GRU(3, 4), nn.Linear(4, 2)

    def forward(self, inputs: Tensor) -> Tensor:
        """Classify every step."""
        return self.head(self.cell(inputs)[0])


def test_sequences_may_have_time_first():
    """A row is a step then, and has the features of all samples at it."""
    model = seeded(TimeFirst)

    def draw(num):
        return torch.randn(7, num, 3, generator=torch.Generator().manual_seed(1))

    probe = probe_for(model, draw, 10, None, CPU)
    assert probe.num_features == 2 * 4
    probe.rehearse(draw(10))
    assert probe.num_features == 10 * 4
    context = context_of(model, draw(10))
    assert paper_features(context, context.global_state).shape == (7, 40)
    assert_close(context.global_answers, model(draw(10)).flatten(1).detach())


class Graph(nn.Module):
    """Two steps of passing messages along edges, then a class for each node."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(5, 6), nn.Linear(6, 2)

    def forward(self, nodes: Tensor, edges: Tensor) -> Tensor:
        """Add up the neighbours."""
        hidden = self.body(nodes).relu()
        source, target = edges
        return self.head(hidden.index_add(0, target, hidden[source]))


def test_graphs_have_a_row_for_each_node():
    """However many nodes a round has; no more than one batch."""
    model, generator = seeded(Graph), torch.Generator().manual_seed(1)

    def draw(num):
        nodes = torch.randn(3 * num, 5, generator=generator)
        return nodes, torch.randint(3 * num, (2, 9), generator=generator)

    context = context_of(model, draw(4))
    assert paper_features(context, context.global_state).shape == (12, 6)
    assert context.probe.layout.num_batches(draw(1000)) == 1


class OneBatchSize(nn.Module):
    """A model with the size of its batches baked in."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.head = nn.LSTM(5, 6, batch_first=True), nn.Linear(6, 2)

    def forward(self, inputs: Tensor) -> Tensor:
        """Begin with zeros for sixteen samples."""
        zero = torch.zeros(1, 16, 6)
        return self.head(self.cell(inputs, (zero, zero))[0][:, -1])


def examined(num_virtual_samples):
    """Examine a round of a model that takes one batch size."""
    model = seeded(OneBatchSize)
    start = model.state_dict()
    updates = [moved(start, client) for client in range(4)]
    return examine_round(
        model,
        start,
        updates,
        input_shape=(7, 5),
        num_virtual_samples=num_virtual_samples,
    )


def test_a_model_may_take_one_batch_size_only():
    """That of a round; the error for another one says so."""
    assert examined(16).report.num_quarantined == 0
    with pytest.raises(InputShapeError, match="one batch size only"):
        examined(20)


def test_a_model_that_refuses_as_many_samples_as_a_round_has_is_an_error():
    """Though it takes two."""

    class Few(nn.Linear):
        def forward(self, inputs: Tensor) -> Tensor:
            if len(inputs) > 3:
                raise ValueError("at most three")
            return super().forward(inputs)

    model = nn.Sequential(Few(4, 4), nn.Linear(4, 2))
    with pytest.raises(InputShapeError, match="ValueError: at most three"):
        examine_round(model, model.state_dict(), [], input_shape=(4,))


@pytest.mark.parametrize("build", [ImageAndTable, OneDictionary])
def test_more_than_one_tensor_is_asked_for_in_the_error(build):
    """It says what `virtual_samples` may return."""
    with pytest.raises(InputShapeError, match=r"more than one tensor.*tuple.*dict"):
        Probe(seeded(build), torch.ones(2, 8), None, CPU)


def test_refused_tuples_say_how_they_are_given():
    """There is no shape to correct."""
    with pytest.raises(InputShapeError, match=r"its virtual samples.*model\(\*x\)"):
        Probe(seeded(mlp), (torch.ones(2, 3, 4), torch.ones(2)), None, CPU)


@pytest.mark.parametrize("drawn", [torch.ones(3, 2), (torch.ones(3),), {"x": 1}])
def test_without_an_input_shape_anything_is_taken_that_a_model_can_be_called_with(
    drawn,
):
    """Whatever its shapes."""
    assert draw_samples(lambda _g, _n: drawn, 0, 5, None) is drawn


@pytest.mark.parametrize("drawn", [[torch.ones(3)], (), {}, None])
def test_what_no_model_can_be_called_with_is_an_error(drawn):
    """The error says what may be given."""
    with pytest.raises(InvalidArgumentError, match=r"-> Tensor, not .*or a dict"):
        draw_samples(lambda _g, _n: drawn, 0, 5, None)
