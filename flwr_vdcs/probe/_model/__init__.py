"""A model to its private copy, and to what the copy takes as it runs."""

from flwr_vdcs.probe._model.copying import unwrapped
from flwr_vdcs.probe._model.generators import generators_kept, seeded
from flwr_vdcs.probe._model.loading import (
    Loader,
    LoadParameter,
    Named,
    copying,
    travels,
)
from flwr_vdcs.probe._model.memory import LiveMemory, free_memory
from flwr_vdcs.probe._model.private_model import PrivateModel

__all__ = [
    "LiveMemory",
    "LoadParameter",
    "Loader",
    "Named",
    "PrivateModel",
    "copying",
    "free_memory",
    "generators_kept",
    "seeded",
    "travels",
    "unwrapped",
]
