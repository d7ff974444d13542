"""Server: federated averaging, with or without the check for poisoned clients."""

from __future__ import annotations

from flwr.app import (
    ArrayRecord,
    Context,
    Message,
    MessageType,
    MetricRecord,
    RecordDict,
)
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg, Strategy

from flwr_vdcs import VirtualConsistencyStrategy
from quickstart.attacks import count_poisoned
from quickstart.journal import Journal
from quickstart.task import INPUT_SHAPE, build_model, load_test, test

MIN_CLIENTS = 3

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Train for some rounds, testing the global model on held-out images each round."""
    config = context.run_config
    partitions = ask_partitions(grid)
    num_poisoned = count_poisoned(
        config["attack"], config["fraction-malicious"], len(partitions)
    )
    net = build_model(config["seed"])
    test_images = load_test(batch_size=256, seed=config["seed"])

    strategy: Strategy = FedAvg(fraction_evaluate=0.0)
    if config["plugin"]:
        # A demonstration knows how many clients are poisoned; a real server guesses.
        strategy = VirtualConsistencyStrategy(
            strategy,
            model=net,
            input_shape=INPUT_SHAPE,
            num_malicious=num_poisoned,
            scoring=config["scoring"],
        )
    journal = Journal(config["results"], partitions, num_poisoned)

    def evaluate(server_round: int, arrays: ArrayRecord) -> MetricRecord:
        net.load_state_dict(arrays.to_torch_state_dict())
        loss, accuracy = test(net, test_images)
        journal.write(server_round, loss, accuracy, getattr(strategy, "reports", []))
        return MetricRecord({"loss": loss, "accuracy": accuracy})

    strategy.start(
        grid=grid,
        initial_arrays=ArrayRecord(net.state_dict()),
        num_rounds=config["num-server-rounds"],
        evaluate_fn=evaluate,
    )


def ask_partitions(grid: Grid) -> dict[str, int]:
    """Ask every connected node which partition it holds.

    Returns
    -------
    dict[str, int]
        Partition by node id, the latter as the plugin's reports write it.

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
        str(answer.metadata.src_node_id): answer.content["partition"]["partition-id"]
        for answer in grid.send_and_receive(questions)
    }
