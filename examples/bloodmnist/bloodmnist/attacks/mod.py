"""The mod around a client's training that lets a poisoned client attack."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache, partial

from flwr.app import ArrayRecord, Context, Message

from bloodmnist import training
from bloodmnist.attacks import REPLY_ATTACKS, find_attack, generators
from bloodmnist.attacks.roster import count_poisoned, is_poisoned
from bloodmnist.attacks.view import AttackerView
from bloodmnist.model import State, build_model
from bloodmnist.run_config import RunConfig

CallNext = Callable[[Message, Context], Message]


@dataclass(frozen=True)
class HonestRound:
    """All that decides what the honest clients train in a round.

    Rounds are equal if run config, round, number of clients and received model are; of
    the model a digest is compared.
    """

    run_config: tuple[tuple[str, str | int | float | bool], ...]
    server_round: int
    num_partitions: int
    digest: bytes
    received: State = field(compare=False, repr=False)


def poison(msg: Message, ctxt: Context, call_next: CallNext) -> Message:
    """Mod for training: a poisoned client attacks the reply of its own training.

    The run config says which attack, and on which labels; the first
    ``fraction-malicious`` of the partitions are poisoned. Model attacks replace the
    arrays of the reply; malformed ones and lies about weight replace its content.
    """
    reply = call_next(msg, ctxt)
    partition_id, num_partitions = _place(ctxt)
    if reply.has_error() or not is_poisoned(
        ctxt.run_config, partition_id, num_partitions
    ):
        return reply

    name = str(ctxt.run_config["attack"])
    attacked = find_attack(name)(look(msg, ctxt, reply))
    reply.content["arrays"] = ArrayRecord(attacked)
    if name in REPLY_ATTACKS:
        reply.content = REPLY_ATTACKS[name](reply.content)
    return reply


def look(msg: Message, ctxt: Context, reply: Message) -> AttackerView:
    """Gather what a poisoned client knows once it has trained."""
    partition_id, num_partitions = _place(ctxt)
    seed = int(ctxt.run_config["seed"])
    server_round = int(msg.content["config"]["server-round"])
    received = msg.content["arrays"].to_torch_state_dict()
    honest_round = HonestRound(
        run_config=tuple(sorted(ctxt.run_config.items())),
        server_round=server_round,
        num_partitions=num_partitions,
        digest=_digest(msg.content["arrays"]),
        received=received,
    )
    return AttackerView(
        trained=reply.content["arrays"].to_torch_state_dict(),
        received=received,
        parameter_names=list_parameters(str(ctxt.run_config["model"])),
        num_clients=num_partitions,
        num_malicious=count_poisoned(ctxt.run_config, num_partitions),
        generator=generators.for_client(seed, server_round, partition_id),
        shared_generator=generators.for_colluders(seed, server_round),
        honest=partial(train_honest, honest_round),
    )


@lru_cache(maxsize=1)
def train_honest(honest_round: HonestRound) -> list[State]:
    """Repeat what every honest client trains in this round, by partition.

    Training is deterministic given the run config, the round, the partition and the
    received model, and the colluders are given all of these and the data, so the states
    are those that the honest clients send (on a GPU up to its rounding). The last
    round's are kept, for the other colluders in the same process.

    Where a client remembers earlier rounds (FedDyn, FedSpeed), the colluders do not
    have its memory: they see what it would send if this were its first round. They
    take all clients for participants of the round.
    """
    run_config: RunConfig = dict(honest_round.run_config)
    num_partitions = honest_round.num_partitions
    num_poisoned = count_poisoned(run_config, num_partitions)
    return [
        training.train_partition(
            run_config,
            honest_round.received,
            honest_round.server_round,
            partition_id,
            num_partitions,
            {},
        )[0]
        for partition_id in range(num_poisoned, num_partitions)
    ]


@lru_cache(maxsize=1)
def list_parameters(model_name: str) -> tuple[str, ...]:
    """List the names of the model's parameters: its state without the buffers."""
    model = build_model(seed=0, num_classes=2, name=model_name)
    return tuple(name for name, _ in model.named_parameters())


def _place(ctxt: Context) -> tuple[int, int]:
    node = ctxt.node_config
    return int(node["partition-id"]), int(node["num-partitions"])


def _digest(arrays: ArrayRecord) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    for name, array in arrays.items():
        digest.update(name.encode())
        digest.update(array.data)
    return digest.digest()
