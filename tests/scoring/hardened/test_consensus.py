"""Similarities to consensus, against a search of all majorities, and by hand."""

from itertools import combinations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.testing import assert_close

from flwr_vdcs.scoring.hardened._consensus import (
    agreement_with,
    find_consensus,
    find_copies,
)

seeds = st.integers(0, 2**32 - 1)


def directions(seed: int, clients: int, width: int = 8) -> Tensor:
    """Draw directions without a preference, of length 1."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(clients, width, generator=generator, dtype=torch.float64)
    return rows / rows.norm(dim=1, keepdim=True)


def similarity_of(rows: Tensor) -> Tensor:
    """Compare all pairs."""
    return rows @ rows.T


def clusters(seed: int, near: int, far: int) -> Tensor:
    """Let some clients share most of their direction, and the others none of it."""
    rows = directions(seed, near + far, width=64)
    rows[:, 0] = 0
    rows[:near, 0] = 2
    order = torch.randperm(near + far, generator=torch.Generator().manual_seed(seed))
    return (rows / rows.norm(dim=1, keepdim=True))[order]


def literal_total(similarity: list[list[float]], members: tuple[int, ...]) -> float:
    """Add up the similarities of all pairs of members."""
    return sum(similarity[i][j] for i, j in combinations(members, 2))


def literal_consensus(similarity: Tensor, candidates: list[int]) -> tuple[int, ...]:
    """Try every smallest majority of the candidates."""
    rows, size = similarity.tolist(), len(candidates) // 2 + 1
    majorities = combinations(candidates, size)
    return max(majorities, key=lambda members: literal_total(rows, members))


def places(mask: Tensor) -> list[int]:
    """List where a mask is true."""
    return mask.nonzero().flatten().tolist()


@given(seed=seeds, near=st.integers(3, 6), data=st.data())
def test_finds_a_majority_of_those_who_are_near_each_other(seed, near, data):
    """None of a minority far away; to 2 % as similar as the best of all majorities.

    Exchanging members is no search of all majorities, so that may be missed by little.
    """
    far = data.draw(st.integers(0, near - 1))
    similarity = similarity_of(clusters(seed, near, far))
    found = places(find_consensus(similarity, torch.ones(near + far).bool()))
    best = literal_consensus(similarity, list(range(near + far)))
    rows = similarity.tolist()
    gap = literal_total(rows, best) - literal_total(rows, tuple(found))
    assert gap <= 0.02 * abs(literal_total(rows, best))
    assert set(found) <= set(places(similarity.sum(1) > 1 + 0.4 * near))


@given(seed=seeds, near=st.integers(2, 5))
def test_finds_the_best_majority_where_it_stands_out(seed, near):
    """With as many near each other as a majority has, all others are worse."""
    similarity = similarity_of(clusters(seed, near, near - 1))
    everybody = torch.ones(2 * near - 1).bool()
    found = places(find_consensus(similarity, everybody))
    assert tuple(found) == literal_consensus(similarity, list(range(2 * near - 1)))


@given(seed=seeds, clients=st.integers(1, 12), data=st.data())
def test_is_the_smallest_majority_of_the_candidates(seed, clients, data):
    """Whatever the similarities, more than half of the candidates and nobody else."""
    chosen = st.lists(st.booleans(), min_size=clients, max_size=clients).filter(any)
    candidates = torch.tensor(data.draw(chosen))
    similarity = similarity_of(directions(seed, clients))
    members = find_consensus(similarity, candidates)
    assert not (members & ~candidates).any()
    assert members.sum() == candidates.sum() // 2 + 1


def test_those_who_are_no_candidates_are_not_followed():
    """Three alike are outvoted by four others once two of them may not vote."""
    similarity = torch.full((7, 7), 0.2).double()
    similarity[:3, :3] = 0.9
    similarity.fill_diagonal_(1)
    everybody = torch.ones(7).bool()
    assert places(find_consensus(similarity, everybody))[:3] == [0, 1, 2]
    candidates = torch.tensor([True, False, False, True, True, True, True])
    similarity[3:, 3:] = 0.3
    assert places(find_consensus(similarity, candidates)) == [3, 4, 5]


@given(seed=seeds, order=st.permutations(range(7)))
def test_consensus_follows_the_order_of_clients(seed, order):
    """Permuting the clients permutes the members."""
    similarity = similarity_of(clusters(seed, 4, 3))
    everybody = torch.ones(7).bool()
    permuted = find_consensus(similarity[order][:, order], everybody)
    assert torch.equal(permuted, find_consensus(similarity, everybody)[list(order)])


def test_copies_by_hand():
    """Of differences of 1, one of 0.00005 is a copy's and one of 0.0002 is not."""
    similarity = torch.eye(5).double()
    similarity[0, 1] = similarity[1, 0] = 1 - 5e-5
    similarity[2, 3] = similarity[3, 2] = 1 - 2e-4
    expected = torch.eye(5).bool()
    expected[0, 1] = expected[1, 0] = True
    assert torch.equal(find_copies(similarity), expected)


