"""A Flower app must hold all its files, so some stand in several; they are equal."""

from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"

COPIES = {
    "data.py": ("quickstart/quickstart", "hospitals/hospitals"),
    "training.py": ("quickstart/quickstart", "hospitals/hospitals"),
    "journal.py": ("quickstart/quickstart", "bloodmnist/bloodmnist"),
    "partitions.py": ("quickstart/quickstart", "bloodmnist/bloodmnist"),
    "LICENSE": ("quickstart", "hospitals", "bloodmnist", "legacy"),
}


@pytest.mark.parametrize(("name", "folders"), COPIES.items(), ids=COPIES)
def test_a_file_that_apps_repeat_is_the_same_in_all(name, folders):
    """Whoever mends one mends the others."""
    first, *others = ((EXAMPLES / folder / name).read_bytes() for folder in folders)
    assert all(other == first for other in others)
