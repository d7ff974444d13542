"""The baselines: every rule against its paper, at real sizes, in whole rounds."""

import itertools

import numpy as np
import pytest
import torch
from bloodmnist.baselines import (
    BASELINES,
    TooFewUpdatesError,
    UpdateMismatchError,
    needs_validation,
)
from bloodmnist.baselines.centered_clipping import (
    CenteredClipping,
)
from bloodmnist.baselines.deltas import BLOCK, Updates, find_updates
from bloodmnist.baselines.distances import squared_distances
from bloodmnist.baselines.dnc import dnc
from bloodmnist.baselines.fang import (
    ERROR,
    LOSS,
    fang,
    means_without_one,
    smallest,
)
from bloodmnist.baselines.geometric_median import geometric_median
from bloodmnist.baselines.krum import krum, krum_scores, multi_krum
from bloodmnist.baselines.median import median
from bloodmnist.baselines.nnm import nnm
from bloodmnist.baselines.trimmed_mean import trimmed_mean
from flwr.app import Error
from flwr.serverapp.strategy import FedAvg
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from flwr_vdcs import VirtualConsistencyStrategy
from tests.federation import (
    InProcessGrid,
    arrays_of,
    configured,
    content,
    honest_client,
    honest_update,
    record_of,
    reply,
    reversed_update,
    seeded,
)
from tests.models import batch_norm_cnn, mlp

NET = seeded(batch_norm_cnn)
SEEDS = st.integers(0, 2**32 - 1)
MEAN_WITHOUT_MALICIOUS = [
    "multi-krum",
    "trimmed-mean",
    "fang-err",
    "fang-lfr",
    "fang-union",
    "nnm",
    "dnc",
]
MOVABLE = [
    name
    for name in BASELINES
    if not needs_validation(name) and name != "centered-clipping"
]


def draw(seed, num_clients=9, length=6):
    """Draw updates around a common point, in float32 as clients send them."""
    generator = torch.Generator().manual_seed(seed)
    return 1 + torch.randn(num_clients, length, generator=generator)


def updates_of(parameters, buffers=None):
    """Call the rows deltas of a model whose one parameter is zero."""
    start = {"w": torch.zeros(parameters.shape[1], dtype=torch.float64)}
    if buffers is None:
        buffers = torch.empty(len(parameters), 0)
    else:
        start["bn.running_mean"] = torch.zeros(buffers.shape[1], dtype=torch.float64)
    return Updates(start, parameters, buffers.double())


def validate(state):
    """Prefer models near 1: the loss is the distance, the error the sum of gaps."""
    gaps = state["w"] - 1
    return float(gaps.norm()), float(gaps.abs().sum())


def build(name, num_malicious, **options):
    """Build a baseline, with a validation where it wants one."""
    if needs_validation(name):
        options.setdefault("validate", of_first_parameter)
    return BASELINES[name](num_malicious=num_malicious, **options)


def of_first_parameter(state):
    """Validate a real model's state by some number that no two models share."""
    value = float(next(iter(state.values())).double().sum())
    return value, value


def apply_rule(name, parameters, num_malicious):
    """Give the parameters' aggregate by a rule that has seen nothing before."""
    options = {"validate": validate} if needs_validation(name) else {}
    strategy = BASELINES[name](num_malicious=num_malicious, **options)
    return strategy.rule(updates_of(parameters), num_malicious).parameters


# --- Krum and Multi-Krum --------------------------------------------------------------


def krum_scores_by_hand(vectors, f):
    """Blanchard et al., section 4: the n - f - 2 closest other vectors, one by one."""
    n, scores = len(vectors), []
    for i in range(n):
        apart = [
            sum((a - b) ** 2 for a, b in zip(vectors[i], vectors[j], strict=True))
            for j in range(n)
            if j != i
        ]
        scores.append(sum(sorted(apart)[: n - f - 2]))
    return scores


@given(seed=SEEDS, num_malicious=st.integers(0, 3))
def test_krum_scores_are_those_of_the_paper(seed, num_malicious):
    """Sums of the nearest squared distances, in plain Python."""
    deltas = draw(seed)
    expected = krum_scores_by_hand(deltas.tolist(), num_malicious)
    scores = krum_scores(deltas, num_malicious)
    assert_close(scores, torch.tensor(expected, dtype=torch.float64))
    assert krum(deltas, num_malicious).argmax() == np.argmin(expected)


