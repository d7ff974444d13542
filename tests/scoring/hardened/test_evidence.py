"""Update to evidence, against the definitions, values by hand, and properties."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.testing import assert_close

from flwr_vdcs.probe import Probe, RoundContext, draw_samples, gaussian
from flwr_vdcs.scoring.hardened._evidence import SIZES, evidence
from tests.federation import seeded
from tests.models import CASES, batch_norm_cnn, mlp

CPU = torch.device("cpu")

seeds = st.integers(0, 2**32 - 1)
cases = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


def look(  # noqa: PLR0917
    model: nn.Module,
    update: dict,
    samples: Tensor,
    seed: int = 3,
    head: str | None = None,
    momentum: dict | None = None,
    start: dict | None = None,
):
    """Gather the evidence of one update of the model as it is."""
    probe, state = Probe(model, samples, head, CPU), start or model.state_dict()
    samples = probe.prepared(samples)
    context = RoundContext(probe, samples, seed, state, momentum or {})
    return evidence(context, state, update)


def moved(model: nn.Module, seed: int, scale: float = 0.1) -> dict:
    """Move all floating arrays, variances upwards."""
    generator = torch.Generator().manual_seed(seed)

    def step(name: str, value: Tensor) -> Tensor:
        if not value.is_floating_point():
            return value + 1
        drawn = torch.randn(value.shape, generator=generator, dtype=value.dtype)
        return value + scale * (drawn.abs() if "running_var" in name else drawn)

    return {name: step(name, value) for name, value in model.state_dict().items()}


def numbers(*tensors: Tensor) -> list[float]:
    """Give all numbers of some tensors as Python floats."""
    return [x for t in tensors for x in t.double().flatten().tolist()]


def log_length(values: list[float]) -> float:
    """Compute the logarithm of the root of the sum of squares."""
    return math.log(math.sqrt(math.fsum(x * x for x in values)))


def cosine(a: list[float], b: list[float]) -> float:
    """Compute the cosine of two rows, 0 where one has no length."""
    lengths = math.hypot(*a) * math.hypot(*b)
    inner = math.fsum(x * y for x, y in zip(a, b, strict=True))
    return inner / lengths if lengths else 0.0


def answers_of(model: nn.Module, state: dict, samples: Tensor) -> Tensor:
    """Run the model in evaluation mode with another state."""
    with torch.no_grad():
        return torch.func.functional_call(model.eval(), state, samples)


@given(seed=seeds)
def test_sizes_equal_the_definition(seed):
    """Each size is the logarithm of the length of its part, one number at a time."""
    model, samples = seeded(batch_norm_cnn).double(), torch.randn(5, 1, 6, 6).double()
    start, update = model.state_dict(), moved(seeded(batch_norm_cnn).double(), seed)
    delta = {name: update[name] - start[name] for name in start}
    deviation = (start["1.running_var"] + 1e-5).sqrt()
    expected = {
        "update": [delta[n] for n, _ in model.named_parameters()],
        "weights": [delta["0.weight"]],
        "vectors": [delta["0.bias"], delta["1.weight"], delta["1.bias"]],
        "head": [delta["4.weight"], delta["4.bias"]],
        "running statistics": [
            delta["1.running_mean"] / deviation,
            delta["1.running_var"] / deviation.square(),
        ],
        "buffers": [],
        "effect": [
            answers_of(model, update, samples) - answers_of(model, start, samples)
        ],
    }
    assert tuple(expected) == SIZES
    found = look(model, update, samples)["sizes"].tolist()
    lengths = [numbers(*each) or [1e-30] for each in expected.values()]
    assert found == pytest.approx(list(map(log_length, lengths)))


def two_layers() -> nn.Module:
    """Two layers whose answers can be computed by hand; the first is all zero."""
    model = nn.Sequential(nn.Linear(2, 1), nn.Linear(1, 2))
    for parameter in model.parameters():
        nn.init.zeros_(parameter)
    model[1].weight.data[:] = torch.tensor([[1.0], [-1.0]])
    return model


def test_hand_worked_example():
    """Lengths 5, 12 and 13; the answers to the unit vectors go up by 15 and 16."""
    model = two_layers()
    update = {**model.state_dict(), "0.weight": torch.tensor([[3.0, 4.0]])}
    update["0.bias"] = torch.tensor([12.0])
    found = look(model, update, torch.eye(2))
    sizes = found["sizes"].exp().tolist()
    unmoved = 1e-6 * math.sqrt(2)
    assert sizes == pytest.approx([13, 5, 12, unmoved, 1e-30, 1e-30, math.sqrt(962)])
    assert_close(found["direction"], torch.tensor([0.3, 0.4, 0.5, 0, 0, 0, 0]))
    assert found["with_head"] == 0
    assert found["sensitivity"].item() == pytest.approx(1 / math.sqrt(962))


def test_an_update_that_moves_nothing_has_the_least_sizes():
    """Parts count as a millionth of their own length, and the effect as 1e-30."""
    model = seeded(batch_norm_cnn)
    start = model.state_dict()
    found = look(model, start, torch.ones(2, 1, 6, 6))
    lengths = [log_length(numbers(*model.parameters())), log_length([1.0] * 8)]
    places = [SIZES.index("update"), SIZES.index("running statistics")]
    floors = [length + math.log(1e-6) for length in lengths]
    assert found["sizes"][places].tolist() == pytest.approx(floors)
    assert found["sizes"][SIZES.index("effect")].exp().item() == pytest.approx(1e-30)
    assert not found["direction"].any()
    assert not found["head_direction"].any()
    assert (found["with_head"], found["sensitivity"]) == (0, 0)


@given(seed=seeds, factor=st.floats(0.01, 100))
def test_a_longer_update_goes_the_same_way(seed, factor):
    """A multiple of an update has larger sizes, the same direction and agreement."""
    model, samples = seeded(mlp).double(), torch.ones(2, 3, 4).double()
    start, update = model.state_dict(), moved(seeded(mlp).double(), seed)
    longer = {n: start[n] + factor * (update[n] - start[n]) for n in start}
    short, long = (look(model, each, samples) for each in (update, longer))
    assert_close(long["sizes"][:4], short["sizes"][:4] + math.log(factor))
    assert_close(long["direction"], short["direction"], atol=1e-5, rtol=0)
    assert_close(long["head_direction"], short["head_direction"], atol=1e-5, rtol=0)
    assert_close(long["with_head"], short["with_head"])


@given(seed=seeds)
def test_inner_products_of_directions_are_mean_cosines(seed):
    """Every layer counts the same, however many numbers it has."""
    model, samples = seeded(mlp), torch.ones(2, 3, 4)
    start = model.state_dict()
    updates = [moved(model, seed), moved(model, seed + 1)]
    left, right = (look(model, update, samples)["direction"] for update in updates)
    by_layer = [
        cosine(*(numbers(update[name].double() - start[name]) for update in updates))
        for name in start
    ]
    assert (left @ right).item() == pytest.approx(sum(by_layer) / 4, abs=1e-5)
    assert (left @ left).item() == pytest.approx(1, abs=1e-5)


def test_large_layers_are_sampled_alike_for_all_and_anew_every_round():
    """A cosine of 0.6 is found to 0.05 in 16384 of 40000 numbers."""
    model = nn.Sequential(seeded(lambda: nn.Linear(200, 200)), nn.Linear(200, 2))
    samples, start = torch.ones(2, 200), model.state_dict()
    own, other = (moved(model, s)["0.weight"] - start["0.weight"] for s in (1, 2))
    updates = [
        {**start, "0.weight": start["0.weight"] + delta}
        for delta in (own, 0.6 * own + 0.8 * other)
    ]
    left, right = (look(model, update, samples)["direction"] for update in updates)
    assert 4 * (left @ right).item() == pytest.approx(0.6, abs=0.05)
    assert torch.equal(look(model, updates[0], samples)["direction"], left)
    assert not torch.equal(look(model, updates[0], samples, 4)["direction"], left)


def centred(rows: Tensor) -> list[float]:
    """Take the mean over the four classes out, one number at a time."""
    means = [math.fsum(column) / 4 for column in rows.T.tolist()]
    return [x - m for row in rows.tolist() for x, m in zip(row, means, strict=True)]


@given(seed=seeds)
def test_inner_products_of_head_directions_are_cosines(seed):
    """Of what two clients change of the head, without the means over the classes."""
    model, samples = seeded(mlp), torch.ones(2, 3, 4)
    head, updates = model[4].weight.double(), [moved(model, seed + n) for n in (0, 1)]
    left, right = (look(model, update, samples)["head_direction"] for update in updates)
    changes = [centred(update["4.weight"].double() - head) for update in updates]
    assert (left @ right).item() == pytest.approx(cosine(*changes), abs=1e-5)
    assert (left @ left).item() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("classes", [1, 2])
def test_a_head_of_two_classes_is_taught_nothing_else(classes):
    """It can be confirmed or undone, and that is told by its agreement."""
    model = nn.Sequential(nn.Linear(4, 3), seeded(lambda: nn.Linear(3, classes)))
    found = look(model, moved(model, 1), torch.ones(2, 4))
    assert found["head_direction"].tolist() == [0]
    assert found["with_head"] != 0


@given(seed=seeds)
def test_agreement_is_a_cosine_with_the_head_and_turns_with_the_update(seed):
    """Without the means over the classes; a reversed update disagrees as much."""
    model, samples = seeded(mlp), torch.ones(2, 3, 4)
    start, update = model.state_dict(), moved(model, seed)
    reversed_update = {name: 2 * start[name] - update[name] for name in start}
    head = start["4.weight"].double()
    expected = cosine(centred(update["4.weight"].double() - head), centred(head))
    agreement = look(model, update, samples)["with_head"].item()
    assert agreement == pytest.approx(expected, abs=1e-9)
    turned = look(model, reversed_update, samples)["with_head"].item()
    assert turned == pytest.approx(-agreement, abs=1e-5)


def test_what_all_classes_share_is_no_agreement():
    """A head row added to all rows changes no margin; one row alone has no mean."""
    model = seeded(mlp)
    update = {**model.state_dict()}
    update["4.weight"] = update["4.weight"] + update["4.weight"][0]
    agreement = look(model, update, torch.ones(2, 3, 4))["with_head"]
    assert_close(agreement, torch.zeros_like(agreement), atol=1e-6, rtol=0)
    single = nn.Sequential(nn.Linear(3, 2), seeded(lambda: nn.Linear(2, 1)))
    update = {**single.state_dict()}
    update["1.weight"] = 1.5 * update["1.weight"]
    assert look(single, update, torch.ones(2, 3))["with_head"].item() == pytest.approx(
        1
    )


@given(seed=seeds)
def test_agreement_with_momentum_equals_the_definition(seed):
    """Half the cosine of all parameters, half the mean of the layers'."""
    model, samples = seeded(mlp), torch.ones(2, 3, 4)
    start, update = model.state_dict(), moved(model, seed)
    way = {n: v - start[n] for n, v in moved(model, seed + 1).items()}
    deltas = {n: update[n].double() - start[n].double() for n in start}
    by_layer = [cosine(numbers(deltas[n]), numbers(way[n])) for n in start]
    whole = cosine(numbers(*deltas.values()), numbers(*(way[n] for n in start)))
    expected = (math.fsum(by_layer) / len(by_layer) + whole) / 2
    found = look(model, update, samples, momentum=way)["with_momentum"].item()
    assert found == pytest.approx(expected, abs=1e-6)
    turned = {name: 2 * start[name] - update[name] for name in start}
    found = look(model, turned, samples, momentum=way)["with_momentum"].item()
    assert found == pytest.approx(-expected, abs=1e-5)


