"""Hardened scoring: drop only what is shown to do harm.

Sizes, directions and effects of updates are compared with the other clients', and the
evidence over the rounds is put together as likelihood ratios. What cannot be told is
not decided: it is clipped.
"""

from flwr_vdcs.scoring.hardened._scoring import HardenedScoring

__all__ = ["HardenedScoring"]
