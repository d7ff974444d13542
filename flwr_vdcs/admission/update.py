"""What one client sent, whichever API it came through, and not yet trusted."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from flwr_vdcs.admission.npy import EncodedArrays


@dataclass(frozen=True)
class Update:
    """One client's answer to a round.

    Attributes
    ----------
    client_id
        Flower's node id (Message API) or the client proxy's id (legacy).
    arrays
        The arrays by key; empty for an answer to an evaluation.
    num_examples
        The weight that the client claims, or None where its strategy asks for none.
    metrics
        The metrics by name, as they came.
    records
        The names of the records that arrays and metrics came in.
    defect
        Why the reply cannot be read at all; empty if it can.
    """

    client_id: str
    arrays: EncodedArrays = field(default_factory=dict, repr=False)
    num_examples: object = None
    metrics: Mapping[str, object] = field(default_factory=dict, repr=False)
    records: frozenset[str] = frozenset()
    defect: str = ""
