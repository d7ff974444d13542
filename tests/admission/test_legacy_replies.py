"""Malformed results of the legacy API: what Flower alone does, and what we do."""

import math
import re
from typing import Any

import flwr.server.strategy as legacy
import numpy as np
import pytest

from flwr_vdcs import VirtualConsistencyStrategy
from tests.admission.lies import (
    FAR,
    HONEST,
    IGNORED,
    NET,
    POISONED,
    RAISES,
    START,
    VALUES,
)
from tests.federation import (
    LegacyClient,
    fit_result,
    honest_update,
    legacy_aggregate,
    legacy_configured,
)


def positioned(key: str, array: np.ndarray) -> list[np.ndarray]:
    """Replace one array of a legacy result."""
    return [array if k == key else v for k, v in HONEST[0].items()]


def torn_result() -> Any:
    """Cut off one array's bytes."""
    result = fit_result(VALUES)
    result.parameters.tensors[0] = result.parameters.tensors[0][:-3]
    return result


LEGACY_LIES = {
    "NaN": (
        lambda: fit_result(positioned("0.bias", np.full(4, np.nan, np.float32))),
        POISONED,
        r"array 1 \(0\.bias\): .* found nan to nan",
    ),
    "wrong shape": (
        lambda: fit_result(positioned("0.bias", np.zeros(5, np.float32))),
        RAISES,
        r"array 1 \(0\.bias\): expected shape \(4,\), found \(5,\)",
    ),
    "missing array": (
        lambda: fit_result(VALUES[:-1]),
        RAISES,
        "expected 9 arrays, found 8",
    ),
    "extra array": (lambda: fit_result([*VALUES, VALUES[0]]), RAISES, "found 10"),
    "no arrays": (lambda: fit_result([]), RAISES, "expected 9 arrays, found 0"),
    "torn bytes": (torn_result, RAISES, "needs more than the 141 bytes found"),
    "huge weight": (
        lambda: fit_result(list(FAR.values()), 10**12),
        POISONED,
        "at most 1000 times the median 10",
    ),
    "NaN weight": (
        lambda: fit_result(list(FAR.values()), math.nan),
        POISONED,
        "found nan",
    ),
    "negative weight": (
        lambda: fit_result(list(FAR.values()), -49),
        POISONED,
        "found -49",
    ),
    "weights that cancel out": (
        lambda: fit_result(list(FAR.values()), -50),
        RAISES,
        "found -50",
    ),
    "extra metric": (
        lambda: fit_result(VALUES, 10, {"loss": 1.0, "more": 2.0}),
        IGNORED,
        "not theirs 'metric loss', 'metric more'",
    ),
    "text for a metric": (
        lambda: fit_result(VALUES, 10, {"accuracy": "high"}),
        IGNORED,
        r"not theirs 'metric accuracy \(str\)'",
    ),
}


def legacy_results(first: int = 1) -> list:
    """Give the results of five honest clients."""
    return [
        (LegacyClient(n, honest_update), fit_result(list(HONEST[n].values())))
        for n in range(first, 6)
    ]


@pytest.mark.parametrize(
    ("make", "alone", "reason"), LEGACY_LIES.values(), ids=LEGACY_LIES
)
def test_a_legacy_liar_is_quarantined(make, alone, reason):
    """In the legacy API too a lie ends or poisons the run alone, and not here."""
    liar_result = (LegacyClient(9, honest_update), make())
    expected = legacy_aggregate(legacy.FedAvg(), legacy_results())
    assert alone_in_legacy(liar_result, expected) == alone

    strategy = legacy_configured(
        VirtualConsistencyStrategy(
            legacy.FedAvg(fit_metrics_aggregation_fn=lambda _: {}),
            model=NET,
            input_shape=(1, 6, 6),
            num_malicious=0,
            scoring="paper",
        ),
        START,
    )
    found = legacy_aggregate(
        strategy, [(LegacyClient(9, honest_update), make()), *legacy_results()]
    )
    for mine, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert re.search(reason, strategy.reports[0].decisions[0].reason)


def test_a_legacy_crowd_of_every_lie_is_quarantined():
    """All legacy lies at once, more than there are honest clients, change nothing."""
    crowd = [
        (LegacyClient(100 + place, honest_update), make())
        for place, (make, _, _) in enumerate(LEGACY_LIES.values())
    ]
    strategy = legacy_configured(
        VirtualConsistencyStrategy(
            legacy.FedAvg(fit_metrics_aggregation_fn=lambda _: {}),
            model=NET,
            input_shape=(1, 6, 6),
            num_malicious=0,
            scoring="paper",
        ),
        START,
    )
    found = legacy_aggregate(strategy, [*crowd[:5], *legacy_results(), *crowd[5:]])
    expected = legacy_aggregate(legacy.FedAvg(), legacy_results())
    assert strategy.reports[0].num_quarantined == len(LEGACY_LIES)
    for mine, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def alone_in_legacy(liar_result: Any, expected: list[np.ndarray]) -> str:
    """See what legacy FedAvg alone makes of a liar."""
    try:
        with np.errstate(all="ignore"):
            found = legacy_aggregate(legacy.FedAvg(), [*legacy_results(), liar_result])
    except Exception:  # noqa: BLE001  # whatever ends the run
        return RAISES
    pairs = zip(found, expected, strict=True)
    near = all(np.allclose(a, b, atol=0.2) for a, b in pairs if a.ndim)
    return IGNORED if near else POISONED


def test_legacy_bulyan_below_its_quorum_keeps_the_model(flower_log):
    """A quarantine that leaves too few for Bulyan skips the round."""
    strategy = legacy_configured(
        VirtualConsistencyStrategy(
            legacy.Bulyan(num_malicious_clients=1, to_keep=0),
            model=NET,
            input_shape=(1, 6, 6),
            num_malicious=0,
            scoring="paper",
        ),
        START,
    )
    bad = (LegacyClient(9, honest_update), fit_result(VALUES[:-1]))
    more = (LegacyClient(8, honest_update), fit_result(VALUES))
    assert legacy_aggregate(strategy, [bad, more, *legacy_results()]) is None
    assert "needs 7 updates and 6 are left" in flower_log.text
