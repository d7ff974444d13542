"""Directions to copies, by hand, and properties."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from flwr_vdcs.scoring.hardened._copies import find_copies

seeds = st.integers(0, 2**32 - 1)


def directions(seed: int, clients: int, width: int = 8) -> Tensor:
    """Draw directions without a preference, of length 1."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(clients, width, generator=generator, dtype=torch.float64)
    return rows / rows.norm(dim=1, keepdim=True)


def similarity_of(rows: Tensor) -> Tensor:
    """Compare all pairs."""
    return rows @ rows.T


def alike(seed: int, clients: int) -> Tensor:
    """Let clients share most of their direction."""
    rows = directions(seed, clients, width=64)
    rows[:, 0] = 2
    return rows / rows.norm(dim=1, keepdim=True)


def literal_copies(rows: list[list[float]]) -> list[list[bool]]:
    """Compare squared distances with the median of medians, pair by pair."""
    far = [
        [sum((x - y) ** 2 for x, y in zip(a, b, strict=True)) / 2 for b in rows]
        for a in rows
    ]
    n = len(rows)
    lower = lambda values: sorted(values)[(len(values) - 1) // 2]  # noqa: E731
    typical = lower([lower([far[i][j] for j in range(n) if j != i]) for i in range(n)])
    longest = max(sum(x * x for x in row) for row in rows)
    is_rounding = typical <= 2**-23 * longest
    moved = [any(row) and not is_rounding for row in rows]
    return [
        [i == j or (far[i][j] < 1e-4 * typical and moved[i] and moved[j])
         for j in range(n)]
        for i in range(n)
    ]  # fmt: skip


def places(mask: Tensor) -> list[int]:
    """List where a mask is true."""
    return mask.nonzero().flatten().tolist()


@given(seed=seeds, clients=st.integers(3, 8), copied=st.integers(0, 2))
def test_equals_the_definition(seed, clients, copied):
    """One pair at a time; the last clients send what the first does, or nothing."""
    rows = directions(seed, clients)
    rows[clients - copied :] = rows[0]
    rows[1] *= seed % 2
    found = find_copies(similarity_of(rows)).tolist()
    assert found == literal_copies(rows.tolist())


def test_copies_by_hand():
    """Of differences of 1, one of 0.00005 is a copy's and one of 0.0002 is not."""
    similarity = torch.eye(5).double()
    similarity[0, 1] = similarity[1, 0] = 1 - 5e-5
    similarity[2, 3] = similarity[3, 2] = 1 - 2e-4
    expected = torch.eye(5).bool()
    expected[0, 1] = expected[1, 0] = True
    assert torch.equal(find_copies(similarity), expected)


@pytest.mark.parametrize("length", [1.0, 40.0])
@pytest.mark.parametrize(("typical", "found"), [(1.1e-7, 0), (1.3e-7, 2)])
def test_differences_below_single_precision_are_rounding(length, typical, found):
    """Of a share of 2^-23 = 1.19e-7 of a square; above it two who agree are copies."""
    similarity = torch.full((5, 5), 1 - typical, dtype=torch.float64)
    similarity.fill_diagonal_(1)
    similarity[0, 1] = similarity[1, 0] = 1
    copies = find_copies(length * similarity)
    assert (copies.sum() - 5).item() == found


@pytest.mark.parametrize("share", [1.0, 0.3])
def test_copies_are_found_where_most_layers_are_frozen(share):
    """Layers that do not move make nobody similar to itself, copies included."""
    rows = directions(1, 6)
    rows[4] = rows[5] = rows[0]
    copies = find_copies(share * similarity_of(rows))
    assert places(copies[0]) == [0, 4, 5]
    assert copies.sum() == 6 + 6


def test_who_sends_nothing_new_is_nobodys_copy():
    """Two empty updates are alike, and neither is a copy."""
    rows = directions(1, 6)
    rows[4] = rows[5] = 0
    assert torch.equal(find_copies(similarity_of(rows)), torch.eye(6).bool())


@given(seed=seeds, clients=st.integers(2, 8))
def test_honest_directions_are_not_copies(seed, clients):
    """Clients that share most of their direction differ enough among themselves."""
    copies = find_copies(similarity_of(alike(seed, clients)))
    assert torch.equal(copies, torch.eye(clients).bool())


@given(seed=seeds, honest=st.integers(3, 8), data=st.data())
def test_a_minority_cannot_make_the_others_copies(seed, honest, data):
    """Fewer than half who are far away are in most pairs, and change nothing."""
    opposite = data.draw(st.integers(1, honest - 1))
    rows = alike(seed, honest + opposite)
    rows[honest:] *= -1
    copies = find_copies(similarity_of(rows))
    assert torch.equal(copies, torch.eye(honest + opposite).bool())


@given(seed=seeds, clients=st.integers(2, 8))
def test_where_all_are_the_same_nobody_is_a_copy(seed, clients):
    """Rounding decides nothing: without a difference between others none is small."""
    row = directions(seed, 1).float().double()
    copies = find_copies(similarity_of(row.repeat(clients, 1)))
    assert torch.equal(copies, torch.eye(clients).bool())


@given(seed=seeds, clients=st.integers(4, 8))
def test_where_most_are_the_same_nobody_is_a_copy(seed, clients):
    """The same holds where a few others differ: most differences are rounding."""
    rows = directions(seed, clients)
    rows[clients // 2 - 1 :] = rows[0]
    copies = find_copies(similarity_of(rows))
    assert torch.equal(copies, torch.eye(clients).bool())


@given(seed=seeds, order=st.permutations(range(7)))
def test_follows_the_order_of_clients(seed, order):
    """Permuting the clients permutes the pairs."""
    rows = directions(seed, 7)
    rows[6] = rows[2]
    permuted = find_copies(similarity_of(rows[order]))
    assert torch.equal(permuted, find_copies(similarity_of(rows))[order][:, order])
