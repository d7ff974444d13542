"""Where the evidence of clients is computed: in this process, on Ray, or elsewhere."""

from flwr_vdcs.executors.base import Executor
from flwr_vdcs.executors.in_process import InProcess
from flwr_vdcs.executors.parcels import (
    Apart,
    Parcel,
    opened,
    parcelled,
    put_together,
    taken_apart,
)
from flwr_vdcs.executors.ray import RayExecutor
from flwr_vdcs.executors.resolve import resolve_executor
from flwr_vdcs.executors.settings import Settings

__all__ = [
    "Apart",
    "Executor",
    "InProcess",
    "Parcel",
    "RayExecutor",
    "Settings",
    "opened",
    "parcelled",
    "put_together",
    "resolve_executor",
    "taken_apart",
]
