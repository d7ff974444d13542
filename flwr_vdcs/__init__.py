"""Make any Flower federated-learning server resist poisoned clients.

What this package exports is imported when it is first asked for: PyTorch and Flower
take seconds, and not all parts of the command line need them.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from flwr_vdcs._version import __version__ as __version__

if TYPE_CHECKING:
    from flwr_vdcs.executors import Executor, RayExecutor
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
    "Executor",
    "HardenedScoring",
    "History",
    "Judgement",
    "PaperScoring",
    "RayExecutor",
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

_MODULES = (
    "errors",
    "report",
    "executors",
    "history",
    "probe",
    "scoring",
    "round",
    "strategy",
)
"""Where the names are; each is an attribute too, as after a plain import."""

_HOMES = {
    "Decision": "report",
    "Examination": "round",
    "Executor": "executors",
    "HardenedScoring": "scoring",
    "History": "history",
    "Judgement": "scoring",
    "PaperScoring": "scoring",
    "RayExecutor": "executors",
    "Reputation": "history",
    "RoundReport": "report",
    "Run": "report",
    "Scoring": "scoring",
    "VirtualConsistencyStrategy": "strategy",
    "consistency_scores": "scoring",
    "examine_round": "round",
    "resolve_device": "probe",
    "similarity_matrix": "scoring",
}


def __getattr__(name: str) -> object:
    """Import what is asked for (PEP 562)."""
    if name in _MODULES:
        return import_module(f"flwr_vdcs.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found: object = getattr(import_module(f"flwr_vdcs.{_HOMES[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    """List the names that can be asked for, too."""
    return sorted({*globals(), *__all__, *_MODULES})
