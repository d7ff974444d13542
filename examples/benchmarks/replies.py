"""Arrays to the reply that carries them, as a node would send it."""

import time

from flwr.app import ArrayRecord, Message, Metadata, MetricRecord, RecordDict


def make_reply(node: int, record: ArrayRecord, num_examples: int = 100) -> Message:
    """Make the reply of a node."""
    metadata = Metadata(
        run_id=1,
        message_id="",
        src_node_id=node,
        dst_node_id=0,
        reply_to_message_id="",
        group_id="",
        created_at=time.time(),
        ttl=3600.0,
        message_type="train",
    )
    arrays = ArrayRecord(dict(record.items()))
    metrics = MetricRecord({"num-examples": num_examples})
    content = RecordDict({"arrays": arrays, "metrics": metrics})
    return Message(content, metadata=metadata)
