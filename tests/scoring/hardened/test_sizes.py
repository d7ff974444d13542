"""Sizes: how long updates are beside what is expected, and what is left of them."""

import math
from statistics import median

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.stats import t as student
from torch import Tensor

from flwr_vdcs.scoring.hardened._sizes import (
    find_gross,
    measure,
    slope,
    unclipped_shares,
    usual_length,
)

seeds = st.integers(0, 2**32 - 1)
GROUPS = (0, 1, 2, 3)
"""Of four arrays the last is a buffer."""


def row(*numbers: float) -> Tensor:
    """Make a float64 row."""
    return torch.tensor(numbers, dtype=torch.float64)


def features_of(norms: Tensor, claims: Tensor | None = None) -> dict:
    """Put together what sizes are measured of."""
    clients, arrays = norms.shape
    return {
        "norms": norms.double(),
        "floors": torch.full_like(norms, 1e-6).double(),
        "groups": torch.tensor(GROUPS[:arrays]).repeat(clients, 1),
        "num_examples": torch.full((clients,), torch.nan).double()
        if claims is None
        else claims,
    }


def drawn(seed: int, clients: int = 6) -> dict:
    """Draw norms of four arrays, some of which have not moved, and claims."""
    generator = torch.Generator().manual_seed(seed)
    norms = torch.randn(clients, 4, generator=generator).double().exp()
    norms[torch.rand(clients, 4, generator=generator) < 0.1] = 0
    claims = torch.randint(1, 2000, (clients,), generator=generator).double()
    return features_of(norms, claims)


def shares_of(found, past: Tensor | None = None) -> Tensor:
    """Tell what is left of clients of whom nothing was noted, or that."""
    nothing = torch.zeros(len(found.length)).double()
    return unclipped_shares(found, nothing if past is None else past)


def literal_slope(x: list[float], y: list[float]) -> float:
    """Take the median over clients of the median slope towards the others."""
    medians = []
    for i in range(len(x)):
        slopes = [
            (y[i] - y[j]) / (x[i] - x[j])
            for j in range(len(x))
            if abs(x[i] - x[j]) > 0.1
        ]
        if slopes:
            medians.append(median(slopes))
    return min(max(median(medians), 0.0), 1.0) if medians else 0.0


def less_typical(values: list[float], moved: list[bool]) -> list[float]:
    """Take the median of those who moved from each."""
    known = [value for value, has in zip(values, moved, strict=True) if has]
    return [value - median(known) if known else 0.0 for value in values]


def literal_sizes(features: dict) -> tuple[list, list, list, list]:
    """Give ratios, shares, excess and length, one number at a time."""
    norms, floors = features["norms"].tolist(), features["floors"].tolist()
    logs = [math.log(claim) for claim in features["num_examples"].tolist()]

    def joint(rows: list[list[float]], arrays: range) -> list[float]:
        return [math.sqrt(math.fsum(row[n] ** 2 for n in arrays)) for row in rows]

    def growth(arrays: range) -> tuple[float, list[float], list[bool]]:
        whole, least = joint(norms, arrays), joint(floors, arrays)
        moved = [a > b for a, b in zip(whole, least, strict=True)]
        length = [math.log(max(a, b)) for a, b in zip(whole, least, strict=True)]
        x = [each for each, has in zip(logs, moved, strict=True) if has]
        y = [each for each, has in zip(length, moved, strict=True) if has]
        return literal_slope(x, y), length, moved

    beta, length, moved = growth(range(3))
    left = [a - beta * b for a, b in zip(length, logs, strict=True)]
    ratios, shares = [[] for _ in norms], [[] for _ in norms]
    for array in range(4):
        slope_of_kind = beta if array < 3 else growth(range(3, 4))[0]
        larger = [max(norms[k][array], floors[k][array]) for k in range(len(norms))]
        has = [norms[k][array] > floors[k][array] for k in range(len(norms))]
        column = [
            math.log(a) - slope_of_kind * b for a, b in zip(larger, logs, strict=True)
        ]
        for k, value in enumerate(less_typical(column, has)):
            ratios[k].append(min(math.exp(value), 2.0) if has[k] else 0.0)
            shares[k].append(min(2.0 / math.exp(value), 1.0))
    return ratios, shares, less_typical(left, moved), length


