"""Evidence to agreement, against the table of channels, by hand, and properties."""

import math
from statistics import median

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from flwr_vdcs.scoring.hardened._agreement import CHANNELS, compare
from flwr_vdcs.scoring.hardened._sizes import measure

GROUPS = ("weights", "vectors", "head", "buffers")
LAYOUTS = (
    ("weights", "vectors", "buffers", "weights", "vectors", "buffers", "head", "head"),
    ("head", "weights", "head", "weights", "weights"),
    ("head", "buffers"),
)
"""Of which group each array of a model is, in the order of its state."""

seeds = st.integers(0, 2**32 - 1)
layouts = st.sampled_from(LAYOUTS)


def unit(rows: Tensor) -> Tensor:
    """Give rows a length of 1."""
    return rows / rows.norm(dim=-1, keepdim=True)


def drawn(seed: int, layout: tuple[str, ...], clients: int, copies: int = 0) -> dict:
    """Draw what is compared; the last clients send what the first one does."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        values = torch.randn(shape, generator=generator).double()
        values[clients - copies :] = values[0].clone()
        return values

    norms = draw(clients, len(layout)).exp()
    directions = {
        f"direction {group} {place}": unit(0.3 + draw(clients, 8))
        for place, group in enumerate(layout)
        if group != "buffers"
    }
    return {
        **directions,
        "norms": norms,
        "floors": torch.full_like(norms, 1e-9),
        "groups": torch.tensor([[GROUPS.index(g) for g in layout]] * clients),
        "momentum": draw(clients, len(layout)).tanh(),
        "alignment": draw(clients).tanh(),
        "effect": unit(0.3 + draw(clients, 8)),
        "effect_norm": draw(clients).exp(),
        "num_examples": torch.full((clients,), math.nan).double(),
    }


def channels_of(features: dict) -> dict[str, list[float]]:
    """Compare, with sizes as measured, and give lists."""
    channels, _ = compare(features, measure(features))
    return {name: along.tolist() for name, along in channels.items()}


def cosine(a: list[float], b: list[float]) -> float:
    """Multiply two directions of length 1."""
    return math.fsum(x * y for x, y in zip(a, b, strict=True))


def mean(values: list[float]) -> float:
    """Add up and divide."""
    return math.fsum(values) / len(values)


def literal_ratios(norms: list[list[float]]) -> list[list[float]]:
    """Divide by the geometric median, as without claims; no more than 2."""
    columns = zip(*norms, strict=True)
    expected = [math.exp(median(math.log(n) for n in column)) for column in columns]
    return [
        [min(n / e, 2.0) for n, e in zip(client, expected, strict=True)]
        for client in norms
    ]


def literal_channels(features: dict, peers: list[list[int]]) -> dict[str, list[float]]:
    """Follow the table, one client and one array at a time.

    ``peers`` are the others over whom each client's medians are.
    """
    clients = range(len(peers))
    groups = [GROUPS[place] for place in features["groups"][0].tolist()]
    ratios = literal_ratios(features["norms"].tolist())
    momentum = features["momentum"].tolist()
    alignment = features["alignment"].tolist()
    effect, norms = features["effect"].tolist(), features["effect_norm"].tolist()

    def along(k: int, j: int, group: str) -> float:
        terms = []
        for place in (place for place, each in enumerate(groups) if each == group):
            rows = features[f"direction {group} {place}"].tolist()
            terms.append(ratios[k][place] * cosine(rows[k], rows[j]))
        return mean(terms)

    def middle(values: list[float]) -> float:
        return median(values) if values else 0.0

    found = {
        group: [middle([along(k, j, group) for j in peers[k]]) for k in clients]
        for group in ("weights", "vectors", "head")
        if group in groups
    }
    parameters = [place for place, group in enumerate(groups) if group != "buffers"]
    head = [place for place, group in enumerate(groups) if group == "head"]
    long = [min(norm / median(norms), 2.0) for norm in norms]
    return {
        **found,
        "momentum": [mean([ratios[k][p] * momentum[k][p] for p in parameters])
                     for k in clients],
        "alignment": [alignment[k] * mean([ratios[k][p] for p in head])
                      for k in clients],
        "effect": [middle([long[k] * cosine(effect[k], effect[j]) for j in peers[k]])
                   for k in clients],
    }  # fmt: skip


def assert_same(
    found: dict[str, list[float]], expected: dict[str, list[float]]
) -> None:
    """Compare all channels."""
    assert found.keys() == expected.keys()
    for name, along in expected.items():
        assert found[name] == pytest.approx(along, abs=1e-9), name


@given(seed=seeds, layout=layouts, clients=st.integers(2, 8))
def test_equals_the_definition(seed, layout, clients):
    """All channels that the model has, where everybody is a peer."""
    features = drawn(seed, layout, clients)
    peers = [[j for j in range(clients) if j != k] for k in range(clients)]
    assert_same(channels_of(features), literal_channels(features, peers))


@given(seed=seeds, layout=layouts, clients=st.integers(6, 9), copies=st.integers(1, 2))
def test_copies_count_once(seed, layout, clients, copies):
    """No median is over later copies of the first client, nor over a copy of oneself.

    Only who is no later copy counts among the peers of the rounds.
    """
    features = drawn(seed, layout, clients, copies)
    same = [0, *range(clients - copies, clients)]
    once = range(clients - copies)
    peers = [[j for j in once if j != k and not (k in same and j == 0)]
             for k in range(clients)]  # fmt: skip
    assert_same(channels_of(features), literal_channels(features, peers))
    _, is_first = compare(features, measure(features))
    assert is_first.tolist() == [k in once for k in range(clients)]


def by_hand(norms: list[float]) -> dict:
    """Let three clients move one matrix of the body, and nothing else."""
    directions = torch.tensor([[1, 0], [0.6, 0.8], [-1, 0]], dtype=torch.float64)
    features = drawn(0, ("weights", "head"), 3)
    features["direction weights 0"] = features["effect"] = directions
    features["direction head 1"] = torch.zeros(3, 1).double()
    features["norms"] = torch.tensor([[norm, 0.0] for norm in norms]).double()
    features["effect_norm"] = features["norms"][:, 0]
    features["momentum"] = torch.tensor([[0.5, 0.5]] * 3).double()
    return features


def test_three_clients_by_hand():
    """Cosines are 0.6, -1 and -0.6, and the last is counted as twice as long.

    So the first goes (0.6 - 1) / 2, the second (0.6 - 0.6) / 2, and the third
    2 (-1 - 0.6) / 2. The momentum is a mean over two arrays, of which one rests.
    """
    assert_same(
        channels_of(by_hand([1, 1, 8])),
        {
            "weights": [-0.2, 0, -1.6],
            "head": [0, 0, 0],
            "momentum": [0.25, 0.25, 0.5],
            "alignment": [0, 0, 0],
            "effect": [-0.2, 0, -1.6],
        },
    )


def test_channels_have_the_names_that_are_declared():
    """A model without biases or scales before its head has one less."""
    assert set(channels_of(drawn(1, LAYOUTS[0], 4))) == set(CHANNELS)
    assert set(CHANNELS) - set(channels_of(drawn(1, LAYOUTS[1], 4))) == {"vectors"}


@given(seed=seeds, layout=layouts, clients=st.integers(2, 8))
def test_who_turns_around_goes_as_far_the_other_way(seed, layout, clients):
    """In all channels."""
    features = drawn(seed, layout, clients)
    turned = {name: value.clone() for name, value in features.items()}
    for name in turned:
        if name.startswith("direction") or name in {"momentum", "alignment", "effect"}:
            turned[name][0] *= -1
    before, after = channels_of(features), channels_of(turned)
    for name, along in before.items():
        assert after[name][0] == pytest.approx(-along[0], abs=1e-9)


@given(seed=seeds, layout=layouts)
def test_who_does_not_move_goes_nowhere(seed, layout):
    """In no channel, and it is nobody's copy."""
    features = drawn(seed, layout, 5)
    for name in features:
        if name not in {"floors", "groups", "num_examples"}:
            features[name][3] = 0
    channels, is_first = compare(features, measure(features))
    assert [along[3].item() for along in channels.values()] == [0] * len(channels)
    assert is_first.all()


@given(seed=seeds, factor=st.floats(1, 1e6))
def test_nobody_goes_further_than_twice_for_its_length(seed, factor):
    """However long its update is."""
    features = drawn(seed, LAYOUTS[0], 5)
    features["norms"][2], features["effect_norm"][2] = 1e3, 1e3
    before = channels_of(features)
    features["norms"][2] *= factor
    features["effect_norm"][2] *= factor
    assert channels_of(features).keys() == before.keys()
    for name, along in channels_of(features).items():
        assert abs(along[2]) <= 2 + 1e-9
        assert along == pytest.approx(before[name], abs=1e-9)
