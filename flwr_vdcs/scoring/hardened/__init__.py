"""Hardened scoring: judge size, direction and effect, each by its own measure.

The published score looks at one thing, the direction of features. What a malicious
client does shows in different places: boosts and noise in the size of the update or of
a part of it, reversed and mislabelled training in its direction, poisoned statistics in
the model's answers. Each place has a tolerance, how far honest clients are apart there;
an update is as suspicious as it is in the place where it is most so.
"""

from flwr_vdcs.scoring.hardened._scoring import HardenedScoring

__all__ = ["HardenedScoring"]
