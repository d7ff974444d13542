"""The command ``check``: what it finds in models, with a remedy for each."""

import sys

import pytest
import torch
from typer.testing import CliRunner

from flwr_vdcs.cli import app
from flwr_vdcs.cli.checking.anatomy import anatomy_of
from flwr_vdcs.cli.checking.memory import RESET, watched
from flwr_vdcs.cli.checking.reach import reach_of
from flwr_vdcs.report import INSENSITIVE
from tests.cli import networks

run = CliRunner().invoke

FINE = "Nothing speaks against it."
FLAT = "3,4"


def check(model: str, input_shape: str = FLAT, *options: str):
    """Run the command with the published score on one of the models beside this file.

    Of two scorings the one that is named last counts.
    """
    name = f"tests.cli.networks:{model}"
    arguments = ["check", "--model", name, "--input-shape", input_shape]
    arguments += ["--scoring", "paper"]
    return run(app, [*arguments, "--clients", "4", *options])


def facts(found) -> dict[str, str]:
    """Read the plain lines of the table."""
    return dict(
        line.split(": ", 1) for line in found.stdout.splitlines() if ": " in line
    )


@pytest.mark.parametrize("model", ["sound", "an_instance"])
def test_a_sound_model_is_fine(model):
    """A function that makes a model, and a model itself, can both be named."""
    found = check(model)
    assert FINE in found.stdout
    assert found.exit_code == 0


def test_the_facts_can_be_counted_by_hand():
    """12 x 16 + 16 numbers before the head, 16 x 4 + 4 in it."""
    told = facts(check("sound"))
    assert told["head"] == "4"
    assert told["features"] == "16 numbers that '4' is given"
    assert told["parameters"] == "276 numbers in 4 arrays"
    assert told["in the head"] == "68 numbers in 2 arrays"
    assert told["buffers"] == told["frozen"] == "none"
    assert told["stochastic layers"] == "1 ('3'): off while scoring"
    assert told["virtual samples"] == "100 of (3, 4)"
    assert told["time"].endswith(" s a round with 4 clients")
    assert told["memory"].endswith("the updates of 1.1 kB each")
    assert INSENSITIVE < float(told["sensitivity"].split()[0]) <= 1


def test_batch_normalisation_is_told_as_each_scoring_treats_it():
    """The published score does not look at running statistics, the other does."""
    paper = facts(check("normalised", "1,6,6"))
    hardened = facts(check("normalised", "1,6,6", "--scoring", "hardened"))
    assert paper["buffers"] == "9 numbers in 3 arrays"
    assert "running ones are not looked at" in paper["batch normalisation"]
    assert "judged by how far they moved" in hardened["batch normalisation"]
    assert hardened["scoring"] == "hardened"


def test_the_scoring_is_a_servers_unless_another_is_named():
    """Hardened scoring looks at a model that the published score is blind to."""
    options = ["--model", "tests.cli.networks:frozen", "--input-shape", FLAT]
    found = run(app, ["check", *options])
    assert facts(found)["scoring"] == "hardened"
    assert FINE in found.stdout


def test_frozen_layers_leave_nothing_to_score():
    """All scores are equal, and a remedy is named."""
    found = check("frozen")
    assert "fails: all scores are the same: all layers before the head are frozen" in (
        found.stdout
    )
    assert 'use scoring="hardened"' in found.stdout
    assert found.exit_code == 1


def test_a_frozen_first_layer_makes_the_score_blind():
    """Its delta is zero, so the virtual samples do not get through."""
    found = check("frozen_at_the_entrance")
    assert "fails: the score is blind" in found.stdout
    assert "train all layers" in found.stdout
    assert found.exit_code == 1


def test_a_deep_residual_network_is_blind_without_any_frozen_layer():
    """Deltas of scales shrink what comes in, layer by layer."""
    options = ["--model", "torchvision.models:resnet18", "--input-shape", "3,28,28"]
    options += ["--scoring", "paper", "--clients", "3", "--num-virtual-samples", "8"]
    found = run(app, ["check", *options])
    assert "fails: the score is blind" in found.stdout
    assert "name an earlier --head" in found.stdout
    assert found.exit_code == 1


def test_scores_may_be_equal_with_trained_layers():
    """A layer that divides by a frozen weight makes all features overflow."""
    found = check("dividing")
    assert "fails: all scores are the same; train a layer" in found.stdout
    assert found.exit_code == 1


