"""Keys to names: wrappers, adapters, lists of all kinds, and what cannot be told."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from flwr_vdcs.admission._names import names_by_key, names_by_place
from flwr_vdcs.admission.global_state import global_state_from
from flwr_vdcs.errors import ArraysMismatchError
from tests.federation import seeded
from tests.models import batch_norm_cnn

NAMES = ("body.weight", "body.bias", "head.weight")


@pytest.mark.parametrize(
    "prefix", ["module.", "_orig_mod.", "_module.", "module._orig_mod."]
)
def test_words_that_wrappers_add_are_left_out(prefix):
    """On either side."""
    wrapped = [prefix + name for name in NAMES]
    assert names_by_key(wrapped, NAMES) == dict(zip(wrapped, NAMES, strict=True))
    assert names_by_key(NAMES, wrapped) == dict(zip(NAMES, wrapped, strict=True))


def test_the_adapters_name_may_be_left_out():
    """As peft does in what it saves."""
    names = ["q.lora_A.default.weight", "q.lora_B.default.weight", "q.base.weight"]
    keys = ["q.lora_A.weight", "q.lora_B.weight"]
    assert names_by_key(keys, names) == dict(zip(keys, names, strict=False))


def test_lengths_of_dora_are_saved_without_the_word_weight():
    """As peft does with them alone."""
    names = ["q.lora_A.default.weight", "q.lora_magnitude_vector.default.weight"]
    keys = ["q.lora_A.weight", "q.lora_magnitude_vector"]
    assert names_by_key(keys, names) == dict(zip(keys, names, strict=True))


def test_what_is_meant_must_be_one_array():
    """With two layers that differ in such a word only, the short name is nobody's."""
    assert (
        names_by_key(["fc.weight"], ["module.fc.weight", "default.fc.weight"]) is None
    )
    assert names_by_key(["module.a", "_module.a"], ["a"]) is None


def test_known_names_are_taken_as_they_are():
    """A layer may really be called module."""
    names = ["module.a", "a"]
    assert names_by_key(names, names) == {"module.a": "module.a", "a": "a"}


@given(st.permutations(NAMES), st.integers(0, 3))
def test_any_part_in_any_order_is_found(keys, count):
    """Which arrays travel is up to whoever sends them."""
    chosen = keys[:count]
    assert names_by_key(chosen, NAMES) == {key: key for key in chosen}


def listed(model, keep):
    """Give names and shapes of the arrays of a list."""
    names = tuple(name for name in model.state_dict() if keep(name))
    return names, [model.state_dict()[name].shape for name in names]


@pytest.mark.parametrize(
    "keep",
    [
        lambda name: True,
        lambda name: "num_batches" not in name,
        lambda name: "running" not in name and "num_batches" not in name,
        lambda name: not name.startswith("1."),
        lambda name: name.startswith("0."),
    ],
    ids=["all", "no counters", "parameters", "no normalisation", "the first layer"],
)
def test_lists_that_people_send_get_their_names(keep):
    """The state dict or what is left of it."""
    model = seeded(batch_norm_cnn)
    names, shapes = listed(model, keep)
    assert names_by_place(shapes, model) == names


def test_trainable_parameters_are_a_list_too():
    """Of a backbone that is frozen only the head travels."""
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    model[0].requires_grad_(requires_grad=False)
    shapes = [torch.Size((4, 4)), torch.Size((4,))]
    assert names_by_place(shapes, model) == ("1.weight", "1.bias")


def test_where_shapes_do_not_tell_there_is_no_name():
    """The weights of any two of three equal layers may be meant."""
    model = nn.Sequential(*[nn.Linear(4, 4) for _ in range(3)])
    assert names_by_place([torch.Size((4, 4))] * 2, model) is None
    arrays = {"0": torch.zeros(4, 4), "1": torch.zeros(4, 4)}
    with pytest.raises(ArraysMismatchError, match="shapes do not tell which"):
        global_state_from(arrays, model)


def test_any_part_of_the_model_may_travel():
    """By name; a part is what it is, and keeps its dtypes."""
    model = seeded(batch_norm_cnn)
    start = global_state_from({"module.0.bias": model[0].bias}, model)
    assert (start.keys, start.names) == (("module.0.bias",), ("0.bias",))
    assert torch.equal(start.state["0.bias"], model[0].bias)


class Rotary(nn.Module):
    """A model with complex numbers that travel."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("turns", torch.polar(torch.ones(4), torch.arange(4.0)))
        self.head = nn.Linear(8, 2)


def test_complex_arrays_are_pairs_of_real_ones():
    """Along one more axis, in the precision of their parts."""
    model = seeded(Rotary)
    start = global_state_from(model.state_dict(), model)
    assert start.complex_names == {"turns"}
    assert torch.equal(start.state["turns"], torch.view_as_real(model.turns))
    assert start.model_dtypes["turns"] is torch.float32


def test_complex_arrays_may_come_in_a_list():
    """As in the legacy API."""
    model = seeded(Rotary)
    values = dict(zip("012", model.state_dict().values(), strict=True))
    start = global_state_from(values, model)
    assert start.names == tuple(model.state_dict())
    assert start.complex_names == {"turns"}