@pytest.mark.parametrize("share", [1.0, 0.3])
def test_copies_are_found_where_most_layers_are_frozen(share):
    """Layers that do not move make nobody similar to itself, copies included."""
    rows = directions(1, 6)
    rows[4] = rows[5] = rows[0]
    copies = find_copies(share * similarity_of(rows))
    assert places(copies[0]) == [0, 4, 5]
    assert copies.sum() == 6 + 6


@given(seed=seeds, clients=st.integers(2, 8))
def test_honest_directions_are_not_copies(seed, clients):
    """Clients that share most of their direction differ enough among themselves."""
    copies = find_copies(similarity_of(clusters(seed, clients, 0)))
    assert torch.equal(copies, torch.eye(clients).bool())


@given(seed=seeds, honest=st.integers(3, 8), data=st.data())
def test_a_minority_cannot_make_the_others_copies(seed, honest, data):
    """Fewer than half who are far away are in most pairs, and change nothing."""
    opposite = data.draw(st.integers(1, honest - 1))
    rows = clusters(seed, honest + opposite, 0)
    rows[honest:] *= -1
    copies = find_copies(similarity_of(rows))
    assert torch.equal(copies, torch.eye(honest + opposite).bool())


@given(seed=seeds, clients=st.integers(2, 8))
def test_where_all_are_the_same_nobody_is_a_copy(seed, clients):
    """Rounding decides nothing: without a difference between others none is small."""
    row = directions(seed, 1).float().double()
    copies = find_copies(similarity_of(row.repeat(clients, 1)))
    assert torch.equal(copies, torch.eye(clients).bool())


@given(seed=seeds)
def test_agreement_equals_the_definition(seed):
    """The mean over the members who are neither oneself nor a copy, by double loop."""
    generator = torch.Generator().manual_seed(seed)
    similarity = similarity_of(directions(seed, 6))
    members = torch.rand(6, generator=generator) < 0.6
    copies = torch.rand(6, 6, generator=generator) < 0.2
    copies = copies | copies.T | torch.eye(6).bool()
    expected = []
    for i in range(6):
        peers = [j for j in range(6) if members[j] and not copies[i, j]]
        total = sum(similarity[i, j].item() for j in peers)
        expected.append(total / len(peers) if peers else 0.0)
    found = agreement_with(members, similarity, copies)
    assert_close(found, torch.tensor(expected, dtype=torch.float64))


def test_agreement_by_hand():
    """Members 0 and 1: 0.5 with each other, 0.1 and 0.3 with the outsider."""
    similarity = torch.tensor([[1.0, 0.5, 0.1], [0.5, 1.0, 0.3], [0.1, 0.3, 1.0]])
    members, copies = torch.tensor([True, True, False]), torch.eye(3).bool()
    found = agreement_with(members, similarity.double(), copies)
    assert_close(found, torch.tensor([0.5, 0.5, 0.2], dtype=torch.float64))
