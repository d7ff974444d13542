"""Client: trains on its own images, and tells the server which partition it holds."""

from __future__ import annotations

from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from quickstart.attacks import poison
from quickstart.data import load_partition, make_generator
from quickstart.model import build_model
from quickstart.training import train as train_model

app = ClientApp()


@app.train(mods=[poison])
def train(msg: Message, context: Context) -> Message:
    """Train the received model for some epochs and send it back."""
    config, node = context.run_config, context.node_config
    server_round = msg.content["config"]["server-round"]
    batches = load_partition(
        partition_id=node["partition-id"],
        num_partitions=node["num-partitions"],
        batch_size=config["batch-size"],
        seed=config["seed"],
        order=make_generator(config["seed"], server_round, node["partition-id"]),
    )
    net = build_model(config["seed"])
    net.load_state_dict(msg.content["arrays"].to_torch_state_dict())
    loss = train_model(net, batches, config["local-epochs"], config["learning-rate"])

    metrics = {"train-loss": loss, "num-examples": len(batches.dataset)}
    content = RecordDict(
        {"arrays": ArrayRecord(net.state_dict()), "metrics": MetricRecord(metrics)}
    )
    return Message(content=content, reply_to=msg)


@app.query()
def identify(msg: Message, context: Context) -> Message:
    """Answer with this client's partition: the server knows node ids only."""
    partition = MetricRecord({"partition-id": context.node_config["partition-id"]})
    return Message(content=RecordDict({"partition": partition}), reply_to=msg)
