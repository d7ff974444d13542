"""Sums to opposition: who works against the others, and where nothing is known."""

import math
from statistics import NormalDist, median

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Tensor

from flwr_vdcs.scoring.hardened import _opposition
from flwr_vdcs.scoring.hardened._agreement import CHANNELS
from flwr_vdcs.scoring.hardened._opposition import WAYS, Opposition, find_opposition
from flwr_vdcs.scoring.hardened._sums import Sums, add_round

seeds = st.integers(0, 2**32 - 1)
PARTS = [way for way in WAYS if way != "whole"]
PLACES = {
    "whole": (0, 1, 2, 3, 4, 5),
    "weights": (0,),
    "head": (2, 4),
}
"""Which channels of weights, vectors, head, momentum, alignment and effect count."""


def weighed(
    channels: dict[str, Tensor], num_classes: int = 10
) -> dict[str, Opposition]:
    """Weigh one round in which everybody is a peer."""
    clients = len(next(iter(channels.values())))
    return weigh(add_round(channels, torch.ones(clients).bool(), {}), num_classes)


def weigh(sums: Sums, num_classes: int = 10) -> dict[str, Opposition]:
    """Weigh sums of clients who are all peers."""
    everybody = torch.ones(len(sums.rounds)).bool()
    return find_opposition(sums, everybody, float(num_classes))


def sums_of(seed: int, clients: int, mean: float, num_rounds: int) -> Sums:
    """Add up rounds; of one client in five the first is not remembered."""
    everybody = torch.ones(clients).bool()
    remembered: dict[str, Tensor] = {}
    for n in range(num_rounds):
        sums = add_round(drawn(seed + n, clients, mean), everybody, remembered)
        remembered = {name: each.clone() for name, each in sums.remembered().items()}
        if n == 0:
            for each in remembered.values():
                each[::5] = 0
    return sums


def going(*along: float) -> dict[str, Tensor]:
    """Let clients go along so far in all channels."""
    return dict.fromkeys(CHANNELS, torch.tensor(along, dtype=torch.float64))


def drawn(seed: int, clients: int, mean: float = 0.5) -> dict[str, Tensor]:
    """Draw how far clients go along in each channel."""
    generator = torch.Generator().manual_seed(seed)
    shape = (len(CHANNELS), clients)
    rows = mean + 0.2 * torch.randn(shape, generator=generator).double()
    return dict(zip(CHANNELS, rows, strict=True))


def literal_square(possible: list[float], spread: list[float], rounds: float) -> float:
    """Take the mean of squared medians less chance, weighted by what they tell."""
    told = [max(p, 0.0) for p in possible]
    squares = [p / rounds * v / rounds for p, v in zip(told, spread, strict=True)]
    return sum(p * x for p, x in zip(told, squares, strict=True)) / max(
        sum(told), 1e-12
    )


def literal_disagreement(gained: list[float], possible: list[float]) -> float:
    """Take the weighted variance of a client's channels over how many there are."""
    known = [(g / p, p) for g, p in zip(gained, possible, strict=True) if p > 1e-12]
    if not known:
        return 0.0
    whole = sum(p for _, p in known)
    shares = [(min(max(x, -2.0), 2.0), p / whole) for x, p in known]
    mean = sum(x * p for x, p in shares)
    return sum(p * (x - mean) ** 2 for x, p in shares) / len(known)


def literal_opposition(
    way: str, sums: Sums, num_classes: int, difference: float = 0.04
) -> tuple[list[float], list[float]]:
    """Weigh one client after the other, all of them peers."""
    n, rounds = len(sums.rounds), sums.rounds.tolist()
    gained, possible, seen, spread = (
        each[list(PLACES[way])].T.tolist()
        for each in (sums.gained, sums.possible, sums.seen, sums.spread)
    )
    is_told = [sum(p) > 1e-12 for p in possible]
    beta = [sum(gained[k]) / sum(possible[k]) if is_told[k] else 0.0 for k in range(n)]
    shares, ratios = [0.0] * n, [0.0] * n
    for k in range(n):
        rest = [beta[j] for j in range(n) if j != k and is_told[j]]
        common = median(rest) if rest else 0.0
        if not is_told[k] or common <= 1e-12:
            continue
        prior = (0.4 + 1 / (max(num_classes, 2) - 1)) ** 2
        chance = sum(seen[k]) ** 2 / max(seen[k]) / sum(possible[k]) ** 2
        square = max(literal_square(possible[k], spread[k], rounds[k]), 1e-12)
        assumed = prior + chance / common**2 + difference**2 / square
        v = literal_variance([each / common for each in rest], assumed)
        v = max(v, 1 / (max(num_classes, 2) - 1) ** 2)
        if way == "whole":
            v += literal_disagreement(gained[k], possible[k]) / common**2
        shares[k] = beta[k] / common
        ratios[k] = literal_against(shares[k], v, n)
    return shares, ratios


