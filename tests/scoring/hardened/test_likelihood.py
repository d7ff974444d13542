"""Values to likelihood ratios, against the definitions, by hand, and properties."""

import math
from statistics import NormalDist
from statistics import median as literal_median

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import t as student
from torch import Tensor

from flwr_vdcs.scoring.hardened._likelihood import (
    estimate_variance,
    log_ratio_against,
    log_ratio_gross,
    median,
    others,
)

seeds = st.integers(0, 2**32 - 1)
shares = st.lists(st.floats(-5, 5), min_size=2, max_size=20)
variances = st.floats(1e-3, 10)
values = st.lists(st.floats(-100, 100), min_size=1, max_size=12)


def row(*numbers: float) -> Tensor:
    """Make a float64 row."""
    return torch.tensor(numbers, dtype=torch.float64)


def literal_variance(numbers: list[float], prior: float) -> float:
    """Shrink the h-th smallest distance from the median to the prior."""
    n = len(numbers)
    if n == 0:
        return prior
    h = min(math.ceil(n / 2) + 1, n)
    middle = literal_median(numbers)
    distance = sorted(abs(number - middle) for number in numbers)[h - 1]
    quantile = NormalDist().inv_cdf(0.5 + (h - 0.5) / n / 2)
    return (2 * prior + n * (distance / quantile) ** 2) / (2 + n)


def literal_against(share: float, variance: float, num_clients: int) -> float:
    """Follow the formula for one client."""
    nu, beta = min(float(num_clients), 8.0), max(share, -1.5)
    along = math.log(1 + max(0.0, 1 - beta) ** 2 / (nu * variance))
    against = math.log(1 + max(0.0, beta + 0.5) ** 2 / (nu * variance))
    return (nu + 1) / 2 * (along - against)


def against(numbers: list[float], variance: float) -> list[float]:
    """Weigh some shares that are equally uncertain."""
    share = row(*numbers)
    return log_ratio_against(share, torch.full_like(share, variance)).tolist()


def gross(numbers: list[float], variance: float) -> list[float]:
    """Weigh some lengths that are equally uncertain."""
    excess = row(*numbers)
    return log_ratio_gross(excess, torch.full_like(excess, variance)).tolist()


def test_others_are_the_peers_but_oneself():
    """NaN stands in all other places."""
    found = others(row(1, 2, 3), torch.tensor([True, False, True]))
    expected = [["nan", "nan", "3"], ["1", "nan", "3"], ["1", "nan", "nan"]]
    assert [[f"{x:g}" for x in line] for line in found.tolist()] == expected


def test_others_leaves_the_values_as_they_were():
    """It is no view of them."""
    given_values = row(1, 2)
    others(given_values, torch.tensor([True, True])).fill_(7)
    assert given_values.tolist() == [1, 2]


@given(values=values, missing=st.integers(0, 3))
def test_a_median_is_that_of_the_numbers(values, missing):
    """Between the middle two, and NaN counts for nothing."""
    found = median(row(*values, *[math.nan] * missing)).item()
    assert found == pytest.approx(literal_median(values), abs=1e-9)


@given(values=st.lists(st.floats(-100, 100), max_size=12), prior=st.floats(0, 10))
def test_a_variance_equals_the_definition(values, prior):
    """One number at a time, in whatever row; places without one count for nothing."""
    rows = torch.stack([row(*values, math.nan), row(math.nan, *values)])
    found = estimate_variance(rows, prior).tolist()
    assert found == pytest.approx([literal_variance(values, prior)] * 2)


def test_a_variance_by_hand():
    """Of 0, 1, 2, 3, 4 the fourth distance from 2 is 2, at 1.0364 deviations for 0.7.

    So it is (2 x 1 + 5 x (2 / 1.0364)²) / 7.
    """
    found = estimate_variance(row(0, 1, 2, 3, 4), 1.0).item()
    assert found == pytest.approx((2 + 5 * (2 / 1.0364334) ** 2) / 7, rel=1e-6)


@pytest.mark.parametrize("values", [(), (3.0,), (3.0, 3.0, 3.0)])
def test_without_a_difference_there_is_the_prior(values):
    """Shrunk by as many as there are."""
    n = len(values)
    found = estimate_variance(row(*values, math.nan), 0.5).item()
    assert found == pytest.approx(2 * 0.5 / (2 + n))


