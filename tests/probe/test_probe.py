"""Parameters to features: Algorithm 1 on real models, and what is left alone."""

import copy
import itertools
import threading

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity
from torch.testing import assert_close

from flwr_vdcs.errors import HeadNotFoundError, InputShapeError, InvalidArgumentError
from flwr_vdcs.probe import Probe, RoundContext, draw_samples, gaussian
from flwr_vdcs.scoring import PaperScoring
from tests.federation import seeded
from tests.models import CASES, Case, batch_norm_cnn, mlp, plain_cnn

CPU = torch.device("cpu")
NUM_SAMPLES = 6

cases = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


def samples_for(case: Case, num_samples: int = NUM_SAMPLES) -> Tensor:
    """Draw inputs that the model takes."""
    draw = case.virtual_samples or gaussian(case.input_shape)
    return draw_samples(draw, 1, num_samples, case.input_shape)


def updates_of(model: nn.Module, num_clients: int = 4, scale: float = 0.5) -> list:
    """Move the model's arrays, buffers included, in a direction per client."""
    generator = torch.Generator().manual_seed(7)

    def moved(value: Tensor) -> Tensor:
        if not value.is_floating_point():
            return value + 3
        noise = torch.randn(value.shape, generator=generator, dtype=value.dtype)
        return value + scale * noise

    state = model.state_dict()
    return [{k: moved(v) for k, v in state.items()} for _ in range(num_clients)]


def literal_scores(
    model: nn.Module, head: str, samples: Tensor, updates: list
) -> Tensor:
    """Follow Algorithm 1 line by line, in float64, for all pairs of clients.

    The parameters are deviations; normalisation takes the virtual samples' own
    statistics, as in train mode, and dropout is off.
    """
    start = model.double().state_dict()

    def features(update: dict[str, Tensor]) -> Tensor:
        net = copy.deepcopy(model).double().eval()
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.train()
        for name, parameter in net.named_parameters():
            parameter.data = update[name].double() - start[name]
        seen = []
        net.get_submodule(head).register_forward_hook(
            lambda _m, inputs, _o: seen.append(inputs[0].flatten(1))
        )
        with torch.no_grad():
            net(samples.double() if samples.is_floating_point() else samples)
        return seen[0]

    num = len(updates)
    virtual = [features(update) for update in updates]
    similarity = torch.zeros(num, num, dtype=torch.float64)
    for i, j in itertools.product(range(num), repeat=2):
        pairs = cosine_similarity(virtual[i], virtual[j], dim=1, eps=1e-300)
        similarity[i, j] = pairs.mean()
    return torch.stack(
        [similarity[k][torch.arange(num) != k].mean() for k in range(num)]
    )


def scores_by_plugin(case: Case, model: nn.Module, updates: list) -> Tensor:
    """Score the updates with the code under test."""
    samples = samples_for(case)
    probe, state = Probe(model, samples, None, CPU), model.state_dict()
    context = RoundContext(probe, probe.prepared(samples), 0, state)
    scoring = PaperScoring()
    rows = [scoring.features(context, state, update) for update in updates]
    return scoring.scores(torch.stack(rows))


@cases
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
def test_equals_algorithm_1(case, dtype):
    """Scores equal the paper's double loop in float64, to 1e-6 in both dtypes."""
    model = seeded(case.build).to(dtype)
    updates = updates_of(model)
    expected = literal_scores(
        copy.deepcopy(model), case.head, samples_for(case), updates
    )
    assert_close(scores_by_plugin(case, model, updates), expected, atol=1e-6, rtol=0)


@cases
def test_finds_the_head_and_its_width(case):
    """The head found by running the model is the final layer, and may be named too."""
    model = seeded(case.build)
    found = Probe(model, samples_for(case), None, CPU)
    named = Probe(model, samples_for(case), case.head, CPU)
    assert (found.head, named.head) == (case.head, case.head)
    assert found.num_features == model.get_submodule(case.head).in_features