def literal_against(share: float, variance: float, num_clients: int) -> float:
    """Weigh "against", from -1/2 on, against "along", from 1 on."""
    nu, within = min(num_clients, 8), max(share, -1.5)
    far = [max(0.0, away) ** 2 for away in (1 - within, within + 0.5)]
    along, against = (math.log(1 + each / (nu * variance)) for each in far)
    return (nu + 1) / 2 * (along - against)


def literal_variance(values: list[float], prior: float) -> float:
    """Estimate a variance robustly, shrunk to the prior."""
    n = len(values)
    h = min(math.ceil(n / 2) + 1, n)
    away = sorted(abs(value - median(values)) for value in values)[h - 1]
    deviation = away / NormalDist().inv_cdf(0.5 + (h - 0.5) / n / 2)
    return (2 * prior + n * deviation**2) / (2 + n)


def assert_equals(found: Opposition, expected: tuple[list[float], list[float]]) -> None:
    """Compare shares and ratios."""
    shares, ratios = expected
    assert found.share.tolist() == pytest.approx(shares, rel=1e-5, abs=1e-7)
    assert found.log_ratio.tolist() == pytest.approx(ratios, rel=1e-5, abs=1e-7)


def tells(sums: Sums) -> bool:
    """Tell whether in each of `WAYS` a sum is either zero or not by rounding only."""
    totals = [sums.possible[list(places)].sum(0) for places in PLACES.values()]
    return all(((each == 0) | (each.abs() > 1e-4)).all() for each in totals)


@pytest.mark.parametrize("way", WAYS)
@given(
    seed=seeds,
    clients=st.integers(3, 12),
    mean=st.floats(-0.1, 0.8),
    num_rounds=st.integers(1, 3),
    num_classes=st.integers(0, 20),
)
def test_equals_the_definition(  # noqa: PLR0917
    way, seed, clients, mean, num_rounds, num_classes
):
    """Shares and ratios of one client at a time, after some rounds."""
    sums = sums_of(seed, clients, mean, num_rounds)
    assume(tells(sums))
    found = weigh(sums, num_classes)
    assert_equals(found[way], literal_opposition(way, sums, num_classes))


@pytest.mark.parametrize("way", WAYS)
def test_where_nothing_differs_for_good_the_term_is_gone(way, monkeypatch):
    """With a standard deviation of 0 all is as without it, and before it was not."""
    sums = sums_of(1, 7, 0.3, 2)
    before = weigh(sums)[way]
    monkeypatch.setattr(_opposition, "PRIOR_DIFFERENCE", 0.0)
    after = weigh(sums)[way]
    assert_equals(after, literal_opposition(way, sums, 10, difference=0.0))
    assert torch.equal(before.share, after.share)
    assert (before.log_ratio.abs() < after.log_ratio.abs()).all()


@given(seed=seeds, clients=st.integers(3, 9), mean=st.floats(-0.1, 0.8))
def test_a_typical_square_equals_the_definition(seed, clients, mean):
    """One client at a time; channels that tell nothing count for nothing."""
    sums = sums_of(seed, clients, mean, 2)
    places = list(range(len(CHANNELS)))
    found = _opposition._typical_square(sums.possible, sums, places).tolist()
    possible, spread = sums.possible.T.tolist(), sums.spread.T.tolist()
    expected = [
        max(literal_square(p, v, r), 1e-12)
        for p, v, r in zip(possible, spread, sums.rounds.tolist(), strict=True)
    ]
    assert found == pytest.approx(expected, rel=1e-9)