@given(seed=SEEDS, num_malicious=st.integers(0, 3))
def test_multi_krum_averages_the_lowest_scores(seed, num_malicious):
    """The K - M clients of the lowest scores share the weight."""
    deltas = draw(seed)
    order = np.argsort(krum_scores_by_hand(deltas.tolist(), num_malicious))
    chosen = order[: 9 - num_malicious].tolist()
    weights = multi_krum(deltas, num_malicious)
    assert weights.nonzero().flatten().tolist() == sorted(chosen)
    assert_close(weights[chosen], torch.full((len(chosen),), 1 / len(chosen)).double())


def test_krum_by_hand():
    """Of 0, 1, 3, 7, 20 with M = 1 two neighbours count: 1 has 1 + 4, the least."""
    deltas = torch.tensor([[0.0], [1.0], [3.0], [7.0], [20.0]])
    assert krum_scores(deltas, 1).tolist() == [10, 5, 13, 52, 458]
    assert krum(deltas, 1).tolist() == [0, 1, 0, 0, 0]
    assert multi_krum(deltas, 1).tolist() == [0.25, 0.25, 0.25, 0.25, 0]


@pytest.mark.parametrize(("num_clients", "num_malicious"), [(8, 3), (2, 0), (10, 4)])
def test_krum_refuses_fewer_than_twice_m_plus_three(num_clients, num_malicious):
    """The error has the numbers and says what to do."""
    with pytest.raises(TooFewUpdatesError, match="Lower `num_malicious`") as caught:
        krum(torch.ones(num_clients, 2), num_malicious)
    assert caught.value.num_needed == 2 * num_malicious + 3
    assert caught.value.num_updates == num_clients


def test_client_of_no_numbers_is_not_chosen_and_leaves_no_trace():
    """NaN is far from everybody, and zero times NaN is not added."""
    deltas = draw(2)
    deltas[4] = torch.nan
    for name in ("krum", "multi-krum"):
        assert apply_rule(name, deltas, 1).isfinite().all()


# --- trimmed mean and median ----------------------------------------------------------


@given(seed=SEEDS, num_malicious=st.integers(0, 4))
def test_trimmed_mean_is_that_of_the_paper(seed, num_malicious):
    """Yin et al., definition 2: sort each coordinate and cut both ends."""
    values = draw(seed)
    expected = []
    for column in values.T.tolist():
        middle = sorted(column)[num_malicious : 9 - num_malicious]
        expected.append(sum(middle) / len(middle))
    found = trimmed_mean(values, num_malicious)
    assert_close(found, torch.tensor(expected, dtype=torch.float64))


@given(seed=SEEDS, num_clients=st.integers(1, 8))
def test_median_is_numpys(seed, num_clients):
    """For odd and even numbers of clients."""
    values = draw(seed, num_clients)
    expected = np.median(values.double().numpy(), axis=0)
    assert_close(median(values), torch.from_numpy(expected))


def test_trimmed_mean_and_median_by_hand():
    """The columns lose different clients: 1, 2, 3 remain of 0 to 4, in any order."""
    values = torch.tensor([[0.0, 90.0], [1, 1], [2, 2], [3, 3], [100, -4]])
    assert trimmed_mean(values, 1).tolist() == [2, 2]
    assert trimmed_mean(values, 0).tolist() == [21.2, 18.4]
    assert median(values[:4]).tolist() == [1.5, 2.5]


def test_trimmed_mean_needs_a_value_to_remain():
    """Two of four at either end leave nothing."""
    with pytest.raises(TooFewUpdatesError, match="at least 5 updates"):
        trimmed_mean(torch.ones(4, 2), 2)


def test_blocks_make_no_difference():
    """More columns than a block gives what each column gives alone."""
    values = draw(0, num_clients=5, length=BLOCK + 3)
    whole = trimmed_mean(values, 1)
    assert torch.equal(whole[-4:], trimmed_mean(values[:, -4:], 1))
    assert_close(squared_distances(values), torch.cdist(*[values.double()] * 2) ** 2)


