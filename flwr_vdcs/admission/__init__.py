"""Replies to admitted: what can be aggregated goes on, the rest is quarantined."""

from flwr_vdcs.admission._claims import kind_of
from flwr_vdcs.admission._differences import update_norm
from flwr_vdcs.admission.admission import (
    Admission,
    admit,
    admit_claims,
    admitted,
    forwarded_arrays,
    leave_out_untrained,
    quarantine,
)
from flwr_vdcs.admission.candidate import Candidate
from flwr_vdcs.admission.global_state import (
    GlobalState,
    array_not_finite,
    global_states_from,
    parameters_by_names,
)
from flwr_vdcs.admission.npy import EncodedArrays, State, as_real, encode
from flwr_vdcs.admission.update import Update

__all__ = [
    "Admission",
    "Candidate",
    "EncodedArrays",
    "GlobalState",
    "State",
    "Update",
    "admit",
    "admit_claims",
    "admitted",
    "array_not_finite",
    "as_real",
    "encode",
    "forwarded_arrays",
    "global_states_from",
    "kind_of",
    "leave_out_untrained",
    "parameters_by_names",
    "quarantine",
    "update_norm",
]
