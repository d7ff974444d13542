r"""Rows of any length to rows of at most `MAX_COORDINATES` numbers.

A long row :math:`x` goes through a count sketch (Charikar, Chen and Farach-Colton,
"Finding frequent items in data streams", 2002): with random signs :math:`\sigma_i`,

.. math:: (Sx)_b = \sum_{i \equiv b \pmod p} \sigma_i x_i.

It is linear, :math:`\mathbb{E}\,\langle Sx, Sy \rangle = \langle x, y \rangle`, and the
standard deviation of a cosine is about :math:`1 / \sqrt{p}` at most: 0.008.
"""

from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor

MAX_COORDINATES = 2**14
"""Rows that are longer are projected."""

NUM_BUCKETS = 16381
"""The largest prime below: strides of images, powers of two, meet no bucket twice."""

HUGE = 1e30
"""Stands for what is infinite, so that sums of it are not NaN."""


class Collector(Protocol):
    """Takes the parts of some rows as they come, and gives the rows.

    Attributes
    ----------
    width : int
        How many columns it has been given.
    """

    width: int

    def add(self, part: Tensor) -> None:
        """Take the next columns of all rows."""

    def rows(self) -> Tensor:
        """Give the rows of all parts."""


def collector_for(width: int, seed: int, *, finite: bool = False) -> Collector:
    """Keep rows of that width as they are, or project them if they are too long.

    Parameters
    ----------
    width
        How many numbers a row has.
    seed
        What the random signs are drawn from, the same for all clients of a round.
    finite
        Whether a projection replaces what is infinite by huge numbers, and NaN by zero.
    """
    return Kept() if width <= MAX_COORDINATES else Sketch(seed, finite=finite)


class Kept:
    """Rows as they are."""

    def __init__(self) -> None:
        self.width = 0
        self._parts: list[Tensor] = []

    def add(self, part: Tensor) -> None:
        """Keep a copy, as the model may go on in place."""
        self._parts.append(part.clone())
        self.width += part.shape[1]

    def rows(self) -> Float[Tensor, "rows width"]:
        """Put the parts side by side."""
        return torch.cat(self._parts, dim=1)


class Sketch:
    """A count sketch of rows: it holds only the sums, and signs for one run of them."""

    def __init__(
        self, seed: int, num_buckets: int = NUM_BUCKETS, *, finite: bool = False
    ) -> None:
        self.width = 0
        self._generator = torch.Generator().manual_seed(seed)
        self._num_buckets = num_buckets
        self._finite = finite
        self._signs = torch.empty(0)
        self._sums: Tensor | None = None

    def add(self, part: Float[Tensor, "rows columns"]) -> None:
        """Add the next columns, each run over the buckets with signs of its own."""
        if self._sums is None:
            dtype = torch.promote_types(part.dtype, torch.float32)
            self._sums = part.new_zeros(len(part), self._num_buckets, dtype=dtype)
        place = 0
        while place < part.shape[1]:
            bucket = self.width % self._num_buckets
            if bucket == 0:
                self._signs = self._drawn().to(self._sums)
            size = min(self._num_buckets - bucket, part.shape[1] - place)
            columns = part[:, place : place + size].to(self._sums.dtype)
            if self._finite:
                columns = columns.nan_to_num(nan=0.0, posinf=HUGE, neginf=-HUGE)
            buckets = slice(bucket, bucket + size)
            self._sums[:, buckets].addcmul_(columns, self._signs[buckets])
            self.width += size
            place += size

    def rows(self) -> Float[Tensor, "rows buckets"]:
        """Give the sums."""
        if self._sums is None:
            raise ValueError("nothing was added")
        return self._sums

    def _drawn(self) -> Tensor:
        drawn = torch.randint(2, (self._num_buckets,), generator=self._generator)
        return 2 * drawn - 1


class Counted:
    """How many rows and columns there are, and nothing of what they hold."""

    def __init__(self) -> None:
        self.width = 0
        self.num_rows: set[int] = set()

    def add(self, part: Tensor) -> None:
        """Count."""
        self.width += part.shape[1]
        self.num_rows.add(len(part))
