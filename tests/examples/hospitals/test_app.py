"""The app in this process: partition, poison, audit, restart and files."""

import ast
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from flwr.app import ArrayRecord
from hospitals import data, model, poison, training
from hospitals.records import Records

from flwr_vdcs.verification import verify
from tests.examples.hospitals.in_process import (
    NUM_HOSPITALS,
    SilentGrid,
    read_run_config,
    run_app,
)

SIGN_FLIP = {"poison": "sign-flip", "poison-strength": 3.0}
QUICK = {"num-server-rounds": 1, "local-epochs": 1, "learning-rate": 0.1}


def read_lines(path):
    """Read JSON Lines."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def verdicts(line):
    """Give the verdicts of a line of the audit log by client id."""
    return {each["client_id"]: each["verdict"] for each in line["decisions"]}


# --- data and model -------------------------------------------------------------------


def load_partition(number):
    """Load one of four partitions, always in the same order."""
    order = data.make_generator(0, 1)
    return data.load_partition(number, NUM_HOSPITALS, 32, seed=0, order=order)


def test_hospitals_share_the_training_images_and_never_the_test_images():
    """Four equal parts and the held-out images make up all 1797 digits."""
    sizes = [len(load_partition(part).dataset) for part in range(NUM_HOSPITALS)]
    assert max(sizes) - min(sizes) <= 1
    assert sum(sizes) + len(data.load_test(64, seed=0).dataset) == 1797


def test_no_image_is_held_twice():
    """All parts together are as many different images as the digits have."""
    parts = [load_partition(part).dataset for part in range(NUM_HOSPITALS)]
    parts.append(data.load_test(64, seed=0).dataset)
    images = torch.cat([part.tensors[0][:, 0].flatten(1) for part in parts])
    everything = data._images(torch.arange(1797)).tensors[0][:, 0].flatten(1)
    assert len(images.unique(dim=0)) == len(everything.unique(dim=0))


def test_images_depend_on_the_seeds_alone():
    """The same seeds give the same first batch, with values in [-1, 1]."""
    (images, labels), (again, labels_again) = (
        next(iter(load_partition(3))) for _ in range(2)
    )
    assert images.shape == (32, *data.INPUT_SHAPE)
    assert (images.min(), images.max()) == (-1, 1)
    assert torch.equal(images, again)
    assert torch.equal(labels, labels_again)


@pytest.mark.parametrize("name", model.MODELS)
def test_models_take_the_images_and_depend_on_the_seed_alone(name):
    """Both give ten logits, and the same weights for the same seed."""
    net, again = (model.build_model(name, seed=3) for _ in range(2))
    torch.testing.assert_close(net.state_dict(), again.state_dict())
    assert net(torch.zeros(2, *data.INPUT_SHAPE)).shape == (2, data.NUM_CLASSES)


def test_small_model_has_no_buffers():
    """Group normalisation keeps no running statistics."""
    assert not list(model.build_model("groupnorm-cnn", seed=0).buffers())


def test_unknown_model_names_the_known_ones():
    """A typing error is answered with what could have been meant."""
    with pytest.raises(ValueError, match=r"'cnn'.* 'groupnorm-cnn', 'resnet18'"):
        model.build_model("cnn", seed=0)


def test_accuracy_of_a_perfect_model_is_one():
    """A model that gives each image its own label has loss 0 and accuracy 1."""
    images = torch.tensor([[0.0], [1.0]])
    batches = [(images, torch.tensor([1, 0]))]

    class Opposite(torch.nn.Module):
        def forward(self, x):
            return torch.cat([x, 1 - x], dim=1) * 40

    assert training.test(Opposite(), batches) == (0.0, 1.0)


# --- poison ---------------------------------------------------------------------------


def test_sign_flip_is_the_reversed_update_times_its_strength():
    """From 1 to 3 is +2: reversed three times that is 1 - 6."""
    sent = poison.sign_flip(torch.tensor([3.0]), torch.tensor([1.0]), 3.0)
    assert sent.tolist() == [-5.0]


def test_sign_flip_of_strength_minus_one_changes_nothing():
    """The knob at its neutral place gives what was trained."""
    trained = torch.tensor([3.0, -2.0])
    assert torch.equal(poison.sign_flip(trained, torch.ones(2), -1.0), trained)


def test_unknown_poison_names_the_known_ones():
    """A typing error is answered with what could have been meant."""
    with pytest.raises(ValueError, match=r"'flip'.* 'sign-flip', 'nan'"):
        poison.find_attack("flip")


def test_running_statistics_are_sent_as_they_were_trained():
    """Only parameters are attacked."""
    trained = model.build_model("resnet18", seed=1).state_dict()
    received = model.build_model("resnet18", seed=0).state_dict()
    names = poison.parameter_names("resnet18")
    sent = poison.attack_arrays(
        poison.not_a_number, 1.0, names, trained, received
    ).to_torch_state_dict()
    assert list(sent) == list(trained)
    for name, value in sent.items():
        assert value.isnan().all() == (name in names), name


@pytest.mark.parametrize("node_config", [{}, SIGN_FLIP], ids=["honest", "poisoned"])
def test_only_the_nodes_own_configuration_poisons(node_config):
    """The reply of an honest node leaves as it is, whatever the run config."""
    state = model.build_model("groupnorm-cnn", seed=0).state_dict()
    trained = ArrayRecord(state)
    context = SimpleNamespace(
        run_config=read_run_config() | SIGN_FLIP, node_config=node_config
    )
    message = SimpleNamespace(content={"arrays": ArrayRecord(state)})
    reply = SimpleNamespace(content={"arrays": trained}, has_error=lambda: False)
    sent = poison.poison(message, context, lambda _msg, _ctxt: reply)
    assert (sent.content["arrays"] is trained) == (not node_config)


# --- whole runs -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def attacked(tmp_path_factory):
    """Run three rounds with hospital 3 poisoned, with the plugin and without it."""
    outputs = {}
    for plugin in (True, False):
        folder = tmp_path_factory.mktemp("attacked")
        changes = QUICK | {"num-server-rounds": 3, "plugin": plugin}
        outputs[plugin] = run_app({3: SIGN_FLIP}, output=str(folder), **changes)
    return outputs


def test_poisoned_hospital_is_dropped_in_every_round(attacked):
    """The reversed update of hospital 3 is dropped each time, the others are kept."""
    lines = read_lines(attacked[True] / "audit.jsonl")
    assert [line["server_round"] for line in lines] == [1, 2, 3]
    expected = {"1": "kept", "2": "kept", "3": "dropped", "4": "kept"}
    assert [verdicts(line) for line in lines] == [expected] * 3


def test_plugin_saves_what_the_attack_ruins(attacked):
    """The same attack leaves a useless model without the plugin, a good one with."""
    saved, ruined = (
        read_lines(attacked[plugin] / "rounds.jsonl")[-1]["accuracy"]
        for plugin in (True, False)
    )
    assert ruined < 0.3
    assert saved > ruined + 0.2


def test_without_the_plugin_there_is_no_audit(attacked):
    """Accuracy and model are written all the same."""
    written = {path.name for path in attacked[False].iterdir()}
    assert written == {"model.pt", "rounds.jsonl"}


def test_broken_hospital_is_quarantined(tmp_path):
    """NaN is not scored."""
    output = run_app({2: {"poison": "nan"}}, output=str(tmp_path), **QUICK)
    [line] = read_lines(output / "audit.jsonl")
    assert verdicts(line)["2"] == "quarantined"


def test_names_are_those_of_the_registration(attacked):
    """Nodes with a name are called by it in the audit log, one without is not."""
    lines = read_lines(attacked[True] / "audit.jsonl")
    called = {d["client_id"]: d["name"] for line in lines for d in line["decisions"]}
    named = {str(number): f"hospital-{number}" for number in (1, 2, 3)}
    assert {node: name for node, name in called.items() if name} == named


def test_restart_goes_on_from_the_saved_model(tmp_path):
    """The second run starts where the first ended, and the log is one whole chain."""
    output = run_app({}, output=str(tmp_path), **QUICK)
    changes = QUICK | {"initial-model": f"{output}/model.pt"}
    run_app({}, output=str(tmp_path), **changes)
    lines = read_lines(output / "rounds.jsonl")
    assert [line["round"] for line in lines] == [0, 1, 0, 1]
    assert lines[2]["accuracy"] == lines[1]["accuracy"]
    assert json.loads((output / "state.json").read_text())["state"]["num_rounds"] == 2
    verification = verify([output / "audit.jsonl"])
    assert (verification.num_lines, verification.broken_line) == (2, None)


def test_poisoned_hospital_is_banned_at_last_and_can_be_pardoned(tmp_path):
    """A low limit bans hospital 3 after the first round, and a pardon asks it again."""
    gross = SIGN_FLIP | {"poison-strength": 1e7}
    config = QUICK | {"false-bans": 0.5, "num-server-rounds": 2}
    output = run_app({3: gross}, output=str(tmp_path), **config)
    first, second = read_lines(output / "audit.jsonl")
    assert first["bans"] == ["3"]
    assert verdicts(second)["3"] == "banned"
    config |= {"num-server-rounds": 1, "pardon": "3"}
    run_app({3: gross}, output=str(tmp_path), **config)
    assert verdicts(read_lines(output / "audit.jsonl")[-1])["3"] == "dropped"


def test_nobody_is_banned_if_bans_last_no_round(tmp_path):
    """The knob at zero bans nobody, however low the limit."""
    changes = QUICK | {"false-bans": 0.5, "ban-rounds": 0}
    output = run_app({3: SIGN_FLIP}, output=str(tmp_path), **changes)
    [line] = read_lines(output / "audit.jsonl")
    assert (verdicts(line)["3"], line["bans"]) == ("dropped", [])


@pytest.mark.parametrize("plugin", [True, False])
def test_run_without_an_update_fails(tmp_path, plugin):
    """Flower alone would end a run that trained nothing as if all were well."""
    changes = QUICK | {"plugin": plugin, "output": str(tmp_path)}
    with pytest.raises(RuntimeError, match="no update was used in any round"):
        run_app({}, SilentGrid, **changes)


def test_relative_output_is_refused():
    """Nobody knows the folder that the server runs in."""
    with pytest.raises(ValueError, match="'results' is relative: give an absolute"):
        Records.at("results")


def test_diverged_model_has_no_loss_in_the_file(tmp_path):
    """Infinity is not JSON."""
    Records.at(str(tmp_path)).add_round(1, 0.1, float("inf"))
    [line] = read_lines(tmp_path / "rounds.jsonl")
    assert line == {"round": 1, "accuracy": 0.1, "loss": None}


def test_every_run_config_key_is_read():
    """No setting is there for show."""
    nodes = [
        node
        for path in Path(model.__file__).parent.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
    ]
    read = {
        node.slice.value
        for node in nodes
        if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant)
    }
    assert read_run_config().keys() <= read
