"""What a scoring is: what holds without a part, and what is no such part."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from flwr_vdcs import HardenedScoring, Judgement, PaperScoring, Scoring
from flwr_vdcs.errors import InvalidArgumentError
from flwr_vdcs.scoring import DelegatingScoring, resolve_scoring


def scoring(**parts):
    """Make a scoring that has those parts and what it must have."""
    needed = {"name": "own", "features": None, "scores": lambda seen: 2 * seen}
    return SimpleNamespace(**needed, **parts)


def test_a_scoring_without_any_has_scores_only():
    """It cannot tell how many to drop, so every drop counts; it may want momentum."""
    found = resolve_scoring(scoring())
    judged = found.judge(torch.tensor([1.0, 2.0]))
    assert judged.scores.tolist() == [2.0, 4.0]
    assert (judged.reasons, judged.remembered) == ((), {})
    assert (found.threshold, found.ban_threshold, found.max_update) == (None,) * 3
    assert (found.needs_momentum, found.remembered) == (True, ())


def test_every_part_is_found():
    """NumPy's numbers are numbers, and a list is as good as a tuple."""
    judgement = Judgement(torch.zeros(2))
    found = resolve_scoring(
        scoring(
            judge=lambda _: judgement,
            threshold=np.float32(-1),
            ban_threshold=-2,
            max_update=3,
            needs_momentum=False,
            remembered=["times"],
        )
    )
    assert found.judge(None) is judgement
    numbers = (found.threshold, found.ban_threshold, found.max_update)
    assert numbers == (-1.0, -2.0, 3.0)
    assert (found.needs_momentum, found.remembered) == (False, ("times",))


def test_what_is_dropped_counts_towards_a_ban_if_nothing_else_is_said():
    """A ban threshold of None, said aloud, lets all drops count."""
    own, none = scoring(threshold=-1), scoring(threshold=-1, ban_threshold=None)
    assert resolve_scoring(own).ban_threshold == -1
    assert resolve_scoring(none).ban_threshold is None


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
        resolve_scoring(scoring(**parts))


class Longest(Scoring):
    """A subclass that has only what it must have."""

    name = "longest"

    def features(self, context, global_state, update):
        """Look at nothing."""
        return torch.zeros(1)

    def scores(self, features):
        """Score by it."""
        return -features


class Bounded(Longest):
    """A subclass with a threshold."""

    threshold = -1.0


class Lenient(Bounded):
    """A subclass that bans less than it drops."""

    ban_threshold = -3.0


@pytest.mark.parametrize(
    ("kind", "thresholds"),
    [
        (Longest, (None, None)),
        (Bounded, (-1.0, -1.0)),
        (Lenient, (-1.0, -3.0)),
        (HardenedScoring, (-1.0, -1.2)),
    ],
)
def test_a_subclass_has_the_defaults(kind, thresholds):
    """Itself as well as when its parts have been checked."""
    for found in (kind(), DelegatingScoring(kind())):
        assert (found.threshold, found.ban_threshold) == thresholds


def test_a_part_that_must_be_there_is_asked_for():
    """Python names the method that is missing."""

    class Half(Scoring):
        name = "half"

        def scores(self, features):
            return features

    with pytest.raises(TypeError, match="features"):
        Half()


def test_ours_have_what_they_say():
    """The published score has none of it, and saves the momentum's memory."""
    paper, hardened = PaperScoring(), HardenedScoring()
    assert (paper.threshold, paper.max_update, paper.needs_momentum) == (
        None,
        None,
        False,
    )
    assert (hardened.threshold, hardened.ban_threshold) == (-1.0, -1.2)
    assert (hardened.max_update, hardened.needs_momentum) == (None, True)
    assert (paper.needs_num_examples, hardened.needs_num_examples) == (False, True)
    assert (paper.needs_sensitivity, hardened.needs_sensitivity) == (True, False)


def test_evidence_for_bans_is_the_scorings_if_it_has_any():
    """Else how often clients are refused decides."""
    own = scoring(evidence=lambda score: -2 * score)
    assert resolve_scoring(own).evidence(-3.0) == 6.0
    assert resolve_scoring(scoring()).evidence(-3.0) is None
    assert PaperScoring().evidence(-3.0) is None
    hardened = HardenedScoring()
    assert DelegatingScoring(hardened).evidence(-3.0) == hardened.evidence(-3.0)
    with pytest.raises(InvalidArgumentError, match="`evidence` is a method"):
        resolve_scoring(scoring(evidence=1.0))