@cases
def test_leaves_the_model_alone(case):
    """Weights, buffers, mode, gradients and hooks are as before."""
    model = seeded(case.build).train()
    before = copy.deepcopy(model.state_dict())
    updates = updates_of(model)
    scores_by_plugin(case, model, updates)
    assert model.training
    assert all(p.requires_grad and p.grad is None for p in model.parameters())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    for name, value in model.state_dict().items():
        assert_close(value, before[name], rtol=0, atol=0)


@cases
def test_same_seed_gives_the_same_features(case):
    """Dropout is off, and a second look gives the same numbers bit for bit."""
    model = seeded(case.build)
    update = updates_of(model, 1)
    first = scores_by_plugin(case, model, update * 2)
    assert torch.equal(first, scores_by_plugin(case, model, update * 2))


class NoisyHead(nn.Module):
    """A model that draws random numbers whatever its mode."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.fc = nn.Linear(3, 3), nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        """Add noise to the features."""
        features = self.body(x)
        return self.fc(features + torch.randn_like(features))


def test_random_layers_draw_alike_and_leave_the_global_generator():
    """Always-on noise is the same for every client, drawn from the round's seed."""
    model, samples = seeded(NoisyHead), torch.ones(4, 3)
    probe = Probe(model, samples, None, CPU)
    context = RoundContext(probe, probe.prepared(samples), 5, model.state_dict())
    state = torch.random.get_rng_state()
    load = lambda name, out: out.copy_(model.state_dict()[name])  # noqa: E731
    assert torch.equal(context.features(load), context.features(load))
    assert torch.equal(torch.random.get_rng_state(), state)


def test_running_statistics_do_not_matter():
    """Batch normalisation takes the virtual samples' statistics, by definition."""
    case, model = CASES["batch-norm-cnn"], seeded(batch_norm_cnn)
    updates = updates_of(model)
    before = scores_by_plugin(case, model, updates)
    model[1].running_mean += 50
    updates[0]["1.running_var"] = torch.full((4,), -1.0)
    assert_close(scores_by_plugin(case, model, updates), before, rtol=0, atol=0)


def test_the_head_does_not_matter():
    """Whatever is done to the head leaves the features as they are."""
    case, model = CASES["plain-cnn"], seeded(plain_cnn)
    updates = updates_of(model)
    before = scores_by_plugin(case, model, updates)
    updates[0]["4.weight"] *= -30
    assert_close(scores_by_plugin(case, model, updates), before, rtol=0, atol=0)


class Buffered(nn.Module):
    """A model with a buffer that is no running statistic."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("shift", torch.zeros(3))
        self.body, self.fc = nn.Linear(3, 3), nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        """Shift the input first."""
        return self.fc(self.body(x + self.shift))


def test_other_buffers_are_the_global_models():
    """A buffer outside normalisation has the global model's value, not a deviation."""
    model, samples = seeded(Buffered), torch.ones(2, 3)
    probe = Probe(model, samples, None, CPU)
    state = {**model.state_dict(), "shift": torch.tensor([1.0, 2.0, 3.0])}
    context = RoundContext(probe, probe.prepared(samples), 0, state)
    features = context.features(lambda name, out: out.copy_(state[name]))
    assert_close(features, model.body(samples + state["shift"]).detach())


class Tied(nn.Module):
    """A language model whose head shares its embedding's weight, listed first."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(4, 9, bias=False)
        self.embedding = nn.Embedding(9, 4)
        self.embedding.weight = self.head.weight

    def forward(self, tokens: Tensor) -> Tensor:
        """Score each next token."""
        return self.head(self.embedding(tokens))


def test_weights_shared_with_the_head_are_loaded():
    """Leaving out the head does not leave out an embedding that shares its weight."""
    model, tokens = seeded(Tied), torch.tensor([[1, 2], [3, 4]])
    probe = Probe(model, tokens, None, CPU)
    context = RoundContext(probe, probe.prepared(tokens), 0, model.state_dict())
    features = context.features(lambda _name, out: out.fill_(2.0))
    assert probe.head == "head"
    assert_close(features, torch.full((2, 8), 2.0))


def test_tied_parameters_under_one_name_are_loaded():
    """Parameters alone name a shared weight once, maybe under the head's name."""
    model, tokens = seeded(Tied), torch.tensor([[1, 2], [3, 4]])
    probe = Probe(model, tokens, None, CPU)
    context = RoundContext(
        probe, probe.prepared(tokens), 0, dict(model.named_parameters())
    )
    features = context.features(lambda _name, out: out.fill_(2.0))
    assert_close(features, torch.full((2, 8), 2.0))