@given(seed=seeds, clients=st.integers(2, 8))
def test_equals_the_definition(seed, clients):
    """Every number of every client."""
    features = drawn(seed, clients)
    found = measure(features)
    ratios, shares, excess, length = literal_sizes(features)
    for mine, expected in ((found.ratios, ratios), (shares_of(found), shares)):
        assert mine.flatten().tolist() == pytest.approx(
            [number for line in expected for number in line]
        )
    assert found.excess.tolist() == pytest.approx(excess, abs=1e-9)
    assert found.length.tolist() == pytest.approx(length, abs=1e-9)


def test_hand_worked_example():
    """Of 1, 1 and 8 in one array the last is left a quarter, and in another all."""
    norms = torch.tensor([[1.0, 3.0], [1.0, 3.0], [8.0, 3.0]]).double()
    found = measure(features_of(norms))
    shares = shares_of(found).flatten().tolist()
    assert shares == pytest.approx([1, 1, 1, 1, 0.25, 1])
    assert found.ratios.tolist() == [[1, 1], [1, 1], [2, 1]]
    longer = math.log(math.sqrt(73 / 10))
    assert found.excess.tolist() == pytest.approx([0, 0, longer])


def test_an_array_that_has_not_moved_goes_nowhere():
    """Its ratio is 0 though all others have not moved either, and all of it is left."""
    found = measure(features_of(torch.tensor([[1.0, 0.0], [1.0, 0.0]])))
    assert found.ratios.tolist() == [[1, 0], [1, 0]]
    assert shares_of(found).tolist() == [[1, 1], [1, 1]]


def test_who_has_not_moved_does_not_make_others_long():
    """Two of five have trained, one of them on nothing that is longer than usual."""
    norms = torch.tensor([[0.0], [0.0], [0.0], [3.0], [3.0]])
    found = measure(features_of(norms))
    assert found.excess[3:].tolist() == [0, 0]
    assert shares_of(found)[3:].tolist() == [[1], [1]]
    assert found.has_moved.tolist() == [False, False, False, True, True]


def test_buffers_have_a_slope_of_their_own():
    """Parameters do not grow with the claims, buffers as they do: none is clipped."""
    claims = torch.tensor([10.0, 100.0, 1000.0]).double()
    norms = torch.ones(3, 4).double()
    norms[:, 3] = claims
    found = measure(features_of(norms, claims))
    assert shares_of(found).tolist() == [[1] * 4] * 3


def test_buffers_do_not_count_for_the_length():
    """They are clipped all the same."""
    norms = torch.ones(3, 4).double()
    norms[2, 3] = 100
    found = measure(features_of(norms))
    assert found.excess.tolist() == [0, 0, 0]
    assert shares_of(found)[2].tolist() == pytest.approx([1, 1, 1, 0.02])


@given(seed=seeds, factor=st.floats(1e-3, 1e3))
def test_a_common_factor_changes_lengths_only(seed, factor):
    """Updates are compared with the others'."""
    features = drawn(seed)
    features["norms"].clamp_(min=0.1)
    longer = {**features, "norms": factor * features["norms"]}
    longer["floors"] = factor * features["floors"]
    before, after = measure(features), measure(longer)
    assert after.ratios.flatten().tolist() == pytest.approx(
        before.ratios.flatten().tolist()
    )
    assert after.excess.tolist() == pytest.approx(before.excess.tolist(), abs=1e-9)
    moved = (after.length - before.length).tolist()
    assert moved == pytest.approx([math.log(factor)] * 6)


def limits_of(found, past: Tensor) -> list[float]:
    """Tell how many times the expected norm each client's arrays may have."""
    lengths = zip(found.length.tolist(), found.excess.tolist(), strict=True)
    expected = [math.exp(length - excess) for length, excess in lengths]
    return [
        max(2.0, math.exp(then) / now) if then else 2.0
        for then, now in zip(past.tolist(), expected, strict=True)
    ]


@given(seed=seeds)
def test_no_array_is_left_longer_than_is_allowed(seed):
    """Twice what is expected, or what the update once was; what is below stays."""
    found = measure(drawn(seed))
    past = torch.randn(6, generator=torch.Generator().manual_seed(seed)).double()
    past[::2] = 0
    shares = shares_of(found, past)
    for k, limit in enumerate(limits_of(found, past)):
        left = found.away[k].exp() * shares[k]
        assert (left <= limit * (1 + 1e-9)).all()
        assert ((shares[k] == 1) | (left > limit * (1 - 1e-9))).all()