def test_up_to_m_values_that_are_no_numbers_are_trimmed():
    """NaN counts as the largest."""
    values = torch.tensor([[1.0], [2.0], [3.0], [4.0], [torch.nan]])
    assert trimmed_mean(values, 1).tolist() == [3]


# --- Fang -----------------------------------------------------------------------------


def fang_by_hand(vectors, m, measures):
    """Fang et al., section 5: impact E_A - E_B, with the literal aggregates."""
    n = len(vectors)

    def aggregate(rows, trim):
        ordered = np.sort(np.array(rows), axis=0)
        return ordered[trim : len(rows) - trim].mean(axis=0)

    def measure(model):
        return validate({"w": torch.from_numpy(model)})

    with_all, rejected = measure(aggregate(vectors, m)), set()
    for which in measures:
        impacts = [
            with_all[which] - measure(aggregate(np.delete(vectors, i, 0), m))[which]
            for i in range(n)
        ]
        rejected |= set(np.argsort(impacts)[n - m :].tolist())
    kept = [vector for i, vector in enumerate(vectors) if i not in rejected]
    return aggregate(kept, min(m, (len(kept) - 1) // 2))


@pytest.mark.parametrize(
    ("name", "measures"),
    [("fang-err", [ERROR]), ("fang-lfr", [LOSS]), ("fang-union", [ERROR, LOSS])],
)
@given(seed=SEEDS, num_malicious=st.integers(0, 3))
def test_fangs_rejections_are_those_of_the_paper(name, measures, seed, num_malicious):
    """The literal impacts of nine clients, on measures that no two of them share."""
    deltas = draw(seed, length=24).double()
    expected = fang_by_hand(deltas.numpy(), num_malicious, measures)
    found = apply_rule(name, deltas, num_malicious)
    assert_close(found, torch.from_numpy(expected))


def test_union_rejects_whom_either_rejects():
    """The loss rejects client 4 and the error client 0: 1, 2 and 3 remain."""
    updates = updates_of(torch.tensor([[-9.0], [1.0], [2.0], [3.0], [9.0]]))

    def reject(*measures):
        results = iter([(1.0, 0.0), (1.0, 1.0), (1.0, 1.0), (1.0, 1.0), (0.0, 1.0)])
        return fang(
            updates,
            1,
            measures=measures,
            validate=lambda _state: next(results),
            generator=torch.Generator(),
        ).parameters.item()

    assert reject(LOSS) == 1.5  # of -9, 1, 2, 3
    assert reject(ERROR) == 2.5  # of 1, 2, 3, 9
    assert reject(LOSS, ERROR) == 2  # of 1, 2, 3


@given(seed=SEEDS, num_malicious=st.integers(0, 3))
def test_means_without_one_are_trimmed_means_of_the_others(seed, num_malicious):
    """One sort gives what leaving a row out and sorting anew gives, ties included."""
    values = draw(seed).mul(2).round()
    for client, mean in enumerate(means_without_one(values, num_malicious)):
        others = torch.cat([values[:client], values[client + 1 :]])
        assert_close(mean.double(), trimmed_mean(others, num_malicious))


def test_ties_are_broken_by_lot_and_nan_is_never_smallest():
    """Each of four equal places is drawn at some time, the NaN never."""
    generator = torch.Generator().manual_seed(0)
    values = torch.tensor([0.0, 0.0, torch.nan, 0.0, 0.0])
    drawn = [frozenset(smallest(values, 2, generator)) for _ in range(100)]
    assert set(drawn) == {frozenset(p) for p in itertools.combinations([0, 1, 3, 4], 2)}


def test_fang_validates_the_buffers_too():
    """A client whose parameters are honest is rejected for its running mean."""
    buffers = torch.tensor([[50.0], [1.0], [1.0], [1.0]])
    updates = updates_of(torch.ones(4, 2), buffers)

    def loss_of_buffers(state):
        return float(state["bn.running_mean"].sum()), 0.0

    delta = fang(
        updates,
        1,
        measures=[LOSS],
        validate=loss_of_buffers,
        generator=torch.Generator(),
    )
    assert delta.buffers.tolist() == [1]


def test_fang_does_not_validate_when_nobody_is_malicious():
    """The validation would raise if it were called."""
    delta = fang(updates_of(draw(0)), 0, measures=[LOSS], validate=None, generator=None)
    assert_close(delta.parameters, draw(0).double().mean(dim=0))


# --- geometric median -----------------------------------------------------------------


@given(seed=SEEDS)
def test_geometric_median_is_weiszfelds(seed):
    """Weiszfeld's iteration on the vectors themselves ends at the same point."""
    deltas = draw(seed).double()
    point = deltas.mean(dim=0)
    for _ in range(2000):
        inverse = 1 / (deltas - point).norm(dim=1).clamp(min=1e-9)
        point = (inverse[:, None] * deltas).sum(dim=0) / inverse.sum()
    assert_close(geometric_median(deltas) @ deltas, point, atol=1e-5, rtol=1e-5)


def test_geometric_median_by_hand():
    """In an equilateral triangle it is the centre; of three in line the middle."""
    triangle = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.5, 0.75**0.5]])
    assert_close(geometric_median(triangle), torch.full((3,), 1 / 3).double())
    line = torch.tensor([[0.0], [1.0], [100.0]])
    assert_close(
        (geometric_median(line) @ line.double()).item(), 1.0, atol=1e-3, rtol=0
    )


