"""``flwr-vdcs check`` on inputs, heads and outputs of other kinds, and their memory."""

import pytest
from typer.testing import CliRunner

from flwr_vdcs.cli import app
from tests.cli.test_check import FINE, FLAT, check, facts

run = CliRunner().invoke

NETWORKS = "tests.cli.networks"


def test_inputs_may_be_drawn_without_a_shape():
    """A model of two inputs is given a tuple."""
    draw = ["--virtual-samples", f"{NETWORKS}:images_and_tables"]
    found = run(app, ["check", "--model", f"{NETWORKS}:ImageAndTable", *draw])
    assert facts(found)["virtual samples"] == "100, as they are drawn"
    assert FINE in found.stdout


def test_neither_a_shape_nor_samples_is_an_input_error():
    """One of them must say what the model takes."""
    found = run(app, ["check", "--model", f"{NETWORKS}:sound"])
    assert "give --input-shape, the shape of one input, or --virtual" in found.output
    assert found.exit_code == 2


@pytest.mark.parametrize("scoring", ["paper", "hardened"])
def test_several_heads_can_be_named(scoring):
    """Their features stand side by side."""
    options = ["--head", "organ", "--head", "age", "--scoring", scoring]
    found = check("TwoHeads", FLAT, *options)
    told = facts(found)
    assert told["head"] == "organ, age"
    assert told["features"] == "16 numbers that 'organ' and 'age' are given"
    assert told["in the head"] == "54 numbers in 4 arrays"
    assert "'organ.bias'" not in found.stdout


@pytest.mark.parametrize("scoring", ["paper", "hardened"])
def test_a_model_of_one_layer_is_fine(scoring):
    """The model itself is the head."""
    found = check("logistic_regression", "12", "--scoring", scoring)
    assert facts(found)["head"] == "'' (the model itself)"
    assert FINE in found.stdout


def test_a_model_of_one_batch_size_is_fine():
    """If that many samples are drawn."""
    size = ["--num-virtual-samples", "16"]
    assert FINE in check("OneBatchSize", "7,4", *size, "--scoring", "hardened").stdout
    refused = check("OneBatchSize", "7,4")
    assert "If it takes one batch size only" in refused.output
    assert refused.exit_code == 2


def test_memory_is_estimated():
    """Activations of 100 images, and twice the features of four clients."""
    told = facts(check("Segmenting", "1,16,16"))
    assert told["estimated memory"] == "8.2 MB a round"


def test_what_does_not_fit_is_a_problem_before_anything_large_runs(monkeypatch):
    """The estimate is compared with what is free."""
    monkeypatch.setattr("flwr_vdcs.cli.checking.trial.free_memory", lambda _d: 10**6)
    found = check("Segmenting", "1,16,16")
    assert "a round would take about 8.2 MB besides the updates" in found.output
    assert "1.0 MB are free on cpu. Lower --num-virtual-samples" in found.output
    assert found.exit_code == 1