class Counting(nn.Module):
    """A model that changes its own buffers as it runs."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros(()), persistent=False)
        self.body, self.fc = nn.Linear(3, 3), nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        """Add one for every pass."""
        self.seen = self.seen + 1
        return self.fc(self.body(x) + self.seen)


def test_what_one_client_leaves_in_a_buffer_the_next_does_not_find():
    """Every client starts from the same buffers."""
    model, samples = seeded(Counting), torch.ones(2, 3)
    probe = Probe(model, samples, None, CPU)
    context = RoundContext(
        probe, probe.prepared(samples), 0, dict(model.named_parameters())
    )
    load = lambda name, out: out.copy_(dict(model.named_parameters())[name])  # noqa: E731
    assert torch.equal(context.features(load), context.features(load))


def test_what_one_client_leaves_in_a_buffer_does_not_change_answers():
    """The whole model starts from the same buffers, too."""
    model, samples = seeded(Counting), torch.ones(2, 3)
    probe, state = Probe(model, samples, None, CPU), model.state_dict()
    context = RoundContext(probe, probe.prepared(samples), 0, state)
    expected = model.fc(model.body(samples) + 1).detach()
    assert_close(context.answers(state), expected)
    assert torch.equal(context.answers(state), context.global_answers)


def used(model: nn.Module, state: dict, samples: Tensor) -> Tensor:
    """Run a model in evaluation mode with a state of its own."""
    with torch.no_grad():
        return torch.func.functional_call(model.eval(), state, samples)


@cases
def test_answers_are_those_of_the_model_as_it_would_be_used(case):
    """The whole model with the state's own parameters and running statistics."""
    model, samples = seeded(case.build), samples_for(case)
    update = updates_of(model, 1, scale=0.01)[0]
    probe, state = Probe(model, samples, None, CPU), model.state_dict()
    context = RoundContext(probe, probe.prepared(samples), 0, state)
    assert_close(context.answers(update), used(model, update, samples))
    assert_close(context.global_answers, used(model, state, samples))


@cases
def test_answers_leave_the_features_alone(case):
    """Features take the samples' statistics, whatever was answered in between."""
    model, samples = seeded(case.build), samples_for(case)
    update = updates_of(model, 1)[0]
    probe = Probe(model, samples, None, CPU)
    context = RoundContext(probe, probe.prepared(samples), 0, model.state_dict())
    load = lambda name, out: out.copy_(update[name])  # noqa: E731
    before = context.features(load)
    context.answers(update)
    assert torch.equal(context.features(load), before)


def test_parameters_without_statistics_are_answered_by_the_samples():
    """Where the state has no running statistics, those of the samples do."""
    case, model = CASES["batch-norm-cnn"], seeded(batch_norm_cnn)
    samples, state = samples_for(case), dict(model.named_parameters())
    probe = Probe(model, samples, None, CPU)
    context = RoundContext(probe, probe.prepared(samples), 0, state)
    with torch.no_grad():
        expected = copy.deepcopy(model).train()(samples)
    assert_close(context.answers(state), expected)


def test_the_global_model_answers_once_a_round():
    """Clients that were sent another model are compared with the answers of that."""
    model, samples = seeded(mlp), torch.ones(2, 3, 4)
    probe, state = Probe(model, samples, None, CPU), model.state_dict()
    context = RoundContext(probe, probe.prepared(samples), 0, state)
    assert context.global_answers is context.global_answers
    assert context.at(state) is context
    other = {name: 2 * value for name, value in state.items()}
    assert_close(context.at(other).global_answers, used(model, other, samples))