def test_geometric_median_of_equal_updates_is_their_mean():
    """No distance is there to divide by."""
    assert_close(geometric_median(torch.ones(4, 3)), torch.full((4,), 0.25).double())


# --- nearest neighbour mixing ---------------------------------------------------------


@given(seed=SEEDS, num_malicious=st.integers(0, 4))
def test_nnm_is_that_of_the_paper(seed, num_malicious):
    """Allouah et al., algorithm 2: each vector becomes its n - f nearest ones' mean."""
    vectors = draw(seed).double().numpy()
    mixed = []
    for vector in vectors:
        order = np.argsort([np.sum((vector - other) ** 2) for other in vectors])
        mixed.append(np.mean(vectors[order[: 9 - num_malicious]], axis=0))
    ordered = np.sort(np.array(mixed), axis=0)
    expected = ordered[num_malicious : 9 - num_malicious].mean(axis=0)
    found = apply_rule("nnm", draw(seed), num_malicious)
    assert_close(found, torch.from_numpy(expected))


def test_nnm_by_hand():
    """0, 1, 5 with M = 1 mix to 1/2, 1/2, 3; without the ends 1/2 remains."""
    buffers = torch.tensor([[2.0], [4.0], [60.0]])
    delta = nnm(updates_of(torch.tensor([[0.0], [1.0], [5.0]]), buffers), 1)
    assert delta.parameters.tolist() == [0.5]
    assert delta.buffers.tolist() == [3]  # of 3, 3 and 32


# --- divide and conquer ---------------------------------------------------------------


@given(seed=SEEDS, num_malicious=st.integers(0, 3), num_iterations=st.integers(1, 2))
def test_dnc_is_that_of_the_paper(seed, num_malicious, num_iterations):
    """Algorithm 2 with the covariance's main eigenvector, on the drawn coordinates."""
    deltas, length, taken = draw(seed, num_clients=10, length=8), 8, 5
    good, generator = set(range(10)), torch.Generator().manual_seed(seed)
    for _ in range(num_iterations):
        chosen = torch.randperm(length, generator=generator)[:taken].numpy()
        sampled = deltas.double().numpy()[:, chosen]
        centred = sampled - sampled.mean(axis=0)
        direction = np.linalg.eigh(centred.T @ centred).eigenvectors[:, -1]
        scores = [float(row @ direction) ** 2 for row in centred]
        good &= set(np.argsort(scores)[: 10 - num_malicious].tolist())
    weights = dnc(
        deltas,
        num_malicious,
        generator=torch.Generator().manual_seed(seed),
        num_coordinates=taken,
        num_iterations=num_iterations,
    )
    assert set(weights.nonzero().flatten().tolist()) == good
    assert_close(weights.sum().item(), 1.0)


