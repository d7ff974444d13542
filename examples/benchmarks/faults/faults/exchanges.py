"""What travels: the model or a part of it, its dtype, weights or differences."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import numpy as np

from faults.clients import Arrays
from faults.models import Build, build_complex_model, build_half_model, build_model

STATELESS = (
    "FedAvg",
    "FedAvg, not in place",
    "FedProx",
    "FedMedian",
    "FedTrimmedAvg",
    "FaultTolerantFedAvg",
    "Krum",
    "MultiKrum",
)
"""Strategies that look at the clients' arrays alone, which may be differences then."""

OWN = ("FedAvg, own records",)
"""The strategy that lets clients send records that it does not read."""

HEAD = "4."
COUNTERS = "tracked"
NORMALISATION = "1."


@dataclass(frozen=True)
class Exchange:
    """What the server and its clients send each other.

    Parameters
    ----------
    build : callable
        Gives the model on the server; clients train one that is at least as precise.
    travels : callable
        Tells by its name whether an array does.
    dtype : str, optional
        Of the floating-point arrays, if it is not that of training.
    are_differences : bool
        Whether clients send how far they went instead of where they are.
    only : collection of str, optional
        The strategies that can aggregate this; all, if not given.
    array_records : tuple of str
        The names of the records in which clients send arrays.
    """

    build: Build = build_model
    travels: Callable[[str], bool] = lambda _: True
    dtype: str | None = None
    are_differences: bool = False
    only: Collection[str] | None = None
    array_records: tuple[str, ...] = ("arrays",)

    def fits(self, strategy: str) -> bool:
        """Tell whether a strategy can aggregate this, from honest clients."""
        return strategy in self.only if self.only else strategy not in OWN

    def of_server(self, state: Arrays) -> Arrays:
        """Give what the server sends of a state."""
        return {k: self._cast(v) for k, v in state.items() if self.travels(k)}

    def of_client(self, start: Arrays, trained: Arrays) -> Arrays:
        """Give what a client answers that has trained from a start."""
        if not self.are_differences:
            return {key: self._cast(values) for key, values in trained.items()}
        return {key: self._cast(trained[key] - start[key]) for key in trained}

    def model_after(self, start: Arrays, aggregate: Arrays) -> Arrays:
        """Give the next model, as the server sends it."""
        if self.are_differences:
            aggregate = {key: start[key] + aggregate[key] for key in aggregate}
        return self.of_server(aggregate)

    def _cast(self, values: Any) -> Any:
        if self.dtype is None or values.dtype.kind != "f":
            return values
        with np.errstate(over="ignore"):
            return values.astype(self.dtype)


WHOLE = Exchange()

EXCHANGES = {
    "the model": WHOLE,
    "the model in float16": Exchange(build_half_model, dtype="float16"),
    "its head": Exchange(travels=lambda name: name.startswith(HEAD)),
    "all but normalisation": Exchange(
        travels=lambda name: not name.startswith(NORMALISATION)
    ),
    "all but counters": Exchange(travels=lambda name: not name.endswith(COUNTERS)),
    "differences": Exchange(are_differences=True, only=STATELESS),
    "complex numbers": Exchange(build_complex_model, only=(*STATELESS, "FedAvgM")),
    "a record more": Exchange(only=OWN, array_records=("arrays", "control")),
}
