"""What a round costs with the plugin, as ratios to plain forward passes and Flower.

Run ``python examples/benchmarks/cost.py``; it prints two tables and writes their
numbers to a CSV. ResNet-18 with 8 classes, 28x28 images, 100 virtual samples.
"""

import csv
import ctypes
import gc
import logging
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import psutil
import torch
import typer
from flwr.app import ArrayRecord, ConfigRecord, Message
from flwr.serverapp.strategy import FedAvg, FedTrimmedAvg, MultiKrum, Strategy
from replies import make_reply
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from torch import nn
from torchvision.models import resnet18

from flwr_vdcs import (
    PaperScoring,
    VirtualConsistencyStrategy,
    examine_round,
    resolve_device,
)

INPUT_SHAPE = (3, 28, 28)
NUM_SAMPLES = 100
MEBIBYTE = 2**20


class Nothing(FedAvg):
    """Aggregate nothing, so that only the plugin is measured."""

    def aggregate_train(self, server_round: int, replies: Any) -> tuple[None, None]:
        """Ignore the replies."""
        return None, None


def make_records(model: nn.Module, num_clients: int) -> list[ArrayRecord]:
    """Move the model a little, differently for each client."""
    generator = torch.Generator().manual_seed(0)

    def moved(value: torch.Tensor) -> torch.Tensor:
        if not value.is_floating_point():
            return value
        return value + 0.01 * torch.randn(value.shape, generator=generator)

    state = model.state_dict()
    return [
        ArrayRecord({key: moved(value) for key, value in state.items()})
        for _ in range(num_clients)
    ]


def make_replies(records: list[ArrayRecord]) -> list[Message]:
    """Wrap records in messages of their own, as strategies empty them."""
    return [make_reply(node, record) for node, record in enumerate(records, start=1)]


def seconds(run: Callable[[], object]) -> float:
    """Time one call."""
    gc.collect()
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def forward_passes(
    model: nn.Module, num_clients: int, device: torch.device
) -> Callable[[], None]:
    """Run the model once a client, on one batch, and take what it answers."""
    batch = torch.randn(NUM_SAMPLES, *INPUT_SHAPE, device=device)

    def run() -> None:
        with torch.no_grad():
            for _ in range(num_clients):
                model(batch).cpu()

    return run


def loads(model: nn.Module, start: ArrayRecord, num_clients: int) -> Callable[[], None]:
    """Load arrays into the model once a client, from the server's memory."""
    state = start.to_torch_state_dict()

    def run() -> None:
        for _ in range(num_clients):
            model.load_state_dict(state)
        next(model.parameters()).sum().item()

    return run


class TimedScoring(PaperScoring):
    """The published score, with a stopwatch for each of its stages."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = defaultdict(float)

    def features(self, *args: Any) -> Any:
        """Look at one update."""
        with self._timing("features"):
            return super().features(*args)

    def scores(self, features: Any) -> torch.Tensor:
        """Score the round."""
        with self._timing("scores"):
            return super().scores(features)

    @contextmanager
    def _timing(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.spent[stage] += time.perf_counter() - start


def give_back_free_memory() -> None:
    """Let new memory show: Linux keeps what was freed for later use."""
    gc.collect()
    if sys.platform == "linux":
        ctypes.CDLL(None).malloc_trim(0)


@contextmanager
def peak_memory() -> Iterator[list[int]]:
    """Watch how far the resident memory rises, in bytes."""
    process, done, peak = psutil.Process(), threading.Event(), [0]
    give_back_free_memory()
    start = process.memory_info().rss

    def watch() -> None:
        while not done.wait(0.001):
            peak[0] = max(peak[0], process.memory_info().rss - start)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield peak
    finally:
        done.set()
        watcher.join()


def protected(
    model: nn.Module, device: torch.device, scoring: str = "paper"
) -> Strategy:
    """Put the plugin around a strategy that does nothing."""
    return VirtualConsistencyStrategy(
        Nothing(fraction_train=0.0),
        model=model,
        input_shape=INPUT_SHAPE,
        num_malicious=3,
        num_virtual_samples=NUM_SAMPLES,
        scoring=scoring,
        device=device,
    )


def plugin_round(strategy: Any, start: ArrayRecord, records: list[ArrayRecord]) -> None:
    """Do all that the plugin does in a round."""
    strategy.configure_train(1, start, ConfigRecord(), None)
    strategy.aggregate_train(1, make_replies(records))


def measure_memory(
    model: nn.Module, start: ArrayRecord, records: list[ArrayRecord]
) -> dict[str, float]:
    """Measure the first round of a new plugin, its copy of the model included."""
    model_size = sum(len(array.data) for array in start.values())
    features = len(records) * NUM_SAMPLES * model.get_submodule("fc").in_features * 4
    with peak_memory() as peak:
        plugin_round(protected(model, torch.device("cpu")), start, records)
    return {
        "peak MiB": peak[0] / MEBIBYTE,
        "allowed MiB": (2 * model_size + features) / MEBIBYTE,
    }


def measure_time(
    model: nn.Module,
    start: ArrayRecord,
    records: list[ArrayRecord],
    device: torch.device,
) -> dict[str, float]:
    """Measure the plugin, its stages and its yardsticks once, one after the other."""
    strategy = protected(model, device)
    hardened = protected(model, device, "hardened")
    passes = forward_passes(model.to(device), len(records), device)
    model.train()
    found = {"forward, batch statistics": seconds(passes)}
    model.eval()
    found["forward, running statistics"] = seconds(passes)
    found["loading"] = seconds(loads(model, start, len(records)))
    found["plugin"] = seconds(lambda: plugin_round(strategy, start, records))
    found["plugin, hardened"] = seconds(lambda: plugin_round(hardened, start, records))
    return found | breakdown(model, start, records, device)


def breakdown(
    model: nn.Module,
    start: ArrayRecord,
    records: list[ArrayRecord],
    device: torch.device,
) -> dict[str, float]:
    """Take a round apart; decoding is not in it, as nothing travels."""
    scoring = TimedScoring()
    report = examine_round(
        model,
        start.to_torch_state_dict(),
        [record.to_torch_state_dict() for record in records],
        input_shape=INPUT_SHAPE,
        num_malicious=3,
        num_virtual_samples=NUM_SAMPLES,
        scoring=scoring,
        device=device,
    ).report
    rest = report.seconds - sum(scoring.spent.values())
    return {**scoring.spent, "admission and the rest": rest}


def measure_flower(start: ArrayRecord, records: list[ArrayRecord]) -> dict[str, float]:
    """Measure Flower's own strategies on the same replies."""
    strategies = {
        "FedAvg": FedAvg(),
        "MultiKrum": MultiKrum(num_malicious_nodes=3, num_nodes_to_select=7),
        "FedTrimmedAvg": FedTrimmedAvg(),
    }
    found = {}
    for name, strategy in strategies.items():
        strategy.current_arrays = start
        replies = make_replies(records)
        found[name] = seconds(lambda s=strategy, r=replies: s.aggregate_train(1, r))
    return found


