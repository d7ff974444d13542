"""Round reports to dashboards and alerts: ready-made listeners for ``on_round``."""

from flwr_vdcs.sinks._text import summarize
from flwr_vdcs.sinks.mlflow import MLflowSink
from flwr_vdcs.sinks.prometheus import PrometheusSink
from flwr_vdcs.sinks.tensorboard import TensorBoardSink
from flwr_vdcs.sinks.webhook import WebhookSink

__all__ = [
    "MLflowSink",
    "PrometheusSink",
    "TensorBoardSink",
    "WebhookSink",
    "summarize",
]