def test_hand_worked_agreement_with_momentum():
    """One layer goes on, one back: 0 of the layers, (9 - 16) / 25 of the whole."""
    model = two_layers()
    start = model.state_dict()
    update = {**start, "0.weight": torch.tensor([[3.0, 0.0]])}
    update["0.bias"] = torch.tensor([-4.0])
    way = {"0.weight": torch.tensor([[3.0, 0.0]]), "0.bias": torch.tensor([4.0])}
    found = look(model, update, torch.eye(2), momentum=way)["with_momentum"]
    assert found.item() == pytest.approx((0 - 7 / 25) / 2)


@pytest.mark.parametrize("length", [0.0, math.inf, math.nan])
def test_a_momentum_without_direction_tells_nothing(length):
    """As in the first round, or when the model has been lost."""
    model = seeded(mlp)
    way = {name: torch.full_like(v, length) for name, v in model.named_parameters()}
    samples, update = torch.ones(2, 3, 4), moved(model, 1)
    assert look(model, update, samples, momentum=way)["with_momentum"] == 0
    assert look(model, update, samples)["with_momentum"] == 0


@pytest.mark.parametrize(
    ("last", "head"),
    [
        (nn.utils.parametrizations.weight_norm(nn.Linear(12, 3)), None),
        (nn.Sequential(nn.Linear(12, 4), nn.Linear(4, 2)), "1"),
        (nn.LayerNorm(12), None),
        (nn.LSTM(12, 3), None),
    ],
    ids=["weight norm", "block", "scales", "tuple"],
)
def test_a_head_without_a_matrix_agrees_with_nothing(last, head):
    """Blocks, parametrised layers and vectors teach nothing, and have all the rest."""
    model = nn.Sequential(nn.Linear(12, 12), last)
    found = look(model, moved(model, 1), torch.ones(2, 12), head=head)
    assert found["with_head"] == 0
    assert found["head_direction"].tolist() == [0]
    assert found["sizes"][SIZES.index("head")] > -5