def test_a_typical_square_of_one_round_by_hand():
    """All go along by 1/2: a quarter, less what a median of 5 is off by chance."""
    sums = add_round(going(*[0.5] * 5), torch.ones(5).bool(), {})
    found = _opposition._typical_square(sums.possible, sums, list(range(6)))
    chance = math.pi / 2 / 5 * (2 * 0.15**2 / 7)
    assert found.tolist() == pytest.approx([0.25 - chance] * 5)


def test_a_typical_square_of_two_channels_by_hand():
    """Of two rounds 1 x 2 / 4 and 3 x 4 / 4 with weights of 1 and 3; below 0 is none.

    That is (1/2 + 9) / 4.
    """
    column = torch.tensor([[1.0], [3.0], [-5.0]]).double()
    spread = torch.tensor([[2.0], [4.0], [9.0]]).double()
    sums = Sums(column, column, column, spread, torch.tensor([2.0]).double())
    found = _opposition._typical_square(column, sums, [0, 1, 2])
    assert found.tolist() == pytest.approx([9.5 / 4])


@given(seed=seeds, clients=st.integers(1, 9), mean=st.floats(-0.1, 0.8))
def test_disagreement_equals_the_definition(seed, clients, mean):
    """One client at a time; what is beyond 2, or not known, counts as that or not."""
    sums = sums_of(seed, clients, mean, 2)
    gained, possible = 3 * sums.gained, sums.possible
    assume((possible.abs() > 1e-9).all())
    found = _opposition._disagreement(gained, possible).tolist()
    pairs = zip(gained.T.tolist(), possible.T.tolist(), strict=True)
    expected = [literal_disagreement(*pair) for pair in pairs]
    assert found == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_disagreement_by_hand():
    """Shares of 1 and -1 with weights of 3/4 and 1/4 differ by 3/4, over 2 channels.

    So do they with a third that tells nothing; -7 counts as -2, and one share alone
    does not differ.
    """
    gained = torch.tensor([[3.0, 3.0, 1.0, 5.0], [-1.0, -1.0, -7.0, 0.0]]).double()
    possible = torch.tensor([[3.0, 3.0, 1.0, 5.0], [1.0, 1.0, 1.0, 0.0]]).double()
    nothing = torch.tensor([[0.0, 4.0, 0.0, 9.0], [0.0, -2.0, 0.0, -1.0]]).double()
    found = _opposition._disagreement(
        torch.cat([gained, nothing[:1]]), torch.cat([possible, nothing[1:]])
    )
    assert found.tolist() == pytest.approx([3 / 8, 3 / 8, 9 / 8, 0])


@given(
    seed=seeds,
    mean=st.floats(-0.1, 0.8),
    fewer=st.integers(0, 30),
    more=st.integers(0, 30),
)
def test_fewer_classes_never_say_more(seed, mean, fewer, more):
    """The share is the same and the ratio nearer to zero, for or against."""
    sums = sums_of(seed, 6, mean, 1)
    few, many = (weigh(sums, n) for n in sorted((fewer, more)))
    for way in WAYS:
        assert torch.equal(few[way].share, many[way].share)
        assert (few[way].log_ratio * many[way].log_ratio >= 0).all()
        least, most = few[way].log_ratio.abs(), many[way].log_ratio.abs()
        assert (least <= most * (1 + 1e-9) + 1e-12).all()


def test_one_class_or_none_counts_as_two():
    """As there is one output for two classes, or no head to count."""
    sums = sums_of(1, 6, 0.5, 1)
    none, one, two, three = (weigh(sums, n) for n in range(4))
    for way in WAYS:
        assert torch.equal(none[way].log_ratio, two[way].log_ratio)
        assert torch.equal(one[way].log_ratio, two[way].log_ratio)
        assert not torch.equal(three[way].log_ratio, two[way].log_ratio)