@given(seed=seeds)
def test_nobody_is_clipped_more_for_its_past(seed):
    """A past allows more only."""
    found = measure(drawn(seed))
    past = torch.randn(6, generator=torch.Generator().manual_seed(seed)).double()
    assert (shares_of(found, past) >= shares_of(found)).all()


@given(factor=st.floats(1, 1e6))
def test_who_goes_on_while_the_others_finish_is_not_clipped(factor):
    """By whatever factor the others have become shorter."""
    past = usual_length(sizes_of(*[math.e] * 8), torch.zeros(8).double())
    late = sizes_of(*[math.e / factor] * 7, math.e)
    assert shares_of(late, past).flatten().tolist() == pytest.approx([1] * 8)


@given(factor=st.floats(2.01, 1e6), num_rounds=st.integers(1, 5))
def test_who_was_never_like_the_others_is_clipped_to_twice(factor, num_rounds):
    """However often a boosted update comes, and however short the others become."""
    past = torch.zeros(5).double()
    for n in range(num_rounds):
        found = sizes_of(*[3 / 2**n] * 4, 3 / 2**n * factor)
        past = usual_length(found, past)
    assert shares_of(found, past)[4].item() == pytest.approx(2 / factor)


@given(seed=seeds, clients=st.integers(2, 9))
def test_a_slope_equals_the_definition(seed, clients):
    """By two loops; differences in claims that are too small are passed over."""
    generator = torch.Generator().manual_seed(seed)
    x, y = torch.randn(2, clients, generator=generator).double()
    x = (4 * x).round() / 4 + 0.05 * y
    found = slope(x, y).item()
    assert found == pytest.approx(literal_slope(x.tolist(), y.tolist()), abs=1e-9)


@given(beta=st.floats(0, 1), seed=seeds, num_honest=st.integers(3, 9))
def test_a_slope_is_exact_where_more_than_half_are_on_a_line(beta, seed, num_honest):
    """Wherever the others are."""
    clients = 2 * num_honest - 2
    generator = torch.Generator().manual_seed(seed)
    x = torch.arange(clients).double()[torch.randperm(clients, generator=generator)]
    y = beta * x + 3
    y[num_honest + 1 :] += 50 * torch.randn(num_honest - 3, generator=generator)
    assert slope(x, y).item() == pytest.approx(beta, abs=1e-9)


def test_a_slope_by_hand():
    """Of slopes 1/2, 1/4, 0 the medians are 3/8, 1/4 and 1/8, and of these 1/4."""
    assert slope(row(0, 1, 2), row(0, 0.5, 0.5)).item() == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("y", "expected"), [((0, 2, 4), 1.0), ((0, -2, -4), 0.0), ((1, 1, 1), 0.0)]
)
def test_a_slope_is_from_0_to_1(y, expected):
    """Who has more examples goes no less far, and not more than as many times."""
    assert slope(row(0, 1, 2), row(*y)).item() == expected


@pytest.mark.parametrize("claim", [1.0, 500.0, math.nan])
def test_without_differences_in_claims_there_is_no_slope(claim):
    """Equal claims tell nothing, nor do none."""
    norms = torch.tensor([[1.0], [2.0], [4.0]]).double()
    found = measure(features_of(norms, torch.full((3,), claim).double()))
    expected = [-math.log(2), 0, math.log(2)]
    assert found.excess.tolist() == pytest.approx(expected)


@given(seed=seeds, exponent=st.floats(0, 1))
def test_who_goes_further_for_its_examples_is_not_long(seed, exponent):
    """Norms that grow with claims as a power are as long as is expected."""
    generator = torch.Generator().manual_seed(seed)
    claims = torch.randint(10, 1000, (7,), generator=generator).double()
    claims[:2] = row(10, 1000)
    norms = claims[:, None].pow(exponent).expand(-1, 3)
    found = measure(features_of(norms, claims))
    assert found.excess.tolist() == pytest.approx([0] * 7, abs=1e-9)
    assert (shares_of(found) > 1 - 1e-9).all()