def test_running_statistics_move_in_deviations():
    """A variance of 4: a mean that moves by 2 and a variance by 4 move by 1 each."""
    model = seeded(batch_norm_cnn)
    model[1].running_var.fill_(4.0)
    update = {name: value.clone() for name, value in model.state_dict().items()}
    update["1.running_mean"][0] += 2
    update["1.running_var"][1] += 4
    sizes = look(model, update, torch.ones(2, 1, 6, 6))["sizes"].exp()
    shift = sizes[SIZES.index("running statistics")].item()
    assert shift == pytest.approx(math.sqrt(2), rel=1e-4)


def test_a_channel_that_was_dead_may_wake():
    """What is small beside the layer's epsilon is no shift, whatever was there."""
    model = seeded(batch_norm_cnn)
    model[1].running_var[0] = 1e-20
    update = {name: value.clone() for name, value in model.state_dict().items()}
    update["1.running_var"][0] = 1e-7
    sizes = look(model, update, torch.ones(2, 1, 6, 6))["sizes"].exp()
    assert sizes[SIZES.index("running statistics")] < 0.02


class Weighted(nn.Module):
    """A layer with class weights that only a loss looks at, and a counter."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("class_weights", torch.tensor([3.0, 4.0]))
        self.register_buffer("steps", torch.tensor(0))
        self.fc = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        """Run the layer."""
        return self.fc(x)


@pytest.mark.parametrize(("moved_by", "size"), [(0.0, 5e-6), (12.0, 12.0)])
def test_other_buffers_are_measured_against_themselves(moved_by, size):
    """A millionth of their length of 5, if they do not move; counters are none."""
    model = seeded(Weighted)
    start = {**model.state_dict(), "steps": torch.tensor(0.0)}  # an average
    update = {**start, "steps": torch.tensor(7.0)}
    update["class_weights"] = start["class_weights"] + torch.tensor([moved_by, 0.0])
    sizes = look(model, update, torch.ones(2, 3), start=start)["sizes"].exp()
    assert sizes[SIZES.index("buffers")].item() == pytest.approx(size)


class Scaled(nn.Module):
    """A layer that keeps a variance and no mean."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("running_var", torch.ones(3))
        self.fc = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        """Divide by the deviation."""
        return self.fc(x / self.running_var.sqrt())