@pytest.mark.parametrize(("num_classes", "is_accused"), [(10, True), (2, False)])
def test_one_of_six_who_is_reversed_is_accused_where_there_are_classes(
    num_classes, is_accused
):
    """Of two classes honest hospitals may be as different as that."""
    found = weighed(going(*[0.5] * 5, -0.5), num_classes)
    strongest = torch.stack([each.log_ratio for each in found.values()]).amax(0)
    assert (strongest[5].item() > math.log(100)) == is_accused
    assert strongest[5] > 0 > strongest[:5].max()


@given(
    num_alike=st.integers(2, 60),
    num_others=st.integers(1, 9),
    against=st.floats(-9, -0.01),
    num_rounds=st.integers(1, 4),
)
def test_of_two_classes_nobody_is_accused_however_alike_the_others_are(
    num_alike, num_others, against, num_rounds
):
    """A few hospitals may hold all cases of one class, which the many lack."""
    channels = going(*[0.5] * num_alike, *[against] * num_others)
    everybody = torch.ones(num_alike + num_others).bool()
    remembered: dict[str, Tensor] = {}
    for _ in range(num_rounds):
        sums = add_round(channels, everybody, remembered)
        remembered = sums.remembered()
    for each in weigh(sums, num_classes=2).values():
        assert (each.log_ratio < math.log(100)).all()
        assert (each.most < math.log(100)).all()


@given(seed=seeds, clients=st.integers(3, 12), mean=st.floats(-0.1, 0.8))
def test_nobody_is_accused_by_more_than_the_most(seed, clients, mean):
    """It is what a share of -3/2 would have, and 0 where nothing is known."""
    sums = sums_of(seed, clients, mean, 2)
    for each in weigh(sums).values():
        assert (each.log_ratio <= each.most + 1e-12).all()
        furthest = each.share <= -1.5
        assert torch.equal(each.log_ratio[furthest], each.most[furthest])
        assert torch.equal(each.most == 0, each.log_ratio == 0)


def test_a_reversed_client_of_ten_like_clients_is_accused():
    """Of all of them it alone, a hundred times more likely than not."""
    found = weighed(going(*[0.5] * 9, -0.5))["whole"]
    assert found.log_ratio[9] > math.log(100)
    assert (found.log_ratio[:9] < 0).all()
    assert found.share[9].item() == pytest.approx(-1, abs=0.05)


@pytest.mark.parametrize("way", PARTS)
def test_who_turns_one_part_only_is_most_suspect_there(way):
    """Other parts do not suffer for it."""
    channels = going(*[0.5] * 20)
    for name in WAYS[way]:
        channels[name] = torch.tensor([0.5] * 19 + [-0.5]).double()
    found = weighed(channels)
    assert found[way].log_ratio[19] > 0
    assert all(found[other].log_ratio[19] < 0 for other in PARTS if other != way)


def test_of_four_who_disagree_hardly_anybody_is_accused():
    """Four directions without anything in common tell nothing but by chance."""
    found = [weighed(drawn(seed, 4, 0.0)).values() for seed in range(200)]
    ratios = torch.cat([each.log_ratio for ways in found for each in ways])
    assert (ratios > math.log(100)).double().mean() <= 0.01


@given(seed=seeds)
def test_where_nothing_is_common_nothing_is_known(seed):
    """Shares and ratios are zero."""
    for each in weighed(drawn(seed, 7, -2.0)).values():
        assert not each.share.any()
        assert not each.log_ratio.any()


@given(seed=seeds, order=st.permutations(range(6)))
def test_follows_the_order_of_clients(seed, order):
    """Permuting the clients permutes what is found."""
    channels = drawn(seed, 6)
    permuted = weighed({name: along[order] for name, along in channels.items()})
    for way, each in weighed(channels).items():
        expected = each.log_ratio[order].tolist()
        assert permuted[way].log_ratio.tolist() == pytest.approx(expected, abs=1e-9)


def test_channels_that_disagree_tell_less():
    """Who goes against in some and along in others is less surely against."""
    channels = going(*[0.5] * 9, -0.5)
    mixed = {**channels, "momentum": torch.tensor([0.5] * 10).double()}
    turned = weighed(channels)["whole"].log_ratio[9]
    assert weighed(mixed)["whole"].log_ratio[9] < turned
