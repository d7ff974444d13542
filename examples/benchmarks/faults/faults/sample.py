"""Round to sample: one row of a long run."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True)
class Sample:
    """What there was after a round.

    Parameters
    ----------
    run : str
        With the plugin, with it and its lists of reports emptied after every round, or
        without it and with honest clients only.
    server_round : int
        The round.
    seconds : float
        How long it took, with all its clients.
    examination : float
        How much of that the plugin took, in seconds.
    resident_kib : float
        Memory of the process.
    blocks : int
        How many pieces of memory Python itself has given out.
    log_bytes, state_bytes : int
        Sizes of the audit log and of the saved state.
    clients : int
        How many different ones have been online so far.
    kept, dropped, quarantined, banned : int
        The round's verdicts.
    accuracy : float
        The global model's, on all digits.
    """

    run: str
    server_round: int
    seconds: float
    examination: float
    resident_kib: float
    blocks: int
    log_bytes: int
    state_bytes: int
    clients: int
    kept: int
    dropped: int
    quarantined: int
    banned: int
    accuracy: float


COLUMNS = tuple(column.name for column in fields(Sample))