def test_dnc_by_hand():
    """Along the only direction of spread the client at 10 is the farthest."""
    deltas = torch.tensor([[0.0, 5.0], [1.0, 5.0], [2.0, 5.0], [10.0, 5.0]])
    weights = dnc(deltas, 1, generator=torch.Generator())
    assert_close(weights, torch.tensor([1 / 3, 1 / 3, 1 / 3, 0]).double())


def test_dnc_keeps_those_rejected_least_when_it_rejects_everybody():
    """Each of three coordinates has an outlier of its own, who is rejected there."""
    deltas = torch.diag(torch.tensor([1.0, 2.0, 3.0]))
    rejected = [
        dnc(
            deltas,
            1,
            generator=torch.Generator().manual_seed(seed),
            num_coordinates=1,
            num_iterations=3,
        )
        for seed in range(20)
    ]
    assert all(weights.sum() == 1 for weights in rejected)
    assert any(weights.min() > 0 for weights in rejected)


def test_dnc_needs_an_honest_majority():
    """Of six clients three cannot be malicious."""
    with pytest.raises(TooFewUpdatesError, match="at least 7 updates"):
        dnc(draw(0, 6), 3, generator=torch.Generator())


# --- centered clipping ----------------------------------------------------------------


@given(seed=SEEDS, radius=st.floats(0.5, 5), num_steps=st.integers(1, 3))
def test_centered_clipping_is_that_of_the_paper(seed, radius, num_steps):
    """Karimireddy et al., Eq. CC, over two rounds: the second starts at the first."""
    rule = CenteredClipping(radius, num_steps)
    centre = np.zeros(6)
    for each in (seed, seed ^ 1):
        vectors = draw(each).double().numpy()
        for _ in range(num_steps):
            apart = vectors - centre
            scale = [min(1.0, radius / float(np.sqrt(a @ a))) for a in apart]
            steps = [s * a for s, a in zip(scale, apart, strict=True)]
            centre = centre + np.sum(steps, axis=0) / 9
        found = rule(updates_of(draw(each))).parameters
        assert_close(found, torch.from_numpy(centre))


def test_centered_clipping_by_hand():
    """From 0 with radius 2: steps 1, 2 of 4 and -2 of -8, whose mean is 1/3."""
    deltas = torch.tensor([[1.0], [4.0], [-8.0]])
    buffers = torch.tensor([[4.0], [4.0], [11.0]])
    delta = CenteredClipping(radius=2.0)(updates_of(deltas, buffers))
    assert_close(delta.parameters.item(), 1 / 3)
    assert_close(delta.buffers.item(), (1 * 4 + 0.5 * 4 + 0.25 * 11) / 1.75)
    by_median = CenteredClipping()(updates_of(deltas))  # the radius is 4
    assert_close(by_median.parameters.item(), (1 + 4 - 4) / 3)


def test_centered_clipping_with_a_wide_radius_is_the_mean():
    """Nobody is clipped, from whatever centre."""
    rule = CenteredClipping(radius=1e9, centre=torch.full((6,), 7.0).double())
    assert_close(rule(updates_of(draw(3))).parameters, draw(3).double().mean(dim=0))


# --- properties that all rules share --------------------------------------------------


@pytest.mark.parametrize("name", BASELINES)
@given(seed=SEEDS)
def test_order_of_clients_does_not_matter(name, seed):
    """The same updates in another order give the same aggregate."""
    deltas = draw(seed, length=24).double()
    order = torch.randperm(9, generator=torch.Generator().manual_seed(seed))
    assert_close(apply_rule(name, deltas, 3), apply_rule(name, deltas[order], 3))


