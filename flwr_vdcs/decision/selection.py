"""Scores to verdicts: how many clients to drop, and which."""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Literal

import torch

from flwr_vdcs.admission import Candidate, admitted, quarantine
from flwr_vdcs.errors import NumMaliciousError
from flwr_vdcs.report import DECIMALS, TOO_FEW

NumMalicious = int | float | Literal["auto"]

AUTO: Literal["auto"] = "auto"

HALF = 0.5

MIN_UPDATES = 3
"""Two updates agree with each other to the same degree: nobody can be singled out."""

ROUNDING = 1e-9
"""0.29 * 100 is 28.999999999999996 in floating point, and means 29."""

SAME = 4 * torch.finfo(torch.float32).eps
"""Scores that are apart by at most this share of the largest one differ by rounding.

Updates and features are float32, so a few steps of float32 are taken for rounding, in
whatever dtype scores are computed from them.
"""


@dataclass(frozen=True)
class Selection:
    """What was decided on a round as a whole.

    Attributes
    ----------
    num_malicious
        How many updates are to be dropped in this round.
    skipped
        Whether the round is skipped, so that no update goes on.
    scores_alike
        Whether nobody is dropped, as the scores tell no client from another; never with
        ``"auto"``.
    """

    num_malicious: int
    skipped: bool = False
    scores_alike: bool = False


def check_num_malicious(num_malicious: object) -> NumMalicious:
    """Return a valid ``num_malicious`` as a plain number or ``"auto"``.

    Raises
    ------
    NumMaliciousError
        If it is not an int >= 0, a float in [0, 0.5) or ``"auto"``.
    """
    if isinstance(num_malicious, str) and num_malicious == AUTO:
        return AUTO
    if isinstance(num_malicious, bool) or not isinstance(num_malicious, Real):
        raise NumMaliciousError(num_malicious)
    if isinstance(num_malicious, Integral):
        num_malicious = int(num_malicious)
        is_possible = num_malicious >= 0
    else:
        num_malicious = float(num_malicious)
        is_possible = 0 <= num_malicious < HALF
    if not is_possible:
        raise NumMaliciousError(num_malicious)
    return num_malicious


def is_protecting(num_malicious: NumMalicious) -> bool:
    """Tell whether any update may be dropped at all."""
    return num_malicious == AUTO or num_malicious > 0


def count_malicious(
    num_malicious: NumMalicious,
    scores: Collection[float],
    threshold: float | None,
    num_refused: int = 0,
) -> int:
    """Give how many updates to drop in one round.

    A fraction is of the round's clients, rounded down. ``"auto"`` counts the scores
    below the threshold, though never half of the updates or more. Clients that were
    not asked, as they are banned, and those that are quarantined are among the M
    malicious ones and are not dropped for again.
    """
    if num_malicious == AUTO:
        lowest_kept = -math.inf if threshold is None else threshold
        num_low = sum(score < lowest_kept for score in scores)
        return min(num_low, max(0, len(scores) - 1) // 2)
    if isinstance(num_malicious, int):
        return max(0, num_malicious - num_refused)
    num_expected = math.floor(num_malicious * (len(scores) + num_refused) + ROUNDING)
    return max(0, num_expected - num_refused)


def can_select(num_updates: int, num_to_drop: int) -> bool:
    """Tell whether at least two updates would agree after dropping the lowest."""
    return num_updates >= MIN_UPDATES and num_to_drop < num_updates - 1


def are_alike(scores: Collection[float]) -> bool:
    """Tell whether enough to compare have the same score, but for rounding."""
    if len(scores) < MIN_UPDATES:
        return False
    return max(scores) - min(scores) <= SAME * max(map(abs, scores))


def lowest(candidates: Sequence[Candidate], num_to_drop: int) -> list[Candidate]:
    """Find the updates with the lowest scores (Eq. 19); of equals, the earlier.

    What is beyond `flwr_vdcs.report.DECIMALS` is rounding.
    """
    scored = [(each.score, each) for each in candidates if each.score is not None]
    scored.sort(key=lambda pair: round(pair[0], DECIMALS))
    return [candidate for _, candidate in scored[:num_to_drop]]


def select(
    candidates: Sequence[Candidate],
    num_malicious: NumMalicious,
    threshold: float | None,
    *,
    num_banned: int = 0,
    obstacle: str = "",
) -> Selection:
    """Give each update of a round its verdict.

    Where all scores are alike, the M lowest would be whoever answered first. So nobody
    is dropped then. The round is skipped if some should be dropped, and too few answer
    to tell whom.

    Parameters
    ----------
    candidates
        One for each reply, scored where it could be.
    num_malicious
        M, as the user gave it; 0 is a dry run.
    threshold
        With ``"auto"``, lower scores are dropped.
    num_banned
        How many clients were not asked, as they are banned.
    obstacle
        Why the round is skipped whatever was sent; empty if nothing speaks against it.

    Returns
    -------
    Selection
        M in this round, whether it is skipped, and whether its scores are alike.
    """
    if is_protecting(num_malicious):
        _quarantine_failures(candidates)
    scores = [each.score for each in candidates if each.score is not None]
    num_refused = num_banned + sum(each.verdict == "quarantined" for each in candidates)
    num_to_drop = count_malicious(num_malicious, scores, threshold, num_refused)
    if not obstacle and num_malicious != AUTO and are_alike(scores):
        return Selection(num_to_drop, scores_alike=True)
    if is_protecting(num_malicious):
        obstacle = obstacle or _shortage(candidates, num_to_drop)
    if obstacle:
        _drop(admitted(candidates), obstacle)
        return Selection(num_to_drop, skipped=True)
    why = (
        f"its score is below {threshold:g}"
        if num_malicious == AUTO
        else f"among the {num_to_drop} lowest of {len(scores)} scores"
    )
    _drop_lowest(candidates, num_to_drop, why)
    return Selection(num_to_drop)


def _shortage(candidates: Sequence[Candidate], num_to_drop: int) -> str:
    """Say that so few are left that nobody can be singled out, if that is so."""
    num_updates = len(admitted(candidates))
    is_possible = can_select(num_updates, num_to_drop) if num_to_drop else num_updates
    return "" if is_possible else TOO_FEW


def _quarantine_failures(candidates: Sequence[Candidate]) -> None:
    """Refuse the admitted updates that could not be scored."""
    for candidate in admitted(candidates):
        if candidate.failure:
            quarantine(candidate, candidate.failure)


def _drop(candidates: Sequence[Candidate], reason: str) -> None:
    for candidate in candidates:
        candidate.verdict, candidate.reason = "dropped", reason


def _drop_lowest(candidates: Sequence[Candidate], num_to_drop: int, why: str) -> None:
    """Drop the lowest scores; updates without a score are kept."""
    for candidate in lowest(candidates, num_to_drop):
        found = candidate.explanation
        _drop([candidate], f"{why}: {found}" if found else why)
