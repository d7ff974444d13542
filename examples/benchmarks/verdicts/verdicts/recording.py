"""A clean run to recorded rounds: what clients train from the same global model.

A trajectory is a run of federated averaging without attack. At some of its rounds
every client's training is kept, honest and by each way to poison data, after one and
after several local epochs. Attacks and rules can then be judged on the same real
updates without training again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from bloodmnist.data import load_dataset
from bloodmnist.model import State, build_model, model_with
from bloodmnist.run_config import RunConfig, with_defaults
from bloodmnist.training import test, train_partition

from flwr_vdcs import History

NUM_CLIENTS = 10
NUM_POISONED = 4
ROUNDS = {"early": 2, "middle": 7, "late": 16, "converged": 120}
AFFORDABLE = {"resnet18": 16, "groupnorm-cnn": 120}
"""How long a run with the model may be."""

LOCAL_EPOCHS = (1, 5)

POISONINGS: dict[str, RunConfig] = {
    "flipped": {"labels": "flipped"},
    "backdoor": {"attack": "backdoor"},
}
"""What the first clients train on instead, by name: entries of the run config."""


@dataclass(frozen=True)
class Trajectory:
    """A clean run.

    Parameters
    ----------
    model, data : str
        Names of the model and of the images.
    alpha : float
        Of the Dirichlet draw of the clients' labels.
    seed : int
        Decides the model's start, the partition and the order of the images.
    """

    model: str
    data: str
    alpha: float
    seed: int

    @property
    def name(self) -> str:
        """Name for files: the model tells the images."""
        return f"{self.model}-alpha{self.alpha:g}-seed{self.seed}"

    @property
    def stages(self) -> dict[int, str]:
        """Give the stages that it reaches, by their round."""
        longest = AFFORDABLE[self.model]
        return {n: stage for stage, n in ROUNDS.items() if n <= longest}

    @property
    def num_rounds(self) -> int:
        """Give the length of the run."""
        return max(self.stages)

    def run_config(self, data_path: str) -> RunConfig:
        """Give the settings of the run."""
        return with_defaults(
            {
                "model": self.model,
                "data-path": "digits" if self.data == "digits" else data_path,
                "alpha": self.alpha,
                "seed": self.seed,
            }
        )


@dataclass(frozen=True)
class Recording:
    """What clients train in one round.

    Parameters
    ----------
    trajectory : Trajectory
        The run that the round is of.
    stage : str
        A key of :data:`ROUNDS`.
    local_epochs : int
        How often each client goes through its images.
    received : State
        The global model.
    momentum : State
        The way that it has come, by the names of its parameters.
    honest : list of State
        What every client trains.
    poisoned : dict of str to list of State
        What the first clients train on tampered images, by the way of tampering.
    accuracy : float
        The global model's, on the test images.
    """

    trajectory: Trajectory
    stage: str
    local_epochs: int
    received: State
    momentum: State
    honest: list[State]
    poisoned: dict[str, list[State]]
    accuracy: float

    @property
    def num_clients(self) -> int:
        """Number of clients that take part."""
        return len(self.honest)

    def of_first(self, num_clients: int) -> Recording:
        """Give the same round with its first clients only."""
        return replace(self, honest=self.honest[:num_clients])

    @property
    def num_classes(self) -> int:
        """Number of rows of the model's last matrix."""
        return [len(value) for value in self.received.values() if value.ndim > 1][-1]


TRAJECTORIES = tuple(
    Trajectory(model, data, alpha, seed)
    for seed in (0, 1, 2)
    for model, data in (("resnet18", "blood cells"), ("groupnorm-cnn", "digits"))
    for alpha in (10.0, 0.3)
)


def path_of(
    folder: Path, trajectory: Trajectory, stage: str, local_epochs: int
) -> Path:
    """Name the file of a recording."""
    return folder / f"{trajectory.name}-{stage}-epochs{local_epochs}.pt"


def read(folder: Path, trajectory: Trajectory, stage: str, epochs: int) -> Recording:
    """Read one recording, which must be there."""
    path = path_of(folder, trajectory, stage, epochs)
    content = torch.load(path, weights_only=True)
    return Recording(trajectory, stage, epochs, **content)


def record(trajectory: Trajectory, data_path: str, folder: Path) -> Iterator[str]:
    """Run a trajectory and write what is missing of it, a file at a time.

    Yields the name of each round as it ends.
    """
    config = trajectory.run_config(data_path)
    classes = load_dataset(str(config["data-path"])).num_classes
    model = build_model(trajectory.seed, classes, trajectory.model)
    state, momentum = model.state_dict(), History().momentum
    names = dict(model.named_parameters())
    for server_round in range(1, trajectory.num_rounds + 1):
        momentum.follow({name: state[name] for name in names})
        trained = _train(config, state, server_round, NUM_CLIENTS)
        stage = trajectory.stages.get(server_round)
        if stage is not None:
            start = {"received": state, "momentum": momentum.state}
            _record(trajectory, stage, config, start, trained, folder)
        state = _average(trained)
        yield f"{trajectory.name}, round {server_round}"


def is_recorded(trajectory: Trajectory, folder: Path) -> bool:
    """Tell whether all files of a trajectory are there."""
    return all(
        path_of(folder, trajectory, stage, epochs).exists()
        for stage in trajectory.stages.values()
        for epochs in LOCAL_EPOCHS
    )


Trained = list[tuple[State, float]]
"""What clients trained, and on how many images."""


def _train(
    config: RunConfig, received: State, server_round: int, num_clients: int
) -> Trained:
    results = [
        train_partition(config, received, server_round, client, NUM_CLIENTS, {})
        for client in range(num_clients)
    ]
    return [(state, metrics["num-examples"]) for state, metrics in results]


def _record(  # noqa: PLR0917 - all of it decides what is recorded
    trajectory: Trajectory,
    stage: str,
    config: RunConfig,
    start: dict[str, State],
    trained: Trained,
    folder: Path,
) -> None:
    server_round, received = ROUNDS[stage], start["received"]
    accuracy = _accuracy(config, received)
    for epochs in LOCAL_EPOCHS:
        path = path_of(folder, trajectory, stage, epochs)
        if path.exists():
            continue
        longer = {**config, "local-epochs": epochs}
        is_same = epochs == config["local-epochs"]
        honest = (
            trained if is_same else _train(longer, received, server_round, NUM_CLIENTS)
        )
        poisoned = {
            name: _train(
                {**longer, "fraction-malicious": NUM_POISONED / NUM_CLIENTS, **how},
                received,
                server_round,
                NUM_POISONED,
            )
            for name, how in POISONINGS.items()
        }
        content = {
            **start,
            "honest": [state for state, _ in honest],
            "poisoned": {name: [s for s, _ in some] for name, some in poisoned.items()},
            "accuracy": accuracy,
        }
        partial = path.with_suffix(".part")
        torch.save(content, partial)
        partial.replace(path)


def _accuracy(config: RunConfig, state: State) -> float:
    dataset = load_dataset(str(config["data-path"]))
    device = torch.device("cpu")
    model = model_with(state, dataset.num_classes, device, str(config["model"]))
    return test(model, dataset.test)[1]


def _average(trained: Trained) -> State:
    total = sum(weight for _, weight in trained)
    first = trained[0][0]
    return {
        name: sum(state[name].double() * (weight / total) for state, weight in trained)
        .to(value.dtype)
        .clone()
        for name, value in first.items()
    }