@pytest.mark.parametrize("name", MOVABLE)
@given(seed=SEEDS)
def test_moving_all_updates_moves_the_aggregate(name, seed):
    """Not so where a centre or validation images stay behind: clipping and Fang."""
    deltas = draw(seed).double()
    shift = torch.arange(6) / 4
    moved = apply_rule(name, deltas + shift, 3)
    assert_close(moved, apply_rule(name, deltas, 3) + shift, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", MEAN_WITHOUT_MALICIOUS)
@given(seed=SEEDS)
def test_without_malicious_clients_the_rule_is_the_mean(name, seed):
    """With M = 0 nothing is dropped; Krum, medians and clipping always drop."""
    deltas = draw(seed)
    assert_close(apply_rule(name, deltas, 0), deltas.double().mean(dim=0))


@pytest.mark.parametrize("name", BASELINES)
def test_three_boosted_clients_of_ten_do_not_matter_much(name):
    """Honest updates lie within 1 of 1; the attackers' mean would be at 300."""
    deltas = 1 + 0.1 * (draw(0, num_clients=10) - 1)
    deltas[:3] = 1000.0
    aggregate = apply_rule(name, deltas, 3)
    if name == "centered-clipping":  # starts at 0, moves by at most the radius
        assert aggregate.norm() < 2 * 6**0.5
    else:
        assert (aggregate - 1).abs().max() < 1


# --- real sizes -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def real_size():
    """Ten clients 0.02 from a model of norm 112, of whom three agree less."""
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(200_000, generator=generator)
    start *= 112 / start.norm()
    shared, *own = torch.randn(11, 200_000, generator=generator)
    spread = [0.5] * 3 + [0.3] * 7
    steps = [shared + s * each for s, each in zip(spread, own, strict=True)]
    return start, [start + 0.02 * step / step.norm() for step in steps]


def test_distances_are_right_at_real_sizes_where_whole_weights_fail(real_size):
    """Deltas agree with float64; the expanded square of float32 weights does not."""
    start, states = real_size
    exact = torch.cdist(*[torch.stack(states).double() - start.double()] * 2) ** 2
    updates = find_updates({"w": start}, ({"w": state} for state in states), 10)
    assert_close(squared_distances(updates.parameters), exact, rtol=1e-5, atol=0)

    whole = torch.stack(states)
    norms = whole.square().sum(dim=1)
    expanded = norms[:, None] + norms - 2 * whole @ whole.T
    off_diagonal = ~torch.eye(10, dtype=torch.bool)
    wrong = (expanded.double() / exact - 1).abs()[off_diagonal]
    assert wrong.max() > 1
    assert exact[off_diagonal].sqrt().max() < 0.02


def test_krum_gives_the_right_clients_model_at_real_sizes(real_size):
    """The delta added back is the chosen client's model, to float32's last digit."""
    start, states = real_size
    updates = find_updates({"w": start}, ({"w": state} for state in states), 10)
    weights = krum(updates.parameters, 3)
    exact = [(state.double() - start.double()).tolist() for state in states]
    scores = krum_scores(torch.tensor(exact, dtype=torch.float64), 3)
    assert weights.argmax() == scores.argmin()
    assert weights.argmax() >= 3
    found = updates.apply(updates.combine(weights))["w"]
    assert_close(found, states[weights.argmax()], rtol=2e-7, atol=0)


# --- a library as second opinion ------------------------------------------------------


@pytest.fixture(scope="module")
def byzfl():
    """Borrow ByzFL where it is installed."""
    return pytest.importorskip("byzfl", reason="byzfl is not installed")


def test_byzfl_agrees_where_it_calculates_in_double_precision(byzfl):
    """On NumPy arrays, with a tight geometric median and a radius that fits."""
    deltas = draw(5, num_clients=10)
    vectors = deltas.double().numpy()
    mixed = byzfl.NNM(3)(vectors)
    expected = {
        "trimmed-mean": byzfl.TrMean(3)(vectors),
        "median": byzfl.Median()(vectors),
        "geometric-median": byzfl.GeometricMedian(nu=1e-9, T=5000)(vectors),
        "nnm": byzfl.TrMean(3)(mixed),
    }
    for name, value in expected.items():
        assert_close(apply_rule(name, deltas, 3), torch.from_numpy(value))
    clipped = CenteredClipping(2.0)(updates_of(deltas)).parameters
    value = byzfl.CenteredClipping(tau=2.0)(vectors)
    assert_close(clipped, torch.from_numpy(value))


def test_byzfl_is_the_mean_at_real_sizes_where_ours_is_not(byzfl):
    """Its smoothing of 0.1 and its radius of 100 exceed a delta's length of 0.02."""
    deltas = 0.003 * draw(6, num_clients=10)
    deltas[:3] += 0.05
    mean = deltas.double().mean(dim=0)
    for rule in (byzfl.GeometricMedian(), byzfl.CenteredClipping()):
        assert_close(torch.from_numpy(rule(deltas.double().numpy())), mean)
    for name in ("geometric-median", "centered-clipping"):
        assert (apply_rule(name, deltas, 3) - mean).norm() > 0.3 * mean.norm()


# --- whole rounds ---------------------------------------------------------------------


def run(strategy, model=NET, clients=None, num_rounds=2):
    """Run Flower's own loop over clients that answer in process."""
    grid = InProcessGrid(
        clients or {node: honest_client(node) for node in range(1, 10)}
    )
    return strategy.start(grid, record_of(arrays_of(model)), num_rounds)


def wrap(inner, model=NET, **options):
    """Put the plugin around a strategy."""
    shape = (1, 6, 6) if model is NET else (3, 4)
    settings = {
        "scoring": "paper",
        "num_malicious": 0,
        "num_virtual_samples": 4,
        "seed": 1,
        **options,
    }
    return VirtualConsistencyStrategy(inner, model=model, input_shape=shape, **settings)


def data_of(record):
    """List keys and bytes in order."""
    return [(key, array.data) for key, array in record.items()]


@pytest.mark.parametrize("name", BASELINES)
@pytest.mark.parametrize("build_model", [batch_norm_cnn, mlp])
def test_plugin_that_drops_nobody_changes_nothing(name, build_model):
    """Alone and wrapped the rounds are equal bit for bit, with and without buffers."""
    model = NET if build_model is batch_norm_cnn else seeded(build_model)
    alone = run(build(name, 2), model)
    wrapped = run(wrap(build(name, 2), model), model)
    assert data_of(wrapped.arrays) == data_of(alone.arrays)
    assert data_of(alone.arrays) != data_of(record_of(arrays_of(model)))


@pytest.mark.parametrize("name", BASELINES)
def test_model_keeps_its_keys_shapes_and_dtypes(name):
    """Also the counter of batches, a single whole number, which grew by one a round."""
    before, after = arrays_of(NET), run(build(name, 2)).arrays
    assert [(k, a.dtype, tuple(a.shape)) for k, a in after.items()] == [
        (k, str(v.dtype), v.shape) for k, v in before.items()
    ]
    assert after["1.num_batches_tracked"].numpy() == 2
    assert all(np.isfinite(array.numpy()).all() for array in after.values())


@pytest.mark.parametrize("name", MEAN_WITHOUT_MALICIOUS)
def test_without_malicious_clients_the_strategy_is_federated_averaging(name):
    """With M = 0 and equal weights, running statistics and metrics included."""
    clients = {node: equal_client(node) for node in range(1, 8)}
    expected, found = (
        run(strategy, clients=clients, num_rounds=1)
        for strategy in (FedAvg(), build(name, 0))
    )
    for key, array in expected.arrays.items():
        if key != "1.num_batches_tracked":  # FedAvg makes it a real number
            np.testing.assert_allclose(
                found.arrays[key].numpy(), array.numpy(), atol=1e-6
            )
    assert found.train_metrics_clientapp == expected.train_metrics_clientapp


def equal_client(client):
    """Claim ten examples, as all do."""
    honest = honest_client(client)

    def answer(body, message_type):
        answered = honest(body, message_type)
        answered["metrics"]["num-examples"] = 10
        return answered

    return answer


def aggregate(strategy, states, num_errors=0):
    """Aggregate one round of replies with the given arrays, after some errors."""
    arrays = arrays_of(NET)
    replies = [reply(100 + i, Error(code=0, reason="x")) for i in range(num_errors)]
    replies += [reply(node, content(state)) for node, state in enumerate(states)]
    return configured(strategy, arrays).aggregate_train(1, replies)


def test_krum_strategy_returns_the_model_of_an_honest_client():
    """Three reversed clients of ten lie apart; the buffers are the chosen one's too."""
    arrays = arrays_of(NET)
    states = [reversed_update(arrays, c) for c in range(3)]
    states += [honest_update(arrays, c) for c in range(3, 10)]
    record, _ = aggregate(build("krum", 3), states, num_errors=1)
    gaps = [
        sum(np.abs(record[k].numpy() - v).max() for k, v in state.items())
        for state in states
    ]
    assert np.argmin(gaps) >= 3
    assert min(gaps) < 1e-5


def test_buffers_have_no_say_in_the_rules_decisions():
    """Krum chooses the same client whatever another one's running mean is."""
    states = [honest_update(arrays_of(NET), c) for c in range(7)]
    expected, _ = aggregate(build("krum", 1), states)
    for state in states:
        state["1.running_mean"] = state["1.running_mean"] + 50
    found, _ = aggregate(build("krum", 1), states)
    assert [k for k, d in data_of(found) if d != expected[k].data] == ["1.running_mean"]


@pytest.mark.parametrize("name", ["trimmed-mean", "median"])
def test_coordinate_wise_rules_protect_the_buffers(name):
    """One attacked running mean of seven is trimmed like any other coordinate."""
    states = [honest_update(arrays_of(NET), c) for c in range(7)]
    highest = np.max([state["1.running_mean"] for state in states])
    states[0]["1.running_mean"] = states[0]["1.running_mean"] + 50
    record, _ = aggregate(build(name, 1), states)
    assert record["1.running_mean"].numpy().max() <= highest


def test_order_of_a_clients_keys_does_not_matter():
    """Arrays are matched by name."""
    states = [honest_update(arrays_of(NET), c) for c in range(5)]
    expected, _ = aggregate(build("trimmed-mean", 1), states)
    states[1] = dict(reversed(states[1].items()))
    found, _ = aggregate(build("trimmed-mean", 1), states)
    assert data_of(found) == data_of(expected)


def test_deltas_start_from_the_rounds_own_model():
    """With next to no radius the second round's result is the model it began with."""
    strategy = build("centered-clipping", 1, radius=1e-9)
    first, second = (honest_update(arrays_of(NET), client) for client in (50, 51))
    for arrays in (first, second):
        replies = [reply(n, content(honest_update(arrays, n))) for n in range(5)]
        record, _ = configured(strategy, arrays).aggregate_train(1, replies)
        for key, values in arrays.items():
            if "running" not in key and "tracked" not in key:
                np.testing.assert_allclose(record[key].numpy(), values, atol=1e-6)


def test_nothing_received_keeps_the_model():
    """Without replies, or with errors only, there is no aggregate."""
    assert aggregate(build("krum", 1), []) == (None, None)
    assert aggregate(build("krum", 1), [], num_errors=2) == (None, None)


@pytest.mark.parametrize("change", ["shape", "key"])
def test_update_of_another_model_is_refused(change):
    """A shape that would broadcast is named, and so is a key the model lacks."""
    states = [honest_update(arrays_of(NET), c) for c in range(5)]
    for state in states:
        bias = state.pop("0.bias")
        state["0.bias" if change == "shape" else "0.odd"] = bias[:1]
    with pytest.raises(UpdateMismatchError, match=r"'0\.bias'.* fit|fit.* '0\.bias'"):
        aggregate(build("median", 1), states)


def test_number_of_malicious_clients_must_not_be_negative():
    """Minus one is for the run config, not for a strategy."""
    with pytest.raises(ValueError, match="0 or more, got -1"):
        build("krum", -1)


def test_summary_names_the_rule(flower_log):
    """The log tells which rule ran, and against how many."""
    build("geometric-median", 3).summary()
    assert "Rule: geometric-median against 3 malicious" in flower_log.text
    assert "Weighted by: 'num-examples'" in flower_log.text


def test_dnc_draws_anew_every_round_and_the_same_again_from_its_seed():
    """Two strategies of one seed stay together over rounds."""
    first, second = (build("dnc", 2, seed=5).rule for _ in range(2))
    wide = updates_of(draw(1, num_clients=10, length=20_001))
    for _ in range(2):
        assert torch.equal(first(wide, 2).parameters, second(wide, 2).parameters)
