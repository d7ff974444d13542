"""Scoring to traits: what holds without a part, and what is no such part."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from flwr_vdcs.errors import InvalidArgumentError
from flwr_vdcs.scoring.base import PaperScoring
from flwr_vdcs.scoring.hardened import HardenedScoring
from flwr_vdcs.scoring.judgement import Judgement
from flwr_vdcs.scoring.traits import traits_of


def scoring(**parts):
    """Make a scoring that has those parts and what it must have."""
    needed = {"name": "own", "features": None, "scores": lambda seen: 2 * seen}
    return SimpleNamespace(**needed, **parts)


def test_a_scoring_without_any_has_scores_only():
    """It cannot tell how many to drop, so every drop counts; it may want momentum."""
    traits = traits_of(scoring())
    judged = traits.judge(torch.tensor([1.0, 2.0]))
    assert judged.scores.tolist() == [2.0, 4.0]
    assert (judged.reasons, judged.remembered) == ((), {})
    assert (traits.threshold, traits.ban_threshold, traits.max_update) == (None,) * 3
    assert (traits.needs_momentum, traits.remembered) == (True, ())


def test_every_part_is_found():
    """NumPy's numbers are numbers, and a list is as good as a tuple."""
    judgement = Judgement(torch.zeros(2))
    traits = traits_of(
        scoring(
            judge=lambda _: judgement,
            threshold=np.float32(-1),
            ban_threshold=-2,
            max_update=3,
            needs_momentum=False,
            remembered=["times"],
        )
    )
    assert traits.judge(None) is judgement
    numbers = (traits.threshold, traits.ban_threshold, traits.max_update)
    assert numbers == (-1.0, -2.0, 3.0)
    assert (traits.needs_momentum, traits.remembered) == (False, ("times",))


def test_what_is_dropped_counts_towards_a_ban_if_nothing_else_is_said():
    """A ban threshold of None, said aloud, lets all drops count."""
    assert traits_of(scoring(threshold=-1)).ban_threshold == -1
    assert traits_of(scoring(threshold=-1, ban_threshold=None)).ban_threshold is None


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"threshold": "-1"}, "`threshold` is a finite number, not '-1'"),
        ({"threshold": True}, "`threshold` is a finite number, not True"),
        ({"ban_threshold": float("nan")}, "`ban_threshold` is a finite number"),
        ({"max_update": float("inf")}, "`max_update` is a finite number"),
        ({"max_update": 0}, r"`max_update` is above zero, not 0\.0"),
        ({"judge": None}, "`judge` is a method, or missing, not None"),
        ({"remembered": "times"}, "`remembered` is a tuple of names, not 'times'"),
        ({"remembered": (1,)}, "`remembered` is a tuple of names"),
        ({"remembered": None}, "`remembered` is a tuple of names, not None"),
    ],
)
def test_a_wrong_part_is_an_error_that_names_it(parts, said):
    """It says what was given and what is allowed."""
    with pytest.raises(InvalidArgumentError, match=said):
        traits_of(scoring(**parts))


def test_ours_have_what_they_say():
    """The published score has none of it, and saves the momentum's memory."""
    paper, hardened = traits_of(PaperScoring()), traits_of(HardenedScoring())
    assert (paper.threshold, paper.max_update, paper.needs_momentum) == (
        None,
        None,
        False,
    )
    assert (hardened.threshold, hardened.ban_threshold) == (-1.0, -2.5)
    assert (hardened.max_update, hardened.needs_momentum) == (2.0, True)
    assert hardened.remembered == HardenedScoring.remembered
