"""The model as the server runs it: on virtual samples, without its head."""

from flwr_vdcs.probe.device import resolve_device
from flwr_vdcs.probe.probe import Probe, RoundContext
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
    "VirtualSamples",
    "draw_samples",
    "gaussian",
    "resolve_device",
    "round_seed",
]
