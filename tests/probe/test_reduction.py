"""Long rows to short ones: the count sketch, against sums written out one by one."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from flwr_vdcs.probe._reduction import (
    MAX_COORDINATES,
    NUM_BUCKETS,
    Kept,
    Sketch,
    collector_for,
)

seeds = st.integers(0, 2**32 - 1)
widths = st.lists(st.integers(1, 40), min_size=1, max_size=4)


def sketched(rows, seed=0, num_buckets=NUM_BUCKETS, widths=None):
    """Project rows that come in parts of some widths."""
    sketch = Sketch(seed, num_buckets)
    for part in rows.split(widths or [rows.shape[1]], dim=1):
        sketch.add(part)
    return sketch.rows()


def literal_sketch(rows, seed, num_buckets):
    """Add up one number at a time; each run over the buckets draws its signs."""
    generator = torch.Generator().manual_seed(seed)
    sums = [[0.0] * num_buckets for _ in rows]
    for place in range(rows.shape[1]):
        bucket = place % num_buckets
        if bucket == 0:
            drawn = torch.randint(2, (num_buckets,), generator=generator).tolist()
        for row, values in zip(sums, rows.tolist(), strict=True):
            row[bucket] += values[place] if drawn[bucket] else -values[place]
    return torch.tensor(sums, dtype=rows.dtype)


@given(seed=seeds, widths=widths, num_buckets=st.integers(1, 13))
def test_equals_the_definition_in_whatever_parts_the_rows_come(
    seed, widths, num_buckets
):
    """To the last digits; the buckets go on from part to part."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(3, sum(widths), generator=generator, dtype=torch.float64)
    expected = literal_sketch(rows, seed, num_buckets)
    assert_close(sketched(rows, seed, num_buckets, widths), expected)


@given(seed=seeds, factor=st.floats(-100, 100))
def test_is_linear(seed, factor):
    """So a change of projected answers is the projected change."""
    rows = torch.randn(2, 50, generator=torch.Generator().manual_seed(seed)).double()
    left, right = sketched(rows[:1], seed, 7), sketched(rows[1:], seed, 7)
    both = sketched(rows[:1] + factor * rows[1:], seed, 7)
    assert_close(both, left + factor * right)


def test_inner_products_are_right_on_average():
    """Over 800 seeds, within five standard errors."""
    rows = torch.randn(2, 60, generator=torch.Generator().manual_seed(1)).double()
    found = torch.stack(
        [(s := sketched(rows, seed, 11))[0] @ s[1] for seed in range(800)]
    )
    error = found.std() / math.sqrt(len(found))
    assert abs(found.mean() - rows[0] @ rows[1]) < 5 * error


@pytest.mark.parametrize("cosine", [0.0, 0.6, 0.95])
def test_cosines_are_off_by_as_much_as_is_stated(cosine):
    """By at most 1 / sqrt(16381) in the mean square over 40 seeds, of images too."""
    generator = torch.Generator().manual_seed(2)
    own, other = torch.randn(2, 2, 128, 256, generator=generator).double().flatten(1)
    other = other - own * (own @ other) / (own @ own)
    mixed = cosine * own / own.norm() + math.sqrt(1 - cosine**2) * other / other.norm()
    rows = torch.stack([own / own.norm(), mixed])
    found = []
    for seed in range(40):
        left, right = sketched(rows, seed)
        found.append((left @ right / (left.norm() * right.norm())).item())
    error = math.sqrt(sum((each - cosine) ** 2 for each in found) / len(found))
    assert error < 1.3 / math.sqrt(NUM_BUCKETS)


def test_energy_in_few_columns_of_images_is_not_lost():
    """Strides that are powers of two spread over the buckets, as these are prime."""
    rows = torch.zeros(1, 2**18)
    rows[:, :: 2**12] = 1.0
    found = sketched(rows)
    assert found.square().sum() == rows.square().sum()


def test_short_rows_stay_as_they_are():
    """Only what is longer than the most is projected."""
    collector = collector_for(MAX_COORDINATES, 0)
    assert isinstance(collector, Kept)
    rows = torch.arange(6.0).reshape(2, 3)
    collector.add(rows)
    rows += 1
    collector.add(rows)
    assert collector.rows().tolist() == [[0, 1, 2, 1, 2, 3], [3, 4, 5, 4, 5, 6]]
    assert collector.width == 6
    assert isinstance(collector_for(MAX_COORDINATES + 1, 0), Sketch)


def test_what_is_infinite_is_huge_or_stays_infinite():
    """Answers that overflow have a huge effect; features then have no direction."""
    rows = torch.tensor([[math.inf, -math.inf, math.nan, 1.0]] * 2)
    assert not sketched(rows, 0, 1).isfinite().any()
    finite = Sketch(0, 4, finite=True)
    finite.add(rows)
    assert_close(finite.rows().abs()[0], torch.tensor([1e30, 1e30, 0.0, 1.0]))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_added_up_in_single(dtype):
    """A thousand ones are a thousand, up to signs."""
    rows = torch.ones(1, 1000, dtype=dtype)
    assert_close(sketched(rows, 5, 1), literal_sketch(rows.float(), 5, 1))


def test_a_sketch_of_nothing_is_an_error():
    """There are no rows yet."""
    with pytest.raises(ValueError, match="nothing was added"):
        Sketch(0).rows()
