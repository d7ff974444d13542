"""The edge to Flower: its two strategy APIs, and the strategies to wrap."""

from flwr_vdcs.flower.compatibility import (
    AnyStrategy,
    caution,
    check_strategy,
    metric_keys,
)
from flwr_vdcs.flower.legacy_api import LegacyAdapter
from flwr_vdcs.flower.message_api import MessageAdapter

__all__ = [
    "AnyStrategy",
    "LegacyAdapter",
    "MessageAdapter",
    "caution",
    "check_strategy",
    "metric_keys",
]