def test_a_head_with_several_outputs_answers_with_the_first():
    """A recurrent layer gives its outputs and its last states."""
    model, samples = (
        seeded(lambda: nn.LSTM(3, 4, batch_first=True)),
        torch.ones(2, 5, 3),
    )
    model = nn.Sequential(nn.Linear(3, 3), model)
    probe, state = Probe(model, samples, None, CPU), model.state_dict()
    context = RoundContext(probe, probe.prepared(samples), 0, state)
    assert_close(context.answers(state), used(model, state, samples)[0].flatten(1))


def test_names_of_parameters_and_those_of_the_head():
    """All names of all parameters; another layer's name may start like the head's."""
    model, tokens = seeded(Tied), torch.tensor([[1, 2], [3, 4]])
    probe = Probe(model, tokens, None, CPU)
    assert probe.parameter_names == {"head.weight", "embedding.weight"}
    assert probe.is_of_head("head.weight")
    assert not probe.is_of_head("embedding.weight")
    assert not probe.is_of_head("header.weight")
    buffered = Probe(seeded(Buffered), torch.ones(2, 3), None, CPU)
    assert "shift" not in buffered.parameter_names


def test_a_model_that_cannot_be_copied_is_an_error():
    """The error says what the model must be able to do."""
    model = seeded(mlp)
    model.lock = threading.Lock()
    with pytest.raises(InvalidArgumentError, match=r"copy\.deepcopy can copy"):
        Probe(model, torch.ones(2, 3, 4), None, CPU)


def test_finds_a_parametrised_head():
    """Weight normalisation hides a layer's parameters, and it is found all the same."""
    model = seeded(mlp)
    nn.utils.parametrizations.weight_norm(model[4])
    assert Probe(model, torch.ones(2, 3, 4), None, CPU).head == "4"


def test_a_head_may_be_a_block_and_have_pixels():
    """A named block of several layers is a head, and its input is flattened."""
    model = nn.Sequential(
        nn.Conv2d(3, 2, 1), nn.Sequential(nn.Conv2d(2, 4, 1), nn.Flatten())
    )
    probe = Probe(model, torch.ones(2, 3, 5, 5), "1", CPU)
    assert probe.num_features == 2 * 5 * 5


def test_half_precision_is_widened():
    """A model in float16 is probed in float32."""
    samples = torch.ones(2, 3, 4)
    model = seeded(mlp).half()
    probe = Probe(model, samples, None, CPU)
    context = RoundContext(probe, probe.prepared(samples.half()), 0, model.state_dict())
    assert context.features(lambda _name, out: out.fill_(1.0)).dtype is torch.float32


def test_an_unknown_head_names_the_layers():
    """A head that is not there is an error that lists where to look."""
    with pytest.raises(HeadNotFoundError, match=r"'nope'.*no such layer.*1, 4"):
        Probe(seeded(mlp), torch.ones(2, 3, 4), "nope", CPU)


def test_a_head_that_never_runs_is_an_error():
    """A layer that the forward pass leaves out cannot be the head."""
    model = nn.Sequential(nn.Linear(3, 3))
    model.unused = nn.Linear(3, 3)
    model.forward = lambda x: model[0](x)
    with pytest.raises(HeadNotFoundError, match="does not run"):
        Probe(model, torch.ones(2, 3), "unused", CPU)


def test_a_model_without_layers_is_an_error():
    """There is no head where nothing has parameters."""
    with pytest.raises(HeadNotFoundError, match="no layer with parameters runs"):
        Probe(nn.Sequential(nn.ReLU()), torch.ones(2, 3), None, CPU)


def test_a_refused_input_shape_says_what_the_model_said():
    """The model's own complaint is part of the error."""
    with pytest.raises(InputShapeError, match=r"\(1, 8, 8\).*3 channels"):
        Probe(seeded(plain_cnn), torch.ones(2, 1, 8, 8), None, CPU)
