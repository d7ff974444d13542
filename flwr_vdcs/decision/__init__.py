"""Scores to decisions: who is dropped, and how long a kept update may be."""

from flwr_vdcs.decision.clipping import clip, clip_arrays
from flwr_vdcs.decision.selection import (
    AUTO,
    MIN_UPDATES,
    NumMalicious,
    Selection,
    check_num_malicious,
    is_protecting,
    select,
)

__all__ = [
    "AUTO",
    "MIN_UPDATES",
    "NumMalicious",
    "Selection",
    "check_num_malicious",
    "clip",
    "clip_arrays",
    "is_protecting",
    "select",
]
