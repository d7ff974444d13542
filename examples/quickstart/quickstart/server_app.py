"""Server: federated averaging, with or without the check for poisoned clients."""

from __future__ import annotations

from flwr.app import ArrayRecord, Context, MetricRecord
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg, Strategy

from flwr_vdcs import VirtualConsistencyStrategy
from quickstart.attacks import count_poisoned
from quickstart.data import INPUT_SHAPE, load_test
from quickstart.journal import Journal
from quickstart.model import build_model
from quickstart.partitions import ask_partitions
from quickstart.training import test

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
        strategy = VirtualConsistencyStrategy(
            strategy,
            model=net,
            input_shape=INPUT_SHAPE,
            scoring=config["scoring"],
            num_malicious=config["num-malicious"],
        )
    journal = Journal(config["results"], "", partitions, num_poisoned)

    def evaluate(server_round: int, arrays: ArrayRecord) -> MetricRecord:
        net.load_state_dict(arrays.to_torch_state_dict())
        loss, accuracy = test(net, test_images)
        measured = {"accuracy": accuracy, "loss": loss}
        journal.write(server_round, measured, getattr(strategy, "reports", []))
        return MetricRecord(measured)

    strategy.start(
        grid=grid,
        initial_arrays=ArrayRecord(net.state_dict()),
        num_rounds=config["num-server-rounds"],
        evaluate_fn=evaluate,
    )
