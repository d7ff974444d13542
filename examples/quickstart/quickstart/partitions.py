"""Nodes to partitions: who holds which part of the data."""

from __future__ import annotations

from flwr.app import Message, MessageType, RecordDict
from flwr.serverapp import Grid

MIN_CLIENTS = 3


def ask_partitions(grid: Grid) -> dict[int, int]:
    """Ask every connected node which partition it holds.

    Returns
    -------
    dict[int, int]
        Partition by node id.

    Raises
    ------
    ValueError
        If there are fewer than three nodes: two that differ cannot be judged.
    """
    nodes = list(grid.get_node_ids())
    if len(nodes) < MIN_CLIENTS:
        raise ValueError(
            f"need at least {MIN_CLIENTS} clients, got {len(nodes)}: "
            'add --federation-config "num-supernodes=10" to flwr run'
        )
    questions = [
        Message(content=RecordDict(), message_type=MessageType.QUERY, dst_node_id=node)
        for node in nodes
    ]
    return {
        answer.metadata.src_node_id: answer.content["partition"]["partition-id"]
        for answer in grid.send_and_receive(questions)
    }
