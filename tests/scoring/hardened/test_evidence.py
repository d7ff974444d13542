"""Update to evidence, against the definitions, values by hand, and properties."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.testing import assert_close

from flwr_vdcs.probe import Probe, RoundContext, draw_samples, gaussian
from flwr_vdcs.scoring.hardened._evidence import evidence
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
def test_norms_and_effect_equal_the_definition(seed):
    """Of each array, buffers too, one number at a time; counters are left out."""
    model, samples = seeded(batch_norm_cnn).double(), torch.randn(5, 1, 6, 6).double()
    start, update = model.state_dict(), moved(seeded(batch_norm_cnn).double(), seed)
    names = [name for name, value in start.items() if value.is_floating_point()]
    found = look(model, update, samples)
    norms = [math.hypot(*numbers(update[n] - start[n])) for n in names]
    floors = [1e-6 * math.hypot(*numbers(start[n])) for n in names]
    assert found["norms"].tolist() == pytest.approx(norms)
    assert found["floors"].tolist() == pytest.approx(floors, abs=1e-29)
    places = {"0": (0, 1), "1": (1, 1, 3, 3), "4": (2, 2)}
    assert found["groups"].tolist() == [each for p in places.values() for each in p]
    change = answers_of(model, update, samples) - answers_of(model, start, samples)
    assert found["effect_norm"].item() == pytest.approx(math.hypot(*numbers(change)))
    assert_close(found["effect"].double().norm().item(), 1.0, atol=1e-5, rtol=0)


def two_layers() -> nn.Module:
    """Two layers whose answers can be computed by hand; the first is all zero."""
    model = nn.Sequential(nn.Linear(2, 1), nn.Linear(1, 2))
    for parameter in model.parameters():
        nn.init.zeros_(parameter)
    model[1].weight.data[:] = torch.tensor([[1.0], [-1.0]])
    return model


def test_hand_worked_example():
    """Lengths 5 and 12; the answers to the unit vectors go up by 15 and 16."""
    model = two_layers()
    update = {**model.state_dict(), "0.weight": torch.tensor([[3.0, 4.0]])}
    update["0.bias"] = torch.tensor([12.0])
    found = look(model, update, torch.eye(2))
    assert found["norms"].tolist() == [5, 12, 0, 0]
    assert found["groups"].tolist() == [0, 1, 2, 2]
    assert found["floors"].tolist() == pytest.approx([0, 0, 1e-6 * math.sqrt(2), 0])
    assert_close(found["direction weights 0.weight"], torch.tensor([0.6, 0.8]))
    assert_close(found["direction vectors 0.bias"], torch.tensor([1.0]))
    assert not found["direction head 1.weight"].any()
    assert found["effect_norm"].item() == pytest.approx(math.sqrt(962))
    assert found["sensitivity"].item() == pytest.approx(1 / math.sqrt(962))
    assert found["alignment"] == 0


def test_an_update_that_moves_nothing_goes_nowhere():
    """All but the floors, and what is told of the model, is zero."""
    model = seeded(batch_norm_cnn)
    found = look(model, model.state_dict(), torch.ones(2, 1, 6, 6))
    for name in set(found) - {"floors", "groups", "classes"}:
        assert not found[name].any(), name


@given(seed=seeds, factor=st.floats(0.01, 100))
def test_a_longer_update_goes_the_same_way(seed, factor):
    """A multiple of an update has longer arrays, the same directions and alignment."""
    model, samples = seeded(mlp).double(), torch.ones(2, 3, 4).double()
    start, update = model.state_dict(), moved(seeded(mlp).double(), seed)
    longer = {n: start[n] + factor * (update[n] - start[n]) for n in start}
    short, long = (look(model, each, samples) for each in (update, longer))
    assert_close(long["norms"], short["norms"] * factor)
    for name in short:
        if name.startswith("direction"):
            assert_close(long[name], short[name], atol=1e-5, rtol=0)
    assert_close(long["alignment"], short["alignment"])


@given(seed=seeds)
def test_inner_products_of_directions_are_cosines(seed):
    """Of each array of two clients."""
    model, samples = seeded(mlp), torch.ones(2, 3, 4)
    start, updates = model.state_dict(), [moved(model, seed), moved(model, seed + 1)]
    left, right = (look(model, update, samples) for update in updates)
    for name in (name for name in left if name.startswith("direction")):
        array = name.split()[-1]
        deltas = [numbers(update[array].double() - start[array]) for update in updates]
        inner = (left[name] @ right[name]).item()
        assert inner == pytest.approx(cosine(*deltas), abs=1e-5)


def test_large_arrays_are_sampled_alike_for_all_and_anew_every_round():
    """A cosine of 0.6 is found to 0.05 in 16384 of 40000 numbers."""
    model = nn.Sequential(seeded(lambda: nn.Linear(200, 200)), nn.Linear(200, 2))
    samples, start = torch.ones(2, 200), model.state_dict()
    own, other = (moved(model, s)["0.weight"] - start["0.weight"] for s in (1, 2))
    updates = [
        {**start, "0.weight": start["0.weight"] + delta}
        for delta in (own, 0.6 * own + 0.8 * other)
    ]
    name = "direction weights 0.weight"
    left, right = (look(model, update, samples)[name] for update in updates)
    assert (left @ right).item() == pytest.approx(0.6, abs=0.05)
    assert torch.equal(look(model, updates[0], samples)[name], left)
    assert not torch.equal(look(model, updates[0], samples, 4)[name], left)


def centred(rows: Tensor) -> list[float]:
    """Take the mean over the four classes out, one number at a time."""
    means = [math.fsum(column) / 4 for column in rows.T.tolist()]
    return [x - m for row in rows.tolist() for x, m in zip(row, means, strict=True)]


@pytest.mark.parametrize("classes", [1, 2])
def test_a_head_of_two_classes_has_no_alignment(classes):
    """It can be confirmed or undone only, which honest clients do by chance."""
    model = nn.Sequential(nn.Linear(4, 3), seeded(lambda: nn.Linear(3, classes)))
    assert look(model, moved(model, 1), torch.ones(2, 4))["alignment"] == 0


@pytest.mark.parametrize("classes", [1, 2, 10])
def test_classes_are_the_rows_of_the_head(classes):
    """Whatever is sent, even if nothing is."""
    model = nn.Sequential(nn.Linear(4, 3), seeded(lambda: nn.Linear(3, classes)))
    for update in (moved(model, 1), model.state_dict()):
        assert look(model, update, torch.ones(2, 4))["classes"] == classes


def test_classes_of_a_head_that_classifies_pixels_are_its_channels():
    """A kernel has a row for each of them."""
    model = nn.Sequential(nn.Conv2d(1, 3, 2), nn.ReLU(), nn.Conv2d(3, 5, 2))
    found = look(model, moved(model, 1), torch.ones(2, 1, 4, 4))
    assert found["classes"] == 5


@given(seed=seeds)
def test_alignment_is_a_cosine_with_the_head_and_turns_with_the_update(seed):
    """Without the means over the classes; a reversed update undoes as much."""
    model, samples = seeded(mlp), torch.ones(2, 3, 4)
    start, update = model.state_dict(), moved(model, seed)
    reversed_update = {name: 2 * start[name] - update[name] for name in start}
    head = start["4.weight"].double()
    expected = cosine(centred(update["4.weight"].double() - head), centred(head))
    alignment = look(model, update, samples)["alignment"].item()
    assert alignment == pytest.approx(expected, abs=1e-6)
    turned = look(model, reversed_update, samples)["alignment"].item()
    assert turned == pytest.approx(-alignment, abs=1e-5)


def test_what_all_classes_share_is_no_alignment():
    """A head row added to all rows changes no margin."""
    model = seeded(mlp)
    update = {**model.state_dict()}
    update["4.weight"] = update["4.weight"] + update["4.weight"][0]
    alignment = look(model, update, torch.ones(2, 3, 4))["alignment"]
    assert_close(alignment, torch.zeros_like(alignment), atol=1e-6, rtol=0)


@given(seed=seeds)
def test_momentum_equals_the_definition(seed):
    """Of each array the cosine with the way the model has come; it turns."""
    model, samples = seeded(mlp), torch.ones(2, 3, 4)
    start, update = model.state_dict(), moved(model, seed)
    way = {n: v - start[n] for n, v in moved(model, seed + 1).items()}
    deltas = {n: update[n].double() - start[n].double() for n in start}
    expected = [cosine(numbers(deltas[n]), numbers(way[n])) for n in start]
    found = look(model, update, samples, momentum=way)["momentum"].tolist()
    assert found == pytest.approx(expected, abs=1e-5)
    turned = {name: 2 * start[name] - update[name] for name in start}
    found = look(model, turned, samples, momentum=way)["momentum"].tolist()
    assert found == pytest.approx([-x for x in expected], abs=1e-5)


@pytest.mark.parametrize("length", [0.0, math.inf, math.nan])
def test_a_momentum_without_direction_tells_nothing(length):
    """As in the first round, or when the model has been lost."""
    model = seeded(mlp)
    way = {name: torch.full_like(v, length) for name, v in model.named_parameters()}
    samples, update = torch.ones(2, 3, 4), moved(model, 1)
    assert not look(model, update, samples, momentum=way)["momentum"].any()
    assert not look(model, update, samples)["momentum"].any()


def test_a_normalised_head_is_put_together():
    """Its rows are its lengths times its unit directions."""
    head = nn.utils.parametrizations.weight_norm(seeded(lambda: nn.Linear(4, 3)))
    model = nn.Sequential(seeded(lambda: nn.Linear(4, 4)), head)
    start, update = model.state_dict(), moved(model, 1)

    def rows(state: dict) -> Tensor:
        name = "1.parametrizations.weight.original"
        directions = state[f"{name}1"].double()
        lengths = [math.hypot(*row) for row in directions.tolist()]
        scaled = zip(state[f"{name}0"].tolist(), directions, lengths, strict=True)
        return torch.stack([g[0] * row / length for g, row, length in scaled])

    def taken_out(matrix: Tensor) -> list[float]:
        return numbers(matrix - matrix.mean(0))

    expected = cosine(taken_out(rows(update) - rows(start)), taken_out(rows(start)))
    found = look(model, update, torch.ones(2, 4))
    assert found["alignment"].item() == pytest.approx(expected, abs=1e-5)
    assert found["classes"] == 3


def test_a_transposed_head_has_a_column_for_each_class():
    """As transposed convolutions have."""
    model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.ConvTranspose2d(2, 5, 2))
    assert look(model, moved(model, 1), torch.ones(2, 1, 4, 4))["classes"] == 5


@pytest.mark.parametrize(
    ("last", "head"),
    [
        (nn.Sequential(nn.Linear(12, 4), nn.Linear(4, 2)), "1"),
        (nn.LayerNorm(12), None),
        (nn.LSTM(12, 3), None),
    ],
    ids=["block", "scales", "tuple"],
)
def test_a_head_without_a_matrix_has_no_alignment(last, head):
    """It counts as of one class; there is all the rest."""
    model = nn.Sequential(nn.Linear(12, 12), last)
    found = look(model, moved(model, 1), torch.ones(2, 12), head=head)
    assert found["alignment"] == 0
    assert found["classes"] == 1
    assert 2 in found["groups"].tolist()


def test_infinite_values_that_nobody_changed_are_no_step():
    """As in a mask."""
    model = seeded(mlp)
    model.register_buffer("mask", torch.tensor([-math.inf, 0.0]))
    update = {**model.state_dict(), "mask": torch.tensor([-math.inf, 3.0])}
    found = look(model, update, torch.ones(2, 3, 4))
    place = list(model.state_dict()).index("mask")
    assert found["norms"][place] == 3
    assert all(value.isfinite().all() for value in found.values())


def test_answers_that_overflow_have_an_effect():
    """An update whose answers are not finite has a finite, huge effect."""
    model = nn.Sequential(*(nn.Linear(4, 4) for _ in range(3)))
    huge = {n: torch.full_like(v, 1e15) for n, v in model.state_dict().items()}
    found = look(model, huge, torch.ones(2, 4))
    assert all(value.isfinite().all() for value in found.values())
    assert found["effect_norm"] > 1e29


@cases
def test_every_kind_of_model_gives_evidence_of_one_shape(case):
    """Numbers of fixed shapes, all finite, whatever the layers."""
    model = seeded(case.build)
    draw = case.virtual_samples or gaussian(case.input_shape)
    samples = draw_samples(draw, 1, 3, case.input_shape)
    found = [look(model, moved(model, seed, 0.01), samples) for seed in (1, 2)]
    assert found[0].keys() == found[1].keys()
    for name, value in found[0].items():
        assert value.isfinite().all()
        assert value.shape == found[1][name].shape
