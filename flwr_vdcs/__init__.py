"""Make any Flower federated-learning server resist poisoned clients."""

from flwr_vdcs.history.reputation import Reputation
from flwr_vdcs.report import Decision, RoundReport
from flwr_vdcs.scoring.base import PaperScoring, Scoring
from flwr_vdcs.scoring.cosine import consistency_scores, similarity_matrix
from flwr_vdcs.scoring.hardened import HardenedScoring
from flwr_vdcs.scoring.judgement import Judgement
from flwr_vdcs.strategy import VirtualConsistencyStrategy

__version__ = "0.1.0"

__all__ = [
    "Decision",
    "HardenedScoring",
    "Judgement",
    "PaperScoring",
    "Reputation",
    "RoundReport",
    "Scoring",
    "VirtualConsistencyStrategy",
    "consistency_scores",
    "similarity_matrix",
]
