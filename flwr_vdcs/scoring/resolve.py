"""A name or an object to the scoring that it stands for."""

from collections.abc import Mapping

from flwr_vdcs.errors import UnknownScoringError
from flwr_vdcs.scoring.base import Scoring
from flwr_vdcs.scoring.delegating import DelegatingScoring
from flwr_vdcs.scoring.hardened import HardenedScoring
from flwr_vdcs.scoring.paper import PaperScoring

SCORINGS: Mapping[str, type[Scoring]] = {
    PaperScoring.name: PaperScoring,
    HardenedScoring.name: HardenedScoring,
}

REQUIRED = ("name", "features", "scores")


def resolve_scoring(scoring: object) -> Scoring:
    """Give the scoring of that name, or the user's own with all parts checked.

    Raises
    ------
    UnknownScoringError
        If there is none of that name, or the object lacks a part that every `Scoring`
        must have, or its name is no string.
    InvalidArgumentError
        If another part is not what it has to be.
    """
    if isinstance(scoring, str) and scoring in SCORINGS:
        return SCORINGS[scoring]()
    is_instance = not isinstance(scoring, str | type)
    is_whole = all(hasattr(scoring, part) for part in REQUIRED)
    if is_instance and is_whole and isinstance(getattr(scoring, "name", None), str):
        return DelegatingScoring(scoring)
    raise UnknownScoringError(scoring, SCORINGS)


def needs_sensitivity(scoring: str) -> bool:
    """Tell whether the scoring of that name does; one of the user's own may."""
    return SCORINGS.get(scoring, Scoring).needs_sensitivity