def test_a_model_for_which_there_is_no_memory_fails():
    """No server could protect it, and no update is to blame."""
    found = check("OnlyPairs")
    assert "fails: the server runs out of memory, so every round" in found.stdout
    assert "quarantined" not in found.stdout
    assert facts(found)["sensitivity"].startswith("not measured")
    assert found.exit_code == 1


@pytest.mark.parametrize(
    ("model", "doubts"),
    [
        ("TwoHeads", ["gives 2 outputs, and only what 'age'", "'organ.bias'"]),
        ("FunctionalHead", ["as many classes as 'middle'", "outside the head: 'last'"]),
        ("Noisy", ["draws random numbers in evaluation mode too"]),
    ],
)
def test_doubts_are_told_but_are_no_failure(model, doubts):
    """One may know better."""
    found = check(model)
    assert found.stdout.count("doubtful: ") == len(doubts)
    assert all(doubt in found.stdout for doubt in doubts)
    assert FINE not in found.stdout
    assert found.exit_code == 0


def test_another_head_can_be_named():
    """The features are what that layer is given."""
    told = facts(check("TwoHeads", FLAT, "--head", "organ"))
    assert told["head"] == "organ"


def test_hardened_scoring_has_no_doubt_about_what_it_sees():
    """It looks at parameters that no feature depends on."""
    found = check("FunctionalHead", FLAT, "--scoring", "hardened")
    assert "outside the head" not in found.stdout
    assert "hardened scoring does not depend on it" in facts(found)["sensitivity"]


def test_nothing_speaks_against_tied_parameters():
    """The made-up clients move them alike, as real ones do."""
    draw = ["--virtual-samples", "tests.cli.networks:token_ids"]
    found = check("Tied", "7", *draw)
    assert "Nothing speaks against it." in found.stdout
    assert found.exit_code == 0


def test_token_models_need_their_own_virtual_samples():
    """Without them the model refuses real numbers, and the error says what to give."""
    refused = check("TokenLSTM", "7")
    assert "`virtual_samples` if the model does not take real numbers" in refused.output
    assert refused.exit_code == 2
    draw = ["--virtual-samples", "tests.cli.networks:token_ids"]
    assert facts(check("TokenLSTM", "7", *draw))["head"] == "decoder"


def test_a_model_that_cannot_be_differentiated_is_tried_all_the_same():
    """Only what the features depend on cannot be told."""
    assert check("Undifferentiable").exit_code == 0
    model = networks.Undifferentiable()
    assert reach_of(model, torch.ones(2, 3, 4), ["head"]) is None


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("lazy", "lazy layers have no shape yet: '1.bias', '1.weight'"),
        ("empty", "no layer with parameters runs"),
        ("Unsendable", "Flower cannot send the model's state_dict (TypeError)"),
    ],
)
def test_models_that_no_server_could_protect_are_problems(model, message):
    """They are found before the table, and exit with 1."""
    found = check(model, "12")
    assert message in found.output
    assert found.exit_code == 1


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("not_a_model", "gives a dict, not a torch.nn.Module"),
        ("needing_an_argument", "raised TypeError: needing_an_argument() missing 1"),
        ("raising", "raised FileNotFoundError: weights.pt is not there."),
        ("ending", "raised SystemExit: 3."),
        ("nothing", "AttributeError: module 'tests.cli.networks' has no attribute"),
    ],
)
def test_factories_that_make_no_model_are_input_errors(model, message):
    """One line says what happened, without a traceback."""
    found = check(model)
    assert message in found.output
    assert found.output.count("\n") == 1
    assert found.exit_code == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--model", "networks"], "write package.module:name"),
        (["--model", "no.such:model"], "ModuleNotFoundError: No module named 'no'"),
        (["--input-shape", "3,x"], "--input-shape 3,x is no shape"),
        (["--input-shape", "0"], "--input-shape 0 is no shape"),
        (["--input-shape", "3,5"], "the model refuses inputs of input_shape=(3, 5)"),
        (["--head", "nowhere"], "head='nowhere': there is no such layer"),
        (["--device", "abacus"], "device='abacus' is not available here"),
        (["--virtual-samples", "math:pi"], "--virtual-samples math:pi is no function"),
        (["--virtual-samples", "math:sqrt"], "cannot be tried: TypeError: math.sqrt"),
        (["--clients", "2"], "2 is not in the range x>=3"),
        (["--scoring", "fair"], "'fair' is not one of"),
    ],
)
def test_options_that_cannot_be_used_are_input_errors(options, message):
    """The message names the option and what it may be."""
    found = check("sound", FLAT, *options)
    assert message in " ".join(found.output.replace("│", " ").split())
    assert found.exit_code == 2


