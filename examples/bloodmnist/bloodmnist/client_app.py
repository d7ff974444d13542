"""Client: trains on its own images, and tells the server which partition it holds."""

from __future__ import annotations

from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from bloodmnist.attacks.mod import poison
from bloodmnist.memory import USED_ROUND, recall, remember
from bloodmnist.training import train_partition

app = ClientApp()


@app.train(mods=[poison])
def train(msg: Message, context: Context) -> Message:
    """Train the received model by the run's algorithm and send it back."""
    config, node = msg.content["config"], context.node_config
    server_round = int(config["server-round"])
    before = recall(context.state, int(config[USED_ROUND]))
    after = dict(before)
    trained, metrics = train_partition(
        context.run_config,
        msg.content["arrays"].to_torch_state_dict(),
        server_round,
        int(node["partition-id"]),
        int(node["num-partitions"]),
        after,
    )
    remember(context.state, before, after, server_round)
    content = RecordDict(
        {"arrays": ArrayRecord(trained), "metrics": MetricRecord(metrics)}
    )
    return Message(content=content, reply_to=msg)


@app.query()
def identify(msg: Message, context: Context) -> Message:
    """Answer with this client's partition: the server knows node ids only."""
    partition = MetricRecord({"partition-id": context.node_config["partition-id"]})
    return Message(content=RecordDict({"partition": partition}), reply_to=msg)