def median_of(runs: list[dict[str, float]]) -> dict[str, float]:
    """Take the median of each figure."""
    return {name: median(run[name] for run in runs) for name in runs[0]}


def measure(num_clients: int, repeats: int, device: torch.device) -> dict[str, float]:
    """Measure everything for one number of clients; memory is that of the CPU."""
    torch.manual_seed(0)
    model = resnet18(num_classes=8)
    start, *records = make_records(model, num_clients + 1)
    forward_passes(model.train(), 2, torch.device("cpu"))()
    memory = measure_memory(model, start, records)
    measure_time(model, start, records, device)
    times = [measure_time(model, start, records, device) for _ in range(repeats)]
    return median_of(times) | measure_flower(start, records) | memory


def ratios(found: dict[str, float]) -> dict[str, float]:
    """Relate the plugin's round to each yardstick of the same run."""
    return {
        "to K forward passes": found["plugin"] / found["forward, batch statistics"],
        "to K passes in eval mode": (
            found["plugin"] / found["forward, running statistics"]
        ),
        "hardened to K passes in eval mode": (
            found["plugin, hardened"] / found["forward, running statistics"]
        ),
        "hardened to loading and K passes": (
            found["plugin, hardened"]
            / (found["loading"] + found["forward, running statistics"])
        ),
        "hardened to paper": found["plugin, hardened"] / found["plugin"],
        "to FedAvg": found["plugin"] / found["FedAvg"],
        "to MultiKrum": found["plugin"] / found["MultiKrum"],
        "to FedTrimmedAvg": found["plugin"] / found["FedTrimmedAvg"],
        "memory to allowance": found["peak MiB"] / found["allowed MiB"],
    }


def table(title: str, columns: dict[int, dict[str, float]], digits: int) -> Table:
    """Lay out one column for each number of clients."""
    laid_out = Table("", *(f"K = {k}" for k in columns), title=title)
    for row in next(iter(columns.values())):
        cells = (f"{column[row]:.{digits}f}" for column in columns.values())
        laid_out.add_row(row, *cells)
    return laid_out


def write_csv(path: Path, columns: dict[int, dict[str, float]]) -> None:
    """Write one row for each figure."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["clients", "figure", "value"])
        for num_clients, column in columns.items():
            writer.writerows((num_clients, *item) for item in column.items())


def main(
    clients: Annotated[list[int], typer.Option(help="Numbers of clients K.")] = [  # noqa: B006
        10,
        20,
        40,
    ],
    repeats: Annotated[int, typer.Option(help="Runs to take the median of.")] = 5,
    threads: Annotated[int, typer.Option(help="Threads for PyTorch; 0: all.")] = 0,
    device: Annotated[str, typer.Option(help="Where the model runs.")] = "cpu",
    output: Annotated[Path, typer.Option(help="The CSV.")] = Path("cost.csv"),
) -> None:
    """Measure what a round costs and print it as a table."""
    console = Console()
    logging.getLogger("flwr").setLevel(logging.ERROR)
    if threads:
        torch.set_num_threads(threads)
    where = resolve_device(device)
    found: dict[int, dict[str, float]] = {}
    with Progress(console=console) as progress:
        for num_clients in progress.track(clients, description="Measuring"):
            found[num_clients] = measure(num_clients, repeats, where)
    related = {k: ratios(column) for k, column in found.items()}
    title = f"Seconds a round ({where}, {torch.get_num_threads()} threads)"
    console.print(table(title, found, 3), table("The plugin's round", related, 2))
    first, last = clients[0], clients[-1]
    growth = found[last]["plugin"] / found[first]["plugin"]
    console.print(f"{last / first:g} times the clients: {growth:.2f} times the time")
    write_csv(output, {k: found[k] | related[k] for k in clients})
    console.print(f"Written to {output}")


if __name__ == "__main__":
    typer.run(main)
