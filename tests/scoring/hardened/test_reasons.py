"""Where a client is most suspicious to a sentence that says why."""

import math

import pytest

from flwr_vdcs.scoring.hardened._opposition import WAYS
from flwr_vdcs.scoring.hardened._reasons import COPY, GROSS, PARTS, reason


@pytest.mark.parametrize(
    ("place", "share", "excess", "said"),
    [
        (COPY, -1.0, 9.0, "a copy of another client's update"),
        (
            GROSS,
            0.0,
            math.log(100),
            "its update has 100 times the norm that the others' lead to expect",
        ),
        (
            "whole",
            -1.25,
            0.0,
            "its updates go against the others', 1.2 times as far as these go",
        ),
        (
            "head",
            0.5,
            0.0,
            f"{PARTS['head']} go along with the others' 0.5 times as far as these go",
        ),
    ],
)
def test_a_reason_says_what_and_by_how_much(place, share, excess, said):
    """To two or three digits."""
    assert reason(place, share, excess) == said


def test_every_way_has_a_name():
    """Whatever a client may be accused of can be said."""
    assert set(PARTS) == set(WAYS)
