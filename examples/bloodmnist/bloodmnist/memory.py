"""Context state to memory: what a client carries from round to round, and takes back.

FedDyn and FedSpeed keep a correction at the client that stands for the updates it has
sent. It must count those alone that the server has used. A client cannot know that when
it trains, so it keeps its memory twice, from before and from after its last training.
The next message says in which round the server last used an update of this client: if
that was its last training, the memory after it counts, else the one before. An update
that was dropped by the plugin, refused, late or lost thus leaves no trace.
"""

from __future__ import annotations

from flwr.app import ArrayRecord, ConfigRecord, RecordDict

from bloodmnist.loop import Memory

USED_ROUND = "used-round"
BEFORE, AFTER, LAST = "before", "after", "last-training"


def recall(state: RecordDict, used_round: int) -> Memory:
    """Read the memory that stands for the updates that were used.

    Parameters
    ----------
    state : RecordDict
        The client's ``Context.state``.
    used_round : int
        The last round in which the server used an update of this client; 0 if it
        never did.
    """
    if LAST not in state:
        return {}
    was_used = state[LAST]["round"] == used_round
    return _read(state, AFTER if was_used else BEFORE)


def remember(
    state: RecordDict, before: Memory, after: Memory, server_round: int
) -> None:
    """Keep the memory from before and from after the training of a round."""
    if not after:
        return
    for key in [key for key in state if key.startswith((f"{BEFORE}.", f"{AFTER}."))]:
        del state[key]
    for moment, memory in ((BEFORE, before), (AFTER, after)):
        for name, tensors in memory.items():
            state[f"{moment}.{name}"] = ArrayRecord(tensors)
    state[LAST] = ConfigRecord({"round": server_round})


def _read(state: RecordDict, moment: str) -> Memory:
    prefix = f"{moment}."
    return {
        key.removeprefix(prefix): record.to_torch_state_dict()
        for key, record in state.array_records.items()
        if key.startswith(prefix)
    }
