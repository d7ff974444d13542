"""Tensors to parcels and back: the same numbers, in the same order in memory."""

import pickle
from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import nn

from flwr_vdcs.executors import Parcel, opened, parcelled, put_together, taken_apart

NUMBERS = torch.arange(24.0).reshape(2, 3, 4)

TENSORS = {
    "plain": NUMBERS,
    "transposed": NUMBERS.transpose(0, 2),
    "every second": NUMBERS[:, :, ::2],
    "expanded": torch.tensor([1.0, 2.0]).expand(3, 2),
    "channels last": torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
    "one number": torch.tensor(3),
    "none": torch.empty(0, 4),
    "bfloat16": NUMBERS.bfloat16(),
    "bool": NUMBERS > 3,
    "complex": torch.randn(3, dtype=torch.complex64),
    "parameter": nn.Parameter(NUMBERS.clone()),
}

shipped = pytest.mark.parametrize("tensor", TENSORS.values(), ids=TENSORS)


@shipped
def test_a_tensor_comes_back_as_it_was(tensor):
    """Values, type, shape and strides; it needs no gradient."""
    again = opened(pickle.loads(pickle.dumps(parcelled(tensor))))
    assert torch.equal(again, tensor)
    assert (again.dtype, again.stride()) == (tensor.dtype, tensor.stride())
    assert type(again) is type(tensor)
    assert not again.requires_grad


def test_memory_is_viewed_on_the_way_there_and_copied_on_arrival():
    """The server needs no copy; who receives it may write into it, whatever it is."""
    parcel = Parcel.of(NUMBERS)
    assert np.shares_memory(parcel.memory, NUMBERS.numpy())
    parcel.memory.flags.writeable = False
    parcel.opened().zero_()
    assert NUMBERS.sum() > 0


def test_dictionaries_are_parcelled_and_all_else_is_left():
    """A scoring may give whatever it likes; it is judged where it arrives."""
    assert opened(parcelled({"a": NUMBERS}))["a"].equal(NUMBERS)
    for other in (None, "text", [NUMBERS], {}, {"a": 1}):
        assert opened(parcelled(other)) is other or opened(parcelled(other)) == other


def test_an_object_is_put_together_with_memory_of_its_own():
    """Shared parameters stay shared, and the original keeps its values."""
    layer = nn.Linear(2, 2)
    model = nn.Sequential(OrderedDict(first=layer, second=nn.Linear(2, 2)))
    model.second.weight = layer.weight
    before = layer.weight.detach().clone()
    apart = pickle.loads(pickle.dumps(taken_apart(model, model.parameters())))
    again = put_together(apart)
    assert again.second.weight is again.first.weight
    again.first.weight.zero_()
    assert torch.equal(layer.weight, before)
    assert torch.equal(put_together(apart).first.weight, before)