@given(seed=seeds, num_honest=st.integers(3, 20), far=st.floats(10, 1e6))
def test_a_variance_withstands_fewer_than_half(seed, num_honest, far):
    """However far they go: it is at most of honest distances, and no infinity.

    A client judges its peers, so of these all attackers are fewer than honest ones.
    """
    generator = torch.Generator().manual_seed(seed)
    honest = torch.randn(num_honest, generator=generator).double()
    attackers = torch.full((num_honest - 2,), far).double()
    found = estimate_variance(torch.cat([honest, attackers]), 1.0).item()
    range_of_honest = (honest.max() - honest.min()).item()
    assert found <= 1.0 + (range_of_honest / 0.674) ** 2


def test_a_variance_of_many_is_the_sample_variance():
    """The prior counts for nothing in the end."""
    drawn = 3 * torch.randn(20000, generator=torch.Generator().manual_seed(0)).double()
    found = estimate_variance(drawn, 1.0).item()
    assert found == pytest.approx(drawn.var().item(), rel=0.05)


@given(values=shares, variance=variances)
def test_against_equals_the_definition(values, variance):
    """One client at a time."""
    n = len(values)
    expected = [literal_against(value, variance, n) for value in values]
    assert against(values, variance) == pytest.approx(expected, abs=1e-9)


def test_against_by_hand():
    """Of four clients with a variance of 1/4 the squared distances are over 1.

    From -1 they are 4 to 1 and 0 to "against": 5/2 ln(1 + 4). From 0 they are 1 and
    1/4, from 1 they are 0 and 9/4, and -2 counts as -3/2, which is 5/2 away from 1.
    """
    found = against([-1, 0, 1, -2], 0.25)
    odds = [5 / 1, 2 / 1.25, 1 / 3.25, 7.25 / 1]
    assert found == pytest.approx([2.5 * math.log(each) for each in odds])


@given(values=st.lists(st.floats(-1.5, 2), min_size=2, max_size=9), variance=variances)
def test_against_is_antisymmetric_about_the_middle(values, variance):
    """What speaks for the one speaks against the other, at 1/4 more and less."""
    turned = against([0.5 - value for value in values], variance)
    assert against(values, variance) == pytest.approx([-x for x in turned], abs=1e-9)


@given(variance=variances, num_clients=st.integers(2, 40))
def test_against_falls_all_the_way_and_is_bounded_above(variance, num_clients):
    """Who goes along more is less suspect, and no share says more than the bound."""
    values = torch.linspace(-1.5, 3, num_clients).tolist()
    found = against(values, variance)
    assert found == sorted(found, reverse=True)
    nu = min(num_clients, 8)
    bound = (nu + 1) / 2 * math.log1p(2.5**2 / (nu * variance))
    assert max(against([-9.0, *values[1:]], variance)) <= bound + 1e-9


@given(share=st.floats(-3, 3), variance=variances, num_clients=st.integers(8, 200))
def test_more_than_eight_clients_say_no_more_than_eight(share, variance, num_clients):
    """Honest shares keep the tails of eight degrees of freedom."""
    along = math.log1p(max(0, 1 - max(share, -1.5)) ** 2 / (8 * variance))
    most = 4.5 * along
    found = against([share] * num_clients, variance)
    assert max(found) <= most + 1e-9
    assert found[0] == pytest.approx(against([share] * 8, variance)[0], abs=1e-12)


@pytest.mark.parametrize("variance", [0.01, 1.0, 10.0])
def test_halfway_is_as_likely_the_one_as_the_other(variance):
    """Whatever the variance; who goes nowhere rather goes against."""
    assert against([0.25, 0.25], variance) == [0.0, 0.0]
    assert against([0.0, 0.5], variance)[0] > 0 > against([0.0, 0.5], variance)[1]


@given(values=values, variance=variances)
def test_gross_equals_the_definition(values, variance):
    """A uniform density up to exp(10) times over that of Student's t distribution."""
    n = len(values)
    deviation = math.sqrt(variance)
    away = [max(value, 0.0) for value in values]
    expected = [-math.log(10) - student.logpdf(x, n, scale=deviation) for x in away]
    assert gross(values, variance) == pytest.approx(expected, abs=1e-8)


def test_gross_by_hand():
    """With one degree of freedom, Cauchy's: ln(π (1 + z²)) + ln s - ln 10."""
    [found] = gross([1.0], 0.25)
    assert found == pytest.approx(math.log(math.pi * 5 * 0.5 / 10))


@given(values=values, variance=variances)
def test_short_updates_are_as_little_gross_as_those_of_expected_length(
    values, variance
):
    """They do no harm."""
    short = gross([-abs(value) for value in values], variance)
    assert short == gross([0.0] * len(values), variance)


@given(variance=variances, num_clients=st.integers(2, 40))
def test_who_is_longer_is_more_gross(variance, num_clients):
    """It rises with the excess."""
    found = gross(torch.linspace(0, 9, num_clients).tolist(), variance)
    assert found == sorted(found)
