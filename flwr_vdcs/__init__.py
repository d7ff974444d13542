"""Make any Flower federated-learning server resist poisoned clients."""

from flwr_vdcs._version import __version__ as __version__
from flwr_vdcs.history import History, Reputation
from flwr_vdcs.probe import resolve_device
from flwr_vdcs.report import Decision, RoundReport, Run
from flwr_vdcs.round import Examination, examine_round
from flwr_vdcs.scoring import (
    HardenedScoring,
    Judgement,
    PaperScoring,
    Scoring,
    consistency_scores,
    similarity_matrix,
)
from flwr_vdcs.strategy import VirtualConsistencyStrategy

__all__ = [
    "Decision",
    "Examination",
    "HardenedScoring",
    "History",
    "Judgement",
    "PaperScoring",
    "Reputation",
    "RoundReport",
    "Run",
    "Scoring",
    "VirtualConsistencyStrategy",
    "consistency_scores",
    "examine_round",
    "resolve_device",
    "similarity_matrix",
]
