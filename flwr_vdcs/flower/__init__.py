"""The edge to Flower: its two strategy APIs, and the strategies to wrap."""

from flwr_vdcs.flower.adapters import adapter_for
from flwr_vdcs.flower.compatibility import AnyStrategy, MetricKeys, caution
from flwr_vdcs.flower.forwarding import Forwarding
from flwr_vdcs.flower.stand_ins import StandIns

__all__ = [
    "AnyStrategy",
    "Forwarding",
    "MetricKeys",
    "StandIns",
    "adapter_for",
    "caution",
]
