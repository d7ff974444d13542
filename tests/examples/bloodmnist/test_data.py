"""Data: where images come from, and which client gets which."""

import os
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from bloodmnist import data
from bloodmnist.partition import PARTITIONERS, partition
from bloodmnist.run_config import read_defaults, with_defaults
from hypothesis import given
from hypothesis import strategies as st

NUM_CLASSES = 4
LABELS = torch.arange(4000) % NUM_CLASSES


def config(kind="dirichlet", least=20, most=60, alpha=1.0, seed=0):
    """Make a run config for a partition."""
    return with_defaults(
        {
            "partition": kind,
            "images-min": least,
            "images-max": most,
            "alpha": alpha,
            "seed": seed,
        }
    )


def count(rows, labels=LABELS):
    """Count every client's images of each class."""
    return np.array([np.bincount(labels[r], minlength=NUM_CLASSES) for r in rows])


# --- partitions -----------------------------------------------------------------------


@given(
    kind=st.sampled_from(list(PARTITIONERS)),
    num_partitions=st.integers(1, 12),
    alpha=st.floats(2, 1e4),
    seed=st.integers(0, 2**31),
)
def test_no_image_is_given_twice(kind, num_partitions, alpha, seed):
    """All clients' rows together are different, and rows of the training images."""
    rows = torch.cat(
        partition(config(kind, 20, 60, alpha, seed), LABELS, num_partitions)
    )
    assert len(rows.unique()) == len(rows)
    assert rows.min() >= 0
    assert rows.max() < len(LABELS)


@given(
    kind=st.sampled_from(["iid", "dirichlet"]),
    alpha=st.floats(0.01, 100),
    seed=st.integers(0, 2**31),
)
def test_quantities_lie_between_their_limits(kind, alpha, seed):
    """Uniform quantities include both ends, however skewed the classes are."""
    sizes = {len(r) for r in partition(config(kind, 5, 7, alpha, seed), LABELS, 50)}
    assert sizes <= {5, 6, 7}


def test_classes_follow_the_dirichlet_draw():
    """Sizes and proportions drawn anew from the same stream explain the counts."""
    settings = config(least=300, most=500, alpha=2.0, seed=5)
    rng = np.random.default_rng(np.random.SeedSequence([5, 1]))
    sizes = rng.integers(300, 500, 3, endpoint=True)
    expected = rng.dirichlet([2.0] * NUM_CLASSES, 3)

    counts = count(partition(settings, LABELS, 3))

    assert counts.sum(axis=1).tolist() == sizes.tolist()
    deviation = np.sqrt(expected * (1 - expected) / sizes[:, None])
    assert (np.abs(counts / sizes[:, None] - expected) <= 4 * deviation).all()


def test_large_alpha_gives_equal_classes_and_small_alpha_one():
    """The largest class has a quarter of the images at 1e6, nearly all at 0.01."""
    for alpha, low, high in ((1e6, 0.2, 0.4), (0.01, 0.8, 1.0)):
        counts = count(partition(config(least=100, most=100, alpha=alpha), LABELS, 6))
        assert low <= (counts.max(axis=1) / 100).mean() <= high


def test_class_that_has_run_out_is_replaced():
    """Of 10 and 90 images, two clients of 50 take every one, at any alpha."""
    labels = torch.tensor([0] * 10 + [1] * 90)
    for seed in range(20):
        settings = config(least=50, most=50, alpha=0.001, seed=seed)
        rows = torch.cat(partition(settings, labels, 2))
        assert sorted(rows.tolist()) == list(range(100))


def test_sizes_shrink_together_where_there_are_too_few_images():
    """Ten clients of 800 each, from 4000 images, get 400 each."""
    rows = partition(config("iid", 800, 800), LABELS, 10)
    assert [len(r) for r in rows] == [400] * 10


def test_one_class_a_client():
    """Client k has class k mod 4 alone; clients of a class have different images."""
    rows = partition(config("one-class", 600, 600), LABELS, 6)
    counts = count(rows)
    assert (counts > 0).sum(axis=1).tolist() == [1] * 6
    assert counts.argmax(axis=1).tolist() == [0, 1, 2, 3, 0, 1]
    assert counts.sum(axis=1).tolist() == [500, 500, 600, 600, 500, 500]


def test_quantity_skew_is_niid_bench_s():
    """Shares are Dirichlet draws, of which the first with 10 images each is taken."""
    settings = config("quantity-dirichlet", 20, 60, alpha=0.5, seed=3)
    rng = np.random.default_rng(np.random.SeedSequence([3, 1]))
    while (sizes := np.floor(rng.dirichlet([0.5] * 5) * 200)).min() < 10:
        pass
    assert [len(r) for r in partition(settings, LABELS, 5)] == sizes.tolist()


def test_partition_depends_on_the_seed_alone():
    """The same seed shares out the same images, another seed others."""
    first, again, other = (
        torch.cat(partition(config(seed=seed), LABELS, 5)) for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first[:100], other[:100])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "foo"}, r"'foo'.* \['iid', 'dirichlet'"),
        ({"alpha": 0.0}, r"positive, got 0\.0.*one-class"),
        ({"least": 7, "most": 6}, "from 1 to images-max, got 7 and 6"),
        ({"kind": "quantity-dirichlet", "alpha": 1e-6}, "use a larger alpha"),
    ],
)
def test_impossible_partition_says_what_to_do(settings, message):
    """An unknown way or an impossible setting is named."""
    with pytest.raises(ValueError, match=message):
        partition(config(**settings), LABELS, 5)


