"""Server: the run config's strategy, tested on held-out images after every round."""

from __future__ import annotations

from flwr.app import ArrayRecord, Context, MetricRecord
from flwr.serverapp import Grid, ServerApp
from torch import nn

from bloodmnist.algorithms import find_algorithm
from bloodmnist.attacks.backdoor import success_rate
from bloodmnist.attacks.roster import count_poisoned
from bloodmnist.data import Dataset, load_dataset
from bloodmnist.defense import Federation, Validate, build_strategy
from bloodmnist.journal import Journal
from bloodmnist.model import State, build_model
from bloodmnist.partitions import ask_partitions
from bloodmnist.receipts import ReceiptStrategy
from bloodmnist.training import iterate, test
from flwr_vdcs import resolve_device

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Train for some rounds, testing the global model on held-out images each round."""
    config = context.run_config
    find_algorithm(str(config["algorithm"]))
    partitions = ask_partitions(grid)
    num_poisoned = count_poisoned(config, len(partitions))
    dataset = load_dataset(str(config["data-path"]))
    name = str(config["model"])
    model = build_model(int(config["seed"]), dataset.num_classes, name)
    model.to(resolve_device(str(config["device"])))

    federation = Federation(
        run_config=config,
        model=build_model(0, dataset.num_classes, name),
        num_clients=len(partitions),
        num_poisoned=num_poisoned,
        validate=make_validate(model, dataset),
    )
    strategy = ReceiptStrategy(build_strategy(federation), partitions)
    journal = Journal(
        str(config["results"]), str(config["tensorboard"]), partitions, num_poisoned
    )

    def evaluate(server_round: int, arrays: ArrayRecord) -> MetricRecord:
        model.load_state_dict(arrays.to_torch_state_dict())
        measured = measure(model, dataset, str(config["attack"]))
        journal.write(server_round, measured, strategy.reports)
        return MetricRecord(measured)

    strategy.start(
        grid=grid,
        initial_arrays=ArrayRecord(model.state_dict()),
        num_rounds=int(config["num-server-rounds"]),
        evaluate_fn=evaluate,
    )


def measure(model: nn.Module, dataset: Dataset, attack: str) -> dict[str, float]:
    """Measure accuracy and loss on the test images, and a backdoor's success."""
    loss, accuracy = test(model, dataset.test)
    measured = {"accuracy": accuracy, "loss": loss}
    if attack == "backdoor":
        batches = iterate(dataset.test, next(model.parameters()).device)
        measured["attack-success"] = success_rate(model, batches)
    return measured


def make_validate(model: nn.Module, dataset: Dataset) -> Validate:
    """Make the function that gives loss and error on the server's validation images.

    It uses the given model, whose weights are overwritten.
    """

    def validate(state: State) -> tuple[float, float]:
        model.load_state_dict(state)
        loss, accuracy = test(model, dataset.validation)
        return loss, 1 - accuracy

    return validate
