"""Replies to admitted: what can be aggregated goes on, the rest is quarantined."""

from flwr_vdcs.admission.admission import (
    admit,
    admit_claims,
    admitted,
    kind_of,
    quarantine,
)
from flwr_vdcs.admission.candidate import Candidate
from flwr_vdcs.admission.global_state import (
    GlobalState,
    global_states_from,
    parameters_by_names,
)
from flwr_vdcs.admission.npy import EncodedArrays, State, encode
from flwr_vdcs.admission.update import Update

__all__ = [
    "Candidate",
    "EncodedArrays",
    "GlobalState",
    "State",
    "Update",
    "admit",
    "admit_claims",
    "admitted",
    "encode",
    "global_states_from",
    "kind_of",
    "parameters_by_names",
    "quarantine",
]
