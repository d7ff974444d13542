"""What a round costs on Ray, beside the same round in the server's process.

Run ``python examples/benchmarks/cost_ray.py``; it prints a table and writes its rows to
a CSV. ResNet-18 with 8 classes, 28x28 images, 100 virtual samples. The
CPU seconds are those of the server and of all of Ray's processes together.
"""

import csv
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Annotated

import psutil
import torch
import typer
from cost import INPUT_SHAPE, make_records
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torchvision.models import resnet18

from flwr_vdcs import Examination, RayExecutor, examine_round

State = dict[str, Tensor]


def examine(
    model: nn.Module, states: list[State], scoring: str, executor: RayExecutor | None
) -> Examination:
    """Examine one round."""
    return examine_round(
        model,
        states[0],
        states[1:],
        input_shape=INPUT_SHAPE,
        num_malicious=3,
        scoring=scoring,
        device="cpu",
        seed=0,
        executor=executor,
    )


def cpu_seconds() -> float:
    """Add up what this process and all that it has started have computed so far."""
    here = psutil.Process()
    times = [each.cpu_times() for each in (here, *here.children(recursive=True))]
    return sum(each.user + each.system for each in times)


def measure(
    model: nn.Module,
    states: list[State],
    scoring: str,
    executor: RayExecutor,
    repeats: int,
) -> dict[str, object]:
    """Time rounds here and there in turn, after a small one that starts all."""
    places = {"in process": None, "on Ray": executor}
    wall: dict[str, list[float]] = {place: [] for place in places}
    cpu: dict[str, list[float]] = {place: [] for place in places}
    scores = set()
    for place in places.values():
        examine(model, states[:5], scoring, place)
    for _ in range(repeats):
        for name, place in places.items():
            cpu_before, before = cpu_seconds(), perf_counter()
            report = examine(model, states, scoring, place).report
            wall[name].append(perf_counter() - before)
            cpu[name].append(cpu_seconds() - cpu_before)
            scores.add(tuple(each.score for each in report.decisions))
    return {
        "scoring": scoring,
        "clients": len(states) - 1,
        "workers": executor.num_workers,
        "threads": torch.get_num_threads(),
        **{f"{name}, s": round(median(each), 1) for name, each in wall.items()},
        **{f"{name}, CPU s": round(median(each), 1) for name, each in cpu.items()},
        "same scores": len(scores) == 1,
    }


def main(
    clients: Annotated[int, typer.Option(help="How many clients, K.")] = 20,
    workers: Annotated[int, typer.Option(help="Ray's workers, of a CPU each.")] = 2,
    threads: Annotated[int, typer.Option(help="Threads for PyTorch, everywhere.")] = 1,
    repeats: Annotated[int, typer.Option(help="Rounds to take the median of.")] = 5,
    output: Annotated[Path, typer.Option(help="The CSV.")] = Path("cost-ray.csv"),
) -> None:
    """Measure a round here and on Ray, for both scorings."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    model = resnet18(num_classes=8)
    records = make_records(model, clients + 1)
    states = [record.to_torch_state_dict() for record in records]
    executor = RayExecutor(num_workers=workers)
    rows = [
        measure(model, states, scoring, executor, repeats)
        for scoring in ("paper", "hardened")
    ]
    table = Table(*rows[0])
    for row in rows:
        table.add_row(*map(str, row.values()))
    Console().print(table)
    with output.open("w", newline="") as file:
        writer = csv.DictWriter(file, [*rows[0]])
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    typer.run(main)
