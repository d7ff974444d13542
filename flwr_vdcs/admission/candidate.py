"""A row of the round: what is known of one reply, from its arrival to its verdict."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from flwr_vdcs.admission.global_state import GlobalState
from flwr_vdcs.admission.npy import State
from flwr_vdcs.admission.update import Update
from flwr_vdcs.report import Verdict


@dataclass(eq=False)
class Candidate:
    """One reply on its way through the stages, each of which fills in what it finds.

    Attributes
    ----------
    update
        What the client sent.
    start
        The global state that this client was sent.
    state
        Admission: its arrays as tensors by the model's names; empty if not admitted.
    keys
        Admission: the keys under which they go on, in the same order.
    is_difference
        Admission: whether the client sent how far it went, and not where it is.
    is_structural
        Admission: whether it is refused for what is not its values, so that it may be
        the fault of the set-up.
    is_judged
        Whether it can be judged; otherwise it goes on as it came.
    is_changed
        Admission and clipping: whether the wrapped strategy must get other arrays than
        those that were sent.
    norm
        Scoring or clipping: the Euclidean norm of the parameters' delta, if it was
        computed.
    score
        Scoring: higher is more consistent; None if it has none.
    explanation
        Scoring: what it has to say of this update.
    failure
        Scoring: why the update could not be scored; empty if it could.
    shares
        Scoring: by name how much of an array goes on, of those that are clipped.
    past, remembered
        What the scoring knew of this client before the round, and Scoring: what it is
        to know when this client is scored next.
    verdict, reason
        Decision: what becomes of the update, and why; admission quarantines.
    """

    update: Update
    start: GlobalState
    state: State = field(default_factory=dict)
    keys: tuple[str, ...] = ()
    is_difference: bool = False
    is_structural: bool = False
    is_judged: bool = True
    is_changed: bool = False
    norm: float | None = None
    score: float | None = None
    explanation: str = ""
    failure: str = ""
    shares: Mapping[str, float] = field(default_factory=dict)
    past: Mapping[str, float] = field(default_factory=dict)
    remembered: Mapping[str, float] = field(default_factory=dict)
    verdict: Verdict = "kept"
    reason: str = ""
