"""Models that are hard to copy, change as they run, or cannot be looked into."""

import copy
import warnings

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.utils import parametrizations
from torch.testing import assert_close

from flwr_vdcs.errors import InvalidArgumentError
from flwr_vdcs.probe import Probe
from tests.federation import seeded
from tests.models import mlp
from tests.probe.contexts import (
    CPU,
    context_of,
    moved,
    paper_features,
    real_state,
)


def old(name: str, layer: nn.Module) -> nn.Module:
    """Normalise a layer in the old way, which keeps a tensor with a history."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return getattr(nn.utils, name)(layer)


NORMALISED = {
    "old weight norm": lambda: old("weight_norm", nn.Conv1d(2, 4, 3)),
    "old spectral norm": lambda: old("spectral_norm", nn.Conv1d(2, 4, 3)),
    "weight norm": lambda: parametrizations.weight_norm(nn.Conv1d(2, 4, 3)),
    "spectral norm": lambda: parametrizations.spectral_norm(nn.Conv1d(2, 4, 3)),
}


@pytest.mark.parametrize("kind", NORMALISED)
def test_normalised_layers_are_copied(kind):
    """Even after a forward pass in training."""
    layer = seeded(NORMALISED[kind])
    model = nn.Sequential(layer, nn.Tanh(), nn.Flatten(), nn.Linear(24, 2)).train()
    samples = torch.randn(5, 2, 8, generator=torch.Generator().manual_seed(1))
    model(samples)
    context, update = context_of(model, samples), moved(model.state_dict(), 1)
    expected = functional_call(copied(model).eval(), update, samples).detach()
    assert_close(context.answers(update), expected)
    assert paper_features(context, update).shape == (5, 24)


def copied(model: nn.Module) -> nn.Module:
    """Copy a model that may keep a tensor with a history."""
    fresh = model[0]
    kept = vars(fresh).get("weight")
    memo = {} if kept is None else {id(kept): kept.detach().clone()}
    return copy.deepcopy(model, memo)


def never(_graph: object, _inputs: object) -> None:
    """Compile nothing."""
    raise AssertionError


def test_wrapped_models_are_taken_out_and_nothing_is_compiled():
    """Names are those of the model itself; what is compiled within runs as written."""
    model = seeded(mlp)
    for wrapped in (nn.DataParallel(model), torch.compile(model)):
        probe = Probe(wrapped, torch.ones(2, 3, 4), None, CPU)
        assert probe.head == "4"
        assert probe.parameter_names == set(dict(model.named_parameters()))
    inner, samples = seeded(lambda: nn.Linear(4, 4)), torch.ones(3, 4)
    compiled = torch.compile(inner, backend=never)
    within = nn.Sequential(compiled, nn.Linear(4, 2))
    expected = within[1](inner(samples)).detach()
    assert_close(context_of(within, samples).global_answers, expected)


class Stateful(nn.Module):
    """A recurrent model that goes on from where it was."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.head = nn.LSTM(3, 4, batch_first=True), nn.Linear(4, 2)
        self.last = None
        self.seen: list[Tensor] = []

    def forward(self, inputs: Tensor) -> Tensor:
        """Keep the last state, and all that was seen."""
        outputs, self.last = self.cell(inputs, self.last)
        self.seen.append(outputs)
        return self.head(outputs[:, -1] + len(self.seen))


def test_every_run_starts_from_the_models_own_state():
    """Also with more samples than the first run had."""
    model, samples = seeded(Stateful), torch.ones(5, 6, 3)
    context = context_of(model, samples, tried=2)
    first = context.answers(context.global_state)
    assert torch.equal(context.answers(context.global_state), first)
    assert_close(first, model(samples).detach())


class Calibrating(nn.Module):
    """A model that counts and collects in place, and has not been calibrated."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros(()))
        self.register_buffer("range", torch.full((2,), torch.nan))
        self.body, self.head = nn.Linear(3, 3), nn.Linear(3, 2)

    def forward(self, inputs: Tensor) -> Tensor:
        """Take the range of the first batch, and count the batches."""
        if self.range.isnan().any():
            self.range.copy_(torch.stack([inputs.min(), inputs.max()]))
        self.count += 1
        return self.head(self.body(inputs) * self.range[1] + self.count)


@pytest.mark.parametrize("names", [(), ("body.weight",)], ids=["all", "a part"])
def test_buffers_that_change_in_place_are_given_anew(names):
    """Whether they travel or not; the model and what was sent stay as they are."""
    model, samples = seeded(Calibrating), torch.randn(4, 3)
    state = real_state(model, *names)
    context = context_of(model, samples, state)
    expected = copy.deepcopy(model)(samples).detach()
    for _ in range(2):
        assert_close(context.answers(state), expected)
    assert model.count == 0
    assert model.range.isnan().all()
    assert state.get("count", torch.zeros(())) == 0


class Fourier(nn.Module):
    """A model with complex weights, and a complex buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(5, dtype=torch.cfloat))
        phase = torch.polar(torch.ones(5), torch.arange(5.0))
        self.register_buffer("phase", phase)
        self.head = nn.Linear(8, 2)

    def forward(self, inputs: Tensor) -> Tensor:
        """Filter, and turn."""
        filtered = torch.fft.rfft(inputs) * self.weight * self.phase
        return self.head(torch.fft.irfft(filtered, n=8))


def test_complex_arrays_travel_as_real_ones():
    """With a last axis for the real and the imaginary part."""
    model, samples = seeded(Fourier), torch.randn(4, 8)
    context = context_of(model, samples)
    update = moved(context.global_state, 1)
    assert update["weight"].shape == (5, 2)
    complex_update = {
        n: torch.view_as_complex(t) if n in {"weight", "phase"} else t
        for n, t in update.items()
    }
    expected = functional_call(model, complex_update, samples).detach()
    assert_close(context.answers(update), expected)
    state = context.global_state
    deviations = {
        "weight": torch.view_as_complex(update["weight"] - state["weight"]),
        "head.weight": torch.eye(8)[:2],
        "head.bias": torch.zeros(2),
    }
    seen = functional_call(model, deviations, samples).detach()
    assert_close(paper_features(context, update)[:, :2], seen)


def test_a_complex_input_of_the_head_is_real_features():
    """Twice as many as there are complex numbers."""

    class Spectral(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Linear(8, 8)
            self.head = nn.Linear(5, 2, dtype=torch.cfloat)

        def forward(self, inputs: Tensor) -> Tensor:
            return self.head(torch.fft.rfft(self.body(inputs))).real

    assert Probe(Spectral(), torch.ones(2, 8), None, CPU).num_features == 10


def scripted() -> nn.Module:
    """Compile a model to TorchScript, which is deprecated."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.script(nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2)))


@pytest.mark.parametrize(
    ("build", "remedy"),
    [
        (lambda: nn.Sequential(nn.LazyLinear(3), nn.Linear(3, 2)), "run it once"),
        (scripted, r"the torch\.nn\.Module that it was made from"),
    ],
    ids=["lazy", "TorchScript"],
)
def test_models_that_cannot_be_looked_into_are_errors(build, remedy):
    """The error says what to do instead."""
    with pytest.raises(InvalidArgumentError, match=remedy):
        Probe(build(), torch.ones(2, 4), None, CPU)