def test_who_claims_nothing_is_not_long_for_it():
    """Among clients whose norms grow with their claims it counts as a usual one."""
    claims = row(100, 200, 400, 800, 1600, math.nan)
    norms = row(10, 20, 40, 80, 160, 40)[:, None]
    found = measure(features_of(norms, claims))
    assert found.excess.abs().max() < 1e-6


def literal_gross(
    excess: list[float], longer: list[float], moved: list[bool], classes: int
) -> list[float]:
    """Weigh each client among the others that moved, who are all peers."""
    least = 0.25 + 1 / (max(classes, 2) - 1)
    found, n = [], len(excess)
    for k in range(n):
        rest = [excess[j] for j in range(n) if j != k and moved[j]]
        h = min(math.ceil(len(rest) / 2) + 1, len(rest))
        away = sorted(abs(x - median(rest)) for x in rest)[h - 1]
        covered = (h - 0.5) / len(rest)
        deviation = away / student.ppf((1 + covered) / 2, 1e12)
        variance = 2 * least**2 + len(rest) * deviation**2
        scale = max(math.sqrt(variance / (2 + len(rest))), least)
        over = max(min(excess[k], longer[k]), 0.0)
        found.append(-math.log(10) - student.logpdf(over, n, scale=scale))
    return found


@given(seed=seeds, clients=st.integers(3, 9), classes=st.integers(0, 12))
def test_gross_equals_the_definition(seed, clients, classes):
    """One client at a time, with and without a past."""
    sizes = measure(drawn(seed, clients))
    generator = torch.Generator().manual_seed(seed + 1)
    past = torch.randn(clients, generator=generator).double()
    past[::2] = 0
    pairs = zip(sizes.length.tolist(), past.tolist(), strict=True)
    longer = [max(now - then, 0) if then else math.inf for now, then in pairs]
    found = find_gross(sizes, past, torch.ones(clients).bool(), float(classes)).tolist()
    moved = sizes.has_moved.tolist()
    assume(sum(moved) > 2)
    expected = literal_gross(sizes.excess.tolist(), longer, moved, classes)
    assert found == pytest.approx(expected, rel=1e-6, abs=1e-6)


def sizes_of(*lengths: float):
    """Measure updates of one array."""
    return measure(features_of(torch.tensor(lengths)[:, None].double()))


@pytest.mark.parametrize("factor", [30.0, 100.0, 1e6])
def test_a_boosted_update_is_gross_and_the_others_are_not(factor):
    """Beyond a hundred times more likely than not."""
    found = find_gross(
        sizes_of(*[1.0] * 7, factor),
        torch.zeros(8).double(),
        torch.ones(8).bool(),
        10.0,
    )
    assert found[7] > math.log(100)
    assert (found[:7] < 0).all()


@given(factor=st.floats(1, 1e6))
def test_who_goes_on_while_the_others_finish_is_not_gross(factor):
    """It is as long as it was, by whatever factor it is longer than they are now."""
    past = usual_length(sizes_of(*[math.e] * 8), torch.zeros(8).double())
    late = sizes_of(*[math.e / factor] * 7, math.e)
    found = find_gross(late, past, torch.ones(8).bool(), 10.0)
    assert (found < 0).all()


@given(seed=seeds)
def test_nobody_is_more_gross_for_its_past(seed):
    """A past takes away only."""
    sizes, everybody = measure(drawn(seed)), torch.ones(6).bool()
    past = torch.randn(6, generator=torch.Generator().manual_seed(seed)).double()
    without = find_gross(sizes, torch.zeros(6).double(), everybody, 10.0)
    assert (find_gross(sizes, past, everybody, 10.0) <= without + 1e-12).all()


@given(factor=st.floats(2.01, 1e4), num_rounds=st.integers(1, 5))
def test_who_was_never_like_the_others_has_no_usual_length(factor, num_rounds):
    """However often a boosted update comes."""
    past = torch.zeros(5).double()
    for _ in range(num_rounds):
        past = usual_length(sizes_of(3, 3, 3, 3, 3 * factor), past)
    assert past.tolist() == pytest.approx([math.log(3)] * 4 + [0])


def test_nobody_climbs_by_steps():
    """What is tolerated only for its past does not become the past."""
    past = torch.zeros(5).double()
    for length in (3.0, 5.5, 10.0, 20.0):
        past = usual_length(sizes_of(3, 3, 3, 3, length), past)
    assert past[4].item() == pytest.approx(math.log(5.5))
