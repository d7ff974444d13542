"""Admitted to scores: how consistent each update is with the others."""

from flwr_vdcs.scoring.base import Judgement, Scoring
from flwr_vdcs.scoring.delegating import DelegatingScoring
from flwr_vdcs.scoring.hardened import HardenedScoring
from flwr_vdcs.scoring.looking import is_out_of_memory
from flwr_vdcs.scoring.paper import (
    PaperScoring,
    consistency_scores,
    similarity_matrix,
)
from flwr_vdcs.scoring.resolve import (
    SCORINGS,
    needs_sensitivity,
    resolve_scoring,
)
from flwr_vdcs.scoring.run import Scored, score

__all__ = [
    "SCORINGS",
    "DelegatingScoring",
    "HardenedScoring",
    "Judgement",
    "PaperScoring",
    "Scored",
    "Scoring",
    "consistency_scores",
    "is_out_of_memory",
    "needs_sensitivity",
    "resolve_scoring",
    "score",
    "similarity_matrix",
]