def test_too_few_images_for_the_clients():
    """A client without images cannot train: 4000 images are not enough for 4000."""
    with pytest.raises(ValueError, match="4000 training images are too few"):
        partition(config("iid"), LABELS, 4000)


# --- images ---------------------------------------------------------------------------


@pytest.fixture
def npz(tmp_path):
    """Write a file in MedMNIST's layout; image 0 is black but for one red pixel."""
    images = np.zeros((6, 28, 28, 3), np.uint8)
    images[0, 2, 5, 0] = 255
    labels = np.array([[0], [1], [2], [0], [1], [2]], np.uint8)
    arrays = {}
    for part in ("train", "val", "test"):
        arrays |= {f"{part}_images": images, f"{part}_labels": labels}
    np.savez(tmp_path / "bloodmnist.npz", **arrays)
    return tmp_path / "bloodmnist.npz"


def test_file_is_read_in_medmnist_s_layout(npz):
    """Rows, columns and channels find their places; bytes become -1 to 1."""
    dataset = data.load_dataset(str(npz))
    pixels = dataset.train.normalised()
    assert pixels.shape == (6, *data.INPUT_SHAPE)
    assert (pixels == 1).nonzero().tolist() == [[0, 0, 2, 5]]
    assert pixels.min() == -1
    assert dataset.num_classes == 3
    assert dataset.test.labels.tolist() == [0, 1, 2, 0, 1, 2]


def test_missing_file_is_an_error(tmp_path):
    """A wrong path is not answered with other data."""
    with pytest.raises(FileNotFoundError):
        data.load_dataset(str(tmp_path / "nothing.npz"))


def test_digits_are_split_for_three_purposes():
    """All 1797 digits, 7 to 1 to 2, in the blood cells' shape and range."""
    dataset = data.load_dataset("digits")
    parts = (dataset.train, dataset.validation, dataset.test)
    assert [len(part) for part in parts] == [1258, 180, 359]
    assert dataset.train.pixels.shape[1:] == data.INPUT_SHAPE
    assert (dataset.train.pixels.min(), dataset.train.pixels.max()) == (0, 255)


def test_without_medmnist_there_are_digits(monkeypatch):
    """Nothing is needed to try the app."""
    monkeypatch.setitem(sys.modules, "medmnist", None)
    data.load_dataset.cache_clear()
    assert data.load_dataset("").name == "digits"


def test_without_the_internet_there_are_digits_and_a_warning(monkeypatch):
    """A download that fails is said, and replaced."""
    monkeypatch.setitem(sys.modules, "medmnist", SimpleNamespace(BloodMNIST=_fail))
    data.load_dataset.cache_clear()
    with pytest.warns(UserWarning, match="offline.*digits"):
        assert data.load_dataset("").name == "digits"


def _fail(**_):
    raise RuntimeError("offline")


def test_medmnist_s_download_is_read(monkeypatch, npz):
    """The file that the library puts into its folder is taken."""
    medmnist = SimpleNamespace(BloodMNIST=lambda **_: SimpleNamespace(root=npz.parent))
    monkeypatch.setitem(sys.modules, "medmnist", medmnist)
    data.load_dataset.cache_clear()
    assert data.load_dataset("").num_classes == 3
    data.load_dataset.cache_clear()


def test_real_images_are_enough_for_ten_clients():
    """The blood cells give ten clients what the paper's profile asks for."""
    path = os.environ.get("BLOODMNIST_NPZ")
    if not path:
        pytest.skip("BLOODMNIST_NPZ does not name a bloodmnist.npz")
    settings = with_defaults(
        {"data-path": path, "images-min": 500, "images-max": 1000, "alpha": 0.1}
    )
    counts = data.count_labels(settings, 10)
    assert counts.shape == (10, 8)
    assert 500 <= counts.sum(dim=1).min() <= counts.sum(dim=1).max() <= 1000


# --- the command ----------------------------------------------------------------------


def test_partition_is_printed_and_drawn(capsys, tmp_path):
    """Every client has a line with its counts, and the picture is a PNG file."""
    picture = tmp_path / "partition.png"
    data.main(data_path="digits", num_clients=3, images_max=400, output=picture)
    header, *lines = capsys.readouterr().out.splitlines()
    assert header.split()[:3] == ["client", "class", "0"]
    numbers = [[int(word) for word in line.split()] for line in lines[:3]]
    assert [row[0] for row in numbers] == [0, 1, 2]
    assert all(sum(row[1:-1]) == row[-1] for row in numbers)
    assert picture.read_bytes().startswith(b"\x89PNG")


# --- settings -------------------------------------------------------------------------


def test_settings_are_completed_by_the_defaults():
    """What is not given is the default, and a whole number is a real one."""
    assert with_defaults({}) == read_defaults()
    assert with_defaults({"alpha": 1})["alpha"] == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"alfa": 1.0}, r"unknown settings \['alfa'\]"),
        ({"seed": 1.5}, r"seed must be a int.*got 1\.5"),
        ({"seed": True}, "seed must be a int.*got True"),
    ],
)
def test_wrong_setting_is_refused(settings, message):
    """A typing error does not become an experiment."""
    with pytest.raises(ValueError, match=message):
        with_defaults(settings)
