"""The model as the server runs it: on virtual samples, without its head."""

from flwr_vdcs.probe._head import is_of_any
from flwr_vdcs.probe._layout import cautions, refusal
from flwr_vdcs.probe._model import free_memory, unwrapped
from flwr_vdcs.probe._samples import Samples, called, tensors_in
from flwr_vdcs.probe.device import resolve_device
from flwr_vdcs.probe.probe import (
    Probe,
    RoundContext,
    probe_for,
)
from flwr_vdcs.probe.virtual_samples import (
    MAX_SEED,
    NUM_SAMPLES_TO_TRY,
    VirtualSamples,
    draw_samples,
    gaussian,
    round_seed,
)

__all__ = [
    "MAX_SEED",
    "NUM_SAMPLES_TO_TRY",
    "Probe",
    "RoundContext",
    "Samples",
    "VirtualSamples",
    "called",
    "cautions",
    "draw_samples",
    "free_memory",
    "gaussian",
    "is_of_any",
    "probe_for",
    "refusal",
    "resolve_device",
    "round_seed",
    "tensors_in",
    "unwrapped",
]
