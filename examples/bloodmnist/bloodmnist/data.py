"""Blood cell images, or digits where there are none, and each client's part of them.

Run ``python -m bloodmnist.data --help`` to print and draw a partition.
"""

from __future__ import annotations

import sys
import warnings
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from torch import Tensor
from torch.nn.functional import interpolate

from bloodmnist.partition import partition
from bloodmnist.run_config import RunConfig, with_defaults

INPUT_SHAPE = (3, 28, 28)
DIGITS = "digits"


@dataclass(frozen=True)
class Images:
    """Images and their classes.

    Attributes
    ----------
    pixels : Tensor
        Shape ``(n, 3, 28, 28)``, of bytes.
    labels : Tensor
        Shape ``(n,)``, of class numbers from 0.
    """

    pixels: Tensor
    labels: Tensor

    def __len__(self) -> int:
        """Count the images."""
        return len(self.labels)

    def select(self, rows: Tensor) -> Images:
        """Take the images of the given row numbers."""
        return Images(self.pixels[rows], self.labels[rows])

    def normalised(self) -> Tensor:
        """Give the pixels as the model takes them: mean 0.5 and deviation 0.5."""
        return (self.pixels.float() / 255 - 0.5) / 0.5


@dataclass(frozen=True)
class Dataset:
    """The images by what they are for."""

    name: str
    num_classes: int
    train: Images
    validation: Images
    test: Images


def make_generator(*numbers: int) -> torch.Generator:
    """Make a random generator that depends on the given numbers alone."""
    state = np.random.SeedSequence(numbers).generate_state(1)
    return torch.Generator().manual_seed(int(state[0]))


@lru_cache(maxsize=1)
def load_dataset(data_path: str) -> Dataset:
    """Load the images, once a process.

    Parameters
    ----------
    data_path : str
        Path of a ``bloodmnist.npz`` in MedMNIST's layout, or ``"digits"`` for
        scikit-learn's. Empty: the blood cells if ``medmnist`` is installed and can
        download them, or has done so before; the digits otherwise.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    """
    if data_path == DIGITS:
        return _load_digits()
    path = Path(data_path) if data_path else _download()
    return _load_npz(path) if path else _load_digits()


def load_partition(
    run_config: RunConfig, partition_id: int, num_partitions: int
) -> tuple[Images, int]:
    """Load the training images of one client, and say how many classes there are."""
    dataset = load_dataset(str(run_config["data-path"]))
    rows = partition(run_config, dataset.train.labels, num_partitions)
    return dataset.train.select(rows[partition_id]), dataset.num_classes


def count_labels(run_config: RunConfig, num_partitions: int) -> Tensor:
    """Count every client's images of each class, shape ``(clients, classes)``."""
    dataset = load_dataset(str(run_config["data-path"]))
    rows = partition(run_config, dataset.train.labels, num_partitions)
    return torch.stack(
        [dataset.train.labels[r].bincount(minlength=dataset.num_classes) for r in rows]
    )


def _download() -> Path | None:
    try:
        import medmnist
    except ImportError:
        return None
    try:
        path = Path(medmnist.BloodMNIST(split="train", download=True).root)
    except (OSError, RuntimeError) as error:
        warnings.warn(f"no blood cells ({error}): using digits", stacklevel=2)
        return None
    return path / "bloodmnist.npz"


def _load_npz(path: Path) -> Dataset:
    with np.load(path) as arrays:
        parts = [
            Images(
                torch.from_numpy(arrays[f"{part}_images"]).permute(0, 3, 1, 2),
                torch.from_numpy(arrays[f"{part}_labels"]).flatten().long(),
            )
            for part in ("train", "val", "test")
        ]
    num_classes = int(parts[0].labels.max()) + 1
    return Dataset("blood cells", num_classes, *parts)


def _load_digits() -> Dataset:
    """Enlarge the digits to the input shape, and split them 7 to 1 to 2."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    small = torch.from_numpy(digits.images)[:, None].float() * (255 / 16)
    large = interpolate(small, size=INPUT_SHAPE[1:], mode="bilinear").round().byte()
    images = Images(
        large.expand(-1, INPUT_SHAPE[0], -1, -1), torch.from_numpy(digits.target).long()
    )
    order = torch.randperm(len(images), generator=make_generator(0))
    parts = order.split(_split_sizes(len(images)))
    return Dataset("digits", 10, *(images.select(rows) for rows in parts))


def _split_sizes(num_images: int) -> list[int]:
    num_validation, num_test = round(0.1 * num_images), round(0.2 * num_images)
    return [num_images - num_validation - num_test, num_validation, num_test]


def main(
    *,
    data_path: Annotated[
        str, typer.Option(help="A bloodmnist.npz, or 'digits'; empty: download.")
    ] = "",
    kind: Annotated[
        str, typer.Option("--partition", help="As the run config's partition.")
    ] = "dirichlet",
    alpha: Annotated[float, typer.Option(help="Of the Dirichlet draw.")] = 10.0,
    images_min: Annotated[int, typer.Option(help="Fewest images a client.")] = 200,
    images_max: Annotated[int, typer.Option(help="Most images a client.")] = 400,
    num_clients: Annotated[int, typer.Option(min=1, help="How many clients.")] = 10,
    seed: Annotated[int, typer.Option(min=0, help="Decides who gets what.")] = 0,
    output: Annotated[Path | None, typer.Option(help="Picture to write.")] = None,
) -> None:
    """Print how many images of each class every client holds, and draw it."""
    run_config = with_defaults(
        {
            "data-path": data_path,
            "partition": kind,
            "alpha": alpha,
            "images-min": images_min,
            "images-max": images_max,
            "seed": seed,
        }
    )
    from bloodmnist.partition_picture import draw, tabulate

    counts = count_labels(run_config, num_clients)
    title = f"{load_dataset(data_path).name}, {kind}, alpha {alpha:g}, seed {seed}"
    sys.stdout.write(tabulate(counts) + "\n")
    if output:
        draw(output, title, counts)
        sys.stdout.write(f"Picture: {output}\n")


if __name__ == "__main__":
    typer.run(main)
