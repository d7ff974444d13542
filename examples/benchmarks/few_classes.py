"""How many honest clients hardened scoring drops where there are few classes.

Run ``python examples/benchmarks/few_classes.py``: ten clients train a small network on
made-up tables, as IID as can be, with nobody, three label flippers or three reversed
clients among them, whose number is not told. Prints a table and writes a CSV, a line a
federation; those that are in it are not run again.
"""

import logging
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from flwr.app import ArrayRecord, ConfigRecord
from flwr.serverapp.strategy import FedAvg
from replies import make_reply
from rich.progress import track
from rows import Row, Rows
from sklearn.datasets import make_classification
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from flwr_vdcs import VirtualConsistencyStrategy

NUM_CLIENTS = 10
NUM_INPUTS, NUM_ROWS, NUM_TEST_ROWS = 20, 480, 1200
BATCH_SIZE = 32

OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adam": lambda parameters: torch.optim.Adam(parameters, lr=1e-3),
    "sgd": lambda parameters: torch.optim.SGD(parameters, lr=0.1),
}
ATTACKS = {"none": 0, "label-flip": 3, "sign-flip": 3}
"""How many clients attack."""

FIELDS = ["classes", "optimizer", "attack", "seed", "rounds"]
FIELDS += ["honest dropped", "attackers dropped", "accuracy", "accuracy without plugin"]

State = dict[str, Tensor]


def build(classes: int, seed: int) -> nn.Module:
    """Build three linear layers."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Linear(NUM_INPUTS, 64),
        nn.ReLU(),
        nn.Linear(64, 32),
        nn.ReLU(),
        nn.Linear(32, classes),
    )


def draw(classes: int, seed: int) -> tuple[Tensor, Tensor]:
    """Make a table: clients' rows one after the other, then those of the test."""
    inputs, labels = make_classification(
        n_samples=NUM_CLIENTS * NUM_ROWS + NUM_TEST_ROWS,
        n_features=NUM_INPUTS,
        n_informative=10,
        n_classes=classes,
        flip_y=0.02,
        random_state=seed,
    )
    rows = torch.tensor(inputs, dtype=torch.float32)
    return (rows - rows.mean(0)) / rows.std(0), torch.tensor(labels)


def train(
    model: nn.Module, state: State, table: tuple[Tensor, Tensor], federation: Row
) -> State:
    """Go through a client's rows once."""
    model.load_state_dict(state)
    optimizer = OPTIMIZERS[federation["optimizer"]](model.parameters())
    inputs, labels = table
    for rows in torch.randperm(len(labels)).split(BATCH_SIZE):
        optimizer.zero_grad()
        cross_entropy(model(inputs[rows]), labels[rows]).backward()
        optimizer.step()
    return {name: value.clone() for name, value in model.state_dict().items()}


def send(
    model: nn.Module,
    state: State,
    table: tuple[Tensor, Tensor],
    federation: Row,
    *,
    is_malicious: bool,
) -> State:
    """Train as the client does that is asked, and give what it sends."""
    inputs, labels = table
    attack = federation["attack"] if is_malicious else "none"
    if attack == "label-flip":
        labels = (labels + 1) % federation["classes"]
    trained = train(model, state, (inputs, labels), federation)
    if attack == "sign-flip":
        return {name: 2 * state[name] - value for name, value in trained.items()}
    return trained


def run(federation: Row, num_rounds: int, *, is_protected: bool) -> tuple[Any, float]:
    """Let all clients train, and give the strategy and the accuracy at the end."""
    classes, seed = federation["classes"], federation["seed"]
    inputs, labels = draw(classes, seed)
    model = build(classes, seed)
    strategy = VirtualConsistencyStrategy(
        FedAvg(fraction_train=0.0),
        model=model,
        input_shape=(NUM_INPUTS,),
        num_malicious="auto" if is_protected else 0,
        scoring="hardened",
        seed=seed,
        device="cpu",
    )
    parts = [
        (inputs[start : start + NUM_ROWS], labels[start : start + NUM_ROWS])
        for start in range(0, NUM_CLIENTS * NUM_ROWS, NUM_ROWS)
    ]
    num_malicious = ATTACKS[federation["attack"]]
    state = {name: value.clone() for name, value in model.state_dict().items()}
    for server_round in range(1, num_rounds + 1):
        strategy.configure_train(server_round, ArrayRecord(state), ConfigRecord(), None)
        sent = [
            send(model, state, part, federation, is_malicious=node < num_malicious)
            for node, part in enumerate(parts)
        ]
        replies = [make_reply(n, ArrayRecord(each)) for n, each in enumerate(sent)]
        arrays, _ = strategy.aggregate_train(server_round, replies)
        if arrays is not None:
            state = arrays.to_torch_state_dict()
    model.load_state_dict(state)
    test = slice(NUM_CLIENTS * NUM_ROWS, None)
    right = model(inputs[test]).argmax(1) == labels[test]
    return strategy, right.float().mean().item()


def measure(federation: Row, num_rounds: int) -> Row:
    """Count whom the plugin drops, and compare with a run without it."""
    strategy, accuracy = run(federation, num_rounds, is_protected=True)
    _, without = run(federation, num_rounds, is_protected=False)
    decisions = [d for report in strategy.reports for d in report.decisions]
    num_malicious = ATTACKS[federation["attack"]]

    def share(*, malicious: bool) -> float | str:
        some = [d for d in decisions if (int(d.client_id) < num_malicious) is malicious]
        dropped = sum(d.verdict != "kept" for d in some)
        return round(dropped / len(some), 4) if some else ""

    return {
        "rounds": num_rounds,
        "honest dropped": share(malicious=False),
        "attackers dropped": share(malicious=True),
        "accuracy": round(accuracy, 4),
        "accuracy without plugin": round(without, 4),
    }


def federations(seeds: int) -> Iterator[Row]:
    """Name the federations to run."""
    settings = product(range(seeds), (2, 3, 5), OPTIMIZERS, ATTACKS)
    for seed, classes, optimizer, attack in settings:
        yield {
            "classes": classes,
            "optimizer": optimizer,
            "attack": attack,
            "seed": seed,
        }


def main(
    *,
    output: Annotated[Path, typer.Option(help="The CSV.")] = Path("few-classes.csv"),
    num_rounds: Annotated[int, typer.Option(min=1)] = 60,
    seeds: Annotated[int, typer.Option(min=1, help="Seeds for each setting.")] = 3,
) -> None:
    """Run the federations that are missing in the CSV, and print it."""
    logging.getLogger("flwr").setLevel(logging.ERROR)
    rows = Rows(output, FIELDS)
    wanted = ({**each, "rounds": num_rounds} for each in federations(seeds))
    for federation in track(rows.missing(wanted), description="federations"):
        rows.append({**federation, **measure(federation, num_rounds)})
    rows.show()


if __name__ == "__main__":
    torch.set_num_threads(1)
    typer.run(main)
