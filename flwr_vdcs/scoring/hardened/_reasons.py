"""What is suspicious, or cannot be told, to a sentence that says so."""

import math

from flwr_vdcs.scoring.hardened._evidence import HEAD, WEIGHTS
from flwr_vdcs.scoring.hardened._opposition import WHOLE

COPY, GROSS = "copy", "gross"

UNDECIDABLE = (
    "no client can be told to work against the others, since honest ones may differ "
    "as much"
)
"""Also where nothing is known to be shared, or clients are too few."""

CONTRADICTORY = (
    "half of the clients or more seem to work against the others, so nobody is accused "
    "of it"
)

PARTS = {
    WHOLE: "its updates",
    WEIGHTS: "its changes to weight matrices and kernels",
    HEAD: "its changes to the final layer",
}


def reason(place: str, share: float, excess: float) -> str:
    """Say what is unusual, by how much, and compared with whom.

    Parameters
    ----------
    place
        `COPY`, `GROSS`, or a key of `PARTS`.
    share
        How far it goes along there, in shares of what its peers do.
    excess
        Logarithm of the update's norm over the expected one.
    """
    if place == COPY:
        return "a copy of another client's update"
    if place == GROSS:
        length = f"its update has {math.exp(excess):.3g} times the norm"
        return f"{length} that the others' lead to expect"
    part = PARTS[place]
    if share < 0:
        return f"{part} go against the others', {-share:.2g} times as far as these go"
    return f"{part} go along with the others' {share:.2g} times as far as these go"
