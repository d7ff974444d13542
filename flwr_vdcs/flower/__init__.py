"""The edge to Flower: its two strategy APIs, and the strategies to wrap."""

from flwr_vdcs.flower.adapters import adapter_for
from flwr_vdcs.flower.compatibility import AnyStrategy, caution, metric_keys

__all__ = ["AnyStrategy", "adapter_for", "caution", "metric_keys"]
