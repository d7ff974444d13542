"""What does not travel: it keeps the model's values, and is shared by all clients."""

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.testing import assert_close

from flwr_vdcs import examine_round
from flwr_vdcs.probe import Probe
from flwr_vdcs.scoring.hardened._evidence import evidence
from tests.federation import seeded
from tests.models import batch_norm_cnn, mlp
from tests.probe.contexts import (
    CPU,
    context_of,
    moved,
    paper_features,
    real_state,
)


class Adapted(nn.Module):
    """A frozen base with an adapter of low rank, as LoRA has it."""

    def __init__(self) -> None:
        super().__init__()
        self.base = nn.Linear(6, 8).requires_grad_(requires_grad=False)
        self.down, self.up = nn.Linear(6, 2, bias=False), nn.Linear(2, 8, bias=False)
        self.head = nn.Linear(8, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        """Add what the adapter has learned."""
        return self.head((self.base(inputs) + self.up(self.down(inputs))).relu())


ADAPTERS = ("down.weight", "up.weight")
SAMPLES = torch.randn(5, 6, generator=torch.Generator().manual_seed(3))


def with_deviations(model: nn.Module, start: dict, update: dict) -> dict:
    """Put deviations where something travelled; all else stays as it is."""
    deviations = {name: update[name] - start[name] for name in start}
    return {**model.state_dict(), **deviations}


def test_what_does_not_travel_keeps_the_models_values():
    """The features are those of the base with the adapters' deviations."""
    model = seeded(Adapted)
    start = real_state(model, *ADAPTERS)
    update, context = moved(start, 1), context_of(model, SAMPLES, start)
    headless = copy.deepcopy(model)
    headless.head = nn.Identity()
    expected = functional_call(headless, with_deviations(model, start, update), SAMPLES)
    assert_close(paper_features(context, update), expected.detach())


def test_answers_are_those_of_the_model_with_what_travelled():
    """The head does not travel either."""
    model = seeded(Adapted)
    start = real_state(model, *ADAPTERS)
    update, context = moved(start, 1), context_of(model, SAMPLES, start)
    expected = functional_call(model, {**model.state_dict(), **update}, SAMPLES)
    assert_close(context.answers(update), expected.detach())
    assert_close(context.global_answers, model(SAMPLES).detach())


def test_evidence_needs_no_more_than_what_travels():
    """A head that stays has its classes all the same, and no alignment."""
    model = seeded(Adapted)
    start = real_state(model, *ADAPTERS)
    context = context_of(model, SAMPLES, start)
    found = evidence(context, start, moved(start, 1))
    assert found["classes"] == 3
    assert found["alignment"] == 0
    assert found["norms"].shape == (2,)


def test_where_only_the_head_travels_its_output_is_compared():
    """Its input is the same for all; the output is that of the head's deviations."""
    model = seeded(Adapted)
    start = real_state(model, "head.weight", "head.bias")
    update, context = moved(start, 1), context_of(model, SAMPLES, start)
    expected = functional_call(model, with_deviations(model, start, update), SAMPLES)
    assert_close(paper_features(context, update), expected.detach())
    assert not torch.equal(
        paper_features(context, update), paper_features(context, moved(start, 2))
    )


def test_no_client_finds_what_another_has_left():
    """Whatever was looked at before, and in what order."""
    model = seeded(Adapted)
    start = real_state(model, *ADAPTERS)
    first, second = moved(start, 1), moved(start, 2)
    context = context_of(model, SAMPLES, start)
    expected = paper_features(context, first), context.answers(first)
    for update in (second, first):
        context.answers(update)
        paper_features(context, update)
    assert torch.equal(paper_features(context, first), expected[0])
    assert torch.equal(context.answers(first), expected[1])


def test_other_arrays_than_before_are_an_error():
    """Those that travelled once have lost the model's own values."""
    model = seeded(mlp)
    context = context_of(model, torch.ones(2, 3, 4))
    context.answers(context.global_state)
    fewer = context.at(real_state(model, "1.weight"))
    with pytest.raises(ValueError, match=r"1\.bias travelled before"):
        fewer.answers(fewer.global_state)


class Feeding(nn.Module):
    """A decoder that is given its own head's output."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, inputs: Tensor) -> Tensor:
        """Take two steps."""
        return self.head(self.body(self.head(self.body(inputs))))


def test_a_head_within_the_features_has_the_global_values():
    """The deviations are of the layers outside it, whatever was answered before."""
    model, samples = seeded(Feeding), torch.ones(2, 4)
    context, update = context_of(model, samples), moved(model.state_dict(), 1)
    before = paper_features(context, update)
    context.answers(update)
    assert before.shape == (2, 8)
    assert torch.equal(paper_features(context, update), before)


def addresses(module: nn.Module) -> dict[str, int]:
    """Tell where a module keeps its arrays."""
    named = [*module.named_parameters(), *module.named_buffers()]
    return {name: tensor.data_ptr() for name, tensor in named}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_frozen_base_is_neither_copied_nor_widened(dtype):
    """It stays where it is and as it is, whatever runs."""

    class Based(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("table", torch.randn(300, 6))
            self.base, self.body = nn.Linear(6, 99), nn.Linear(99, 4)
            self.head = nn.Linear(4, 3)

        def forward(self, inputs: Tensor) -> Tensor:
            return self.head(self.body(self.base(inputs + self.table[0])))

    model = seeded(Based).to(dtype)
    start = {n: t.float() for n, t in real_state(model, "body.bias").items()}
    context = context_of(model, SAMPLES, start)
    before = addresses(context.probe._copy.module)
    update = moved(start, 1)
    assert context.answers(update).dtype is torch.float32
    assert paper_features(context, update).dtype is torch.float32
    assert addresses(context.probe._copy.module) == before
    assert context.probe._copy.module.table.dtype is dtype
    assert context.buffers["table"] is context.probe._copy.buffers["table"]


def test_half_precision_is_widened_where_nearly_all_travels():
    """Running statistics may stay at home."""
    model, samples = seeded(batch_norm_cnn).bfloat16(), torch.randn(4, 1, 6, 6)
    start = {name: each.float() for name, each in model.named_parameters()}
    context = context_of(model, samples, start)
    answers = context.answers(start)
    wide = copy.deepcopy(model).float().train()
    assert_close(answers, wide(samples).detach())


def test_half_precision_that_does_not_run_is_widened_at_once():
    """Some devices lack it."""

    class Single(nn.Linear):
        def forward(self, inputs: Tensor) -> Tensor:
            if inputs.dtype is torch.float16:
                raise RuntimeError("not implemented for 'Half'")
            return super().forward(inputs)

    model = nn.Sequential(Single(6, 4), nn.Linear(4, 2)).half()
    assert Probe(model, SAMPLES, None, CPU).num_features == 4


@pytest.mark.parametrize("scoring", ["paper", "hardened"])
def test_a_reversed_adapter_is_found(scoring):
    """Through the whole round, where admission takes a part of the model."""
    model = seeded(Adapted)
    start = real_state(model, *ADAPTERS)
    step = moved(start, 9, 1.0)
    updates = [
        {n: start[n] + 0.3 * (step[n] - start[n]) + 0.01 * k for n in start}
        for k in range(6)
    ]
    updates[2] = {n: start[n] - 2 * (step[n] - start[n]) for n in start}
    options = {"input_shape": (6,), "scoring": scoring, "num_malicious": 1, "seed": 0}
    found = examine_round(model, start, updates, **options)
    dropped = [d.client_id for d in found.report.decisions if d.verdict == "dropped"]
    assert dropped == ["2"]
