"""Features to scores, against the definition, values by hand, and properties."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.testing import assert_close

from flwr_vdcs import consistency_scores, similarity_matrix
from flwr_vdcs.errors import InvalidArgumentError
from flwr_vdcs.scoring.base import variation


def literal_matrix(features: Tensor) -> list[list[float]]:
    """Compute Eq. 17 with Python floats, one pair and one sample at a time."""
    clients = features.tolist()

    def cosine(a: list[float], b: list[float]) -> float:
        lengths = math.hypot(*a) * math.hypot(*b)
        return (
            math.fsum(x * y for x, y in zip(a, b, strict=True)) / lengths
            if lengths
            else 0.0
        )

    return [
        [
            math.fsum(cosine(a, b) for a, b in zip(f_i, f_j, strict=True)) / len(f_i)
            for f_j in clients
        ]
        for f_i in clients
    ]


def literal_scores(features: Tensor) -> list[float]:
    """Compute Eq. 18 from Eq. 17, leaving out each client itself."""
    matrix = literal_matrix(features)
    return [
        math.fsum(row[:k] + row[k + 1 :]) / (len(row) - 1)
        for k, row in enumerate(matrix)
    ]


def random_features(seed: int, clients: int = 5, width: int = 4) -> Tensor:
    """Draw features of three samples."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn((clients, 3, width), generator=generator)


seeds = st.integers(0, 2**32 - 1)


def test_hand_worked_example():
    """Two clients point along x, one against it: 0 = (1 - 1) / 2, -1 = (-1 - 1) / 2."""
    features = torch.tensor([[[1.0, 0.0]], [[3.0, 0.0]], [[-2.0, 0.0]]])
    expected = torch.tensor([0.0, 0.0, -1.0], dtype=torch.float64)
    assert_close(consistency_scores(features), expected)


def test_hand_worked_angles():
    """Clients at 0, 60 and 90 degrees: cosines 1/2, 0 and sqrt(3)/2 by pairs."""
    degrees = torch.tensor([0.0, 60.0, 90.0], dtype=torch.float64)
    angles = torch.deg2rad(degrees)
    features = torch.stack([angles.cos(), angles.sin()], dim=1)[:, None]
    root = math.sqrt(3) / 2
    expected = torch.tensor([0.25, (0.5 + root) / 2, root / 2], dtype=torch.float64)
    assert_close(consistency_scores(features), expected)


@given(seed=seeds, clients=st.integers(2, 8), width=st.integers(1, 6))
def test_equals_the_definition(seed, clients, width):
    """The linear-time scores are those of the double loop."""
    features = random_features(seed, clients, width)
    expected = torch.tensor(literal_scores(features), dtype=torch.float64)
    assert_close(consistency_scores(features), expected, atol=1e-12, rtol=0)


@given(seed=seeds)
def test_matrix_equals_the_definition(seed):
    """Every pair's similarity is the mean cosine over the samples."""
    features = random_features(seed)
    expected = torch.tensor(literal_matrix(features), dtype=torch.float64)
    assert_close(similarity_matrix(features), expected, atol=1e-12, rtol=0)


@given(seed=seeds, scale=st.floats(1e-30, 1e30))
def test_ignores_length(seed, scale):
    """A client's score does not change with the length of its features."""
    features = random_features(seed)
    longer = features.double()
    longer[0] *= scale
    assert_close(consistency_scores(longer), consistency_scores(features))


@given(seed=seeds, order=st.permutations(range(5)))
def test_follows_the_order_of_clients(seed, order):
    """Permuting the clients permutes the scores."""
    features = random_features(seed)
    assert_close(
        consistency_scores(features[list(order)]),
        consistency_scores(features)[list(order)],
    )


@given(seed=seeds)
def test_stays_within_minus_one_and_one(seed):
    """Scores are mean cosines; the matrix is symmetric with a diagonal of ones."""
    features = random_features(seed)
    assert consistency_scores(features).abs().max() <= 1 + 1e-12
    matrix = similarity_matrix(features)
    assert_close(matrix, matrix.T)
    assert_close(matrix.diagonal(), torch.ones(5, dtype=torch.float64))


def test_zero_features_agree_with_nobody():
    """A vector without a direction has cosine 0 with every other, itself included."""
    features = torch.tensor([[[0.0, 0.0]], [[1.0, 0.0]], [[1.0, 0.0]]])
    expected = torch.tensor([0.0, 0.5, 0.5], dtype=torch.float64)
    assert_close(consistency_scores(features), expected)


def test_huge_and_tiny_features_keep_their_direction():
    """Lengths that overflow or vanish in float32 do not spoil the cosine."""
    features = torch.tensor([[[3e38, 3e38]], [[1e-40, 1e-40]], [[1.0, 1.0]]])
    expected = torch.ones(3, dtype=torch.float64)
    assert_close(consistency_scores(features), expected, atol=1e-6, rtol=0)


def test_identical_noise_raises_its_own_mean():
    """Colluders who send one vector agree with each other: the score's known limit."""
    honest = torch.eye(4)[:, None]
    colluders = torch.full((3, 1, 4), -1.0)
    scores = consistency_scores(torch.cat([honest, colluders]))
    assert scores[4:].min() > scores[:4].max()


def literal_variation(rows: list[list[float]]) -> float:
    """Divide the length of what is not common to the rows by that of all."""
    means = [math.fsum(column) / len(rows) for column in zip(*rows, strict=True)]
    apart = [x - m for row in rows for x, m in zip(row, means, strict=True)]
    length = math.hypot(*(x for row in rows for x in row))
    return math.hypot(*apart) / length if length else 0.0


@given(seed=seeds, width=st.integers(1, 6))
def test_variation_equals_the_definition(seed, width):
    """It is that of the literal sums, and stays within 0 and 1."""
    rows = random_features(seed, width=width)[0]
    found = variation(rows).item()
    assert found == pytest.approx(literal_variation(rows.tolist()), abs=1e-12)
    assert 0 <= found <= 1 + 1e-12


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([[3.0, 4.0], [3.0, 4.0]], 0.0),
        ([[3.0, 4.0], [-3.0, -4.0]], 1.0),
        ([[7.0], [1.0]], math.sqrt(18 / 50)),
        ([[0.0], [0.0]], 0.0),
        ([[5.0, 5.0]], 0.0),
        ([[7e300], [1e300]], math.sqrt(18 / 50)),
    ],
)
def test_variation_by_hand(rows, expected):
    """Equal rows vary by 0, opposite ones by 1; 7 and 1 are 3 from their mean."""
    found = variation(torch.tensor(rows, dtype=torch.float64))
    assert found.item() == pytest.approx(expected)


def test_one_client_has_nobody_to_agree_with():
    """A single client is an error that says what was given."""
    with pytest.raises(InvalidArgumentError, match=r"\(1, 2, 3\).*at least 2 clients"):
        consistency_scores(torch.ones(1, 2, 3))