def test_a_module_in_the_current_folder_is_found(tmp_path, monkeypatch):
    """An installed script does not have it on its path by itself."""
    code = (
        "from torch import nn\n\nnet = nn.Sequential(nn.Linear(5, 4), nn.Linear(4, 2))"
    )
    (tmp_path / "a_module_of_my_own.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    path = list(sys.path)
    options = ["--model", "a_module_of_my_own:net", "--input-shape", "5"]
    assert facts(run(app, ["check", *options]))["head"] == "1"
    assert sys.path == path


def test_a_module_that_ends_the_program_does_not_end_the_command(tmp_path, monkeypatch):
    """A script without a main guard is told as an import that failed."""
    (tmp_path / "a_script_of_my_own.py").write_text("raise SystemExit(0)\n")
    monkeypatch.chdir(tmp_path)
    options = ["--model", "a_script_of_my_own:net", "--input-shape", "5"]
    found = run(app, ["check", *options])
    assert "cannot be imported" in found.output
    assert found.exit_code == 2


def test_a_terminal_gets_a_table(monkeypatch):
    """The same facts, in two columns under a title."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "100")
    text = check("sound").stdout
    assert "tests.cli.networks:sound with paper scoring" in text
    assert "16 numbers that '4' is given" in text
    assert "head: 4" not in text


def test_looking_at_a_model_changes_nothing_of_it():
    """Neither weights nor mode nor what is trained."""
    model = networks.frozen().train()
    before = {name: each.clone() for name, each in model.state_dict().items()}
    anatomy_of(model)
    reach_of(model, torch.ones(2, 3, 4), ["4"])
    assert all(torch.equal(each, before[n]) for n, each in model.state_dict().items())
    assert model.training
    assert not model[1].weight.requires_grad


def test_the_reach_of_a_head_can_be_seen_in_the_code():
    """The features of one head do not depend on either head."""
    reach = reach_of(networks.TwoHeads(), torch.ones(2, 3, 4), ["organ"])
    assert reach.num_outputs == 2
    assert reach.is_last
    assert reach.unseen == {"organ.weight", "organ.bias", "age.weight", "age.bias"}


def test_a_head_of_one_class_is_last_without_an_axis_for_it():
    """As models for two classes have it, whose loss takes one number a sample."""
    assert reach_of(networks.OneLogit(), torch.ones(2, 3, 4), ["head"]).is_last
    assert FINE in check("OneLogit", FLAT, "--scoring", "hardened").stdout


@pytest.mark.skipif(not RESET.exists(), reason="needs Linux's count of peak memory")
def test_the_memory_of_a_tensor_is_measured():
    """64 MiB that are given back before the end show all the same."""
    with watched(torch.device("cpu")) as peaks:
        big = torch.ones(2**24)
        del big
    assert peaks["main memory"] == pytest.approx(2**26, rel=0.2)


def test_memory_that_nobody_counts_is_not_made_up(monkeypatch, tmp_path):
    """On other systems the table says that it was not measured."""
    monkeypatch.setattr("flwr_vdcs.cli.checking.memory.STATUS", tmp_path / "none")
    monkeypatch.setattr("flwr_vdcs.cli.checking.memory.RESET", tmp_path / "none")
    found = facts(check("sound", FLAT, "--device", "cpu"))
    assert found["memory"].startswith("not measured on this system")


def test_an_accelerator_is_asked_for_its_peak(monkeypatch):
    """Whatever keeps count is told under its own name."""
    counter = type(torch)("counter")
    counter.reset_peak_memory_stats = lambda _device: None
    counter.max_memory_allocated = lambda _device: 12
    monkeypatch.setattr(torch, "xpu", counter)
    with watched(torch.device("xpu")) as peaks:
        pass
    assert peaks["xpu"] == 12