def test_a_variance_without_a_mean_is_no_normalisation():
    """It shows in the effect alone."""
    model = seeded(Scaled)
    update = {**model.state_dict(), "running_var": torch.full((3,), 4.0)}
    sizes = look(model, update, torch.ones(2, 3))["sizes"].exp()
    assert sizes[SIZES.index("running statistics")] < 1e-6
    assert sizes[SIZES.index("effect")] > 0.1


def test_answers_that_overflow_have_an_effect():
    """An update whose answers are not finite has a finite, huge effect."""
    model = nn.Sequential(*(nn.Linear(4, 4) for _ in range(3)))
    huge = {n: torch.full_like(v, 1e15) for n, v in model.state_dict().items()}
    sizes = look(model, huge, torch.ones(2, 4))["sizes"]
    assert sizes.isfinite().all()
    assert sizes[SIZES.index("effect")] > math.log(1e29)


@cases
def test_every_kind_of_model_gives_evidence_of_one_shape(case):
    """Numbers of fixed shapes, all finite, whatever the layers."""
    model = seeded(case.build)
    draw = case.virtual_samples or gaussian(case.input_shape)
    samples = draw_samples(draw, 1, 3, case.input_shape)
    found = [look(model, moved(model, seed, 0.01), samples) for seed in (1, 2)]
    assert found[0]["sizes"].shape == (len(SIZES),)
    for name, value in found[0].items():
        assert value.isfinite().all()
        assert value.shape == found[1][name].shape
