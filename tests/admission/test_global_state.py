"""Global arrays to global state: by name, position, parameters alone, or an error."""

import numpy as np
import pytest
import torch

from flwr_vdcs.admission.global_state import global_state_from, global_states_from
from flwr_vdcs.errors import ArraysMismatchError
from tests.federation import arrays_of, record_of, seeded
from tests.models import batch_norm_cnn


@pytest.fixture
def model():
    """Build a model with buffers."""
    return seeded(batch_norm_cnn)


def encoded(arrays):
    """Encode arrays as Flower does."""
    return {key: array.data for key, array in record_of(arrays).items()}


def by_position(values):
    """Key arrays by their place."""
    return encoded({str(place): value for place, value in enumerate(values)})


def test_names_are_taken_as_they_are(model):
    """A state dict under the model's own names keeps them."""
    start = global_state_from(encoded(arrays_of(model)), model)
    assert start.keys == start.names == tuple(model.state_dict())
    assert torch.equal(start.state["0.weight"], model[0].weight)


def test_positions_get_the_models_names(model):
    """Arrays without names are the state dict in order."""
    start = global_state_from(by_position(arrays_of(model).values()), model)
    assert start.keys[:2] == ("0", "1")
    assert start.names == tuple(model.state_dict())


@pytest.mark.parametrize("named", [True, False])
def test_parameters_alone_will_do(model, named):
    """Where the count says so, the arrays are the parameters without buffers."""
    arrays = {k: p.detach().numpy() for k, p in model.named_parameters()}
    sent = encoded(arrays) if named else by_position(arrays.values())
    assert global_state_from(sent, model).names == tuple(arrays)


def test_an_aggregate_may_be_wider_than_the_model(model):
    """Both the aggregate's dtype and the model's are known."""
    arrays = {k: v.astype(np.float64) for k, v in arrays_of(model).items()}
    start = global_state_from(encoded(arrays), model)
    assert start.state["1.num_batches_tracked"].dtype is torch.float64
    assert start.model_dtypes["1.num_batches_tracked"] is torch.int64


def wrong_shape(arrays):
    """Change one shape."""
    return {**arrays, "0.bias": np.zeros(9, np.float32)}


def with_an_unknown_one(arrays):
    """Add one."""
    return {**arrays, "nobody": np.zeros(1)}


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (wrong_shape, r"0\.bias has shape \(4,\) in the model, \(9,\)"),
        (with_an_unknown_one, "the model has no 'nobody'"),
    ],
)
def test_arrays_of_another_model_are_an_error(model, change, problem):
    """The error names the key, and what to send."""
    with pytest.raises(ArraysMismatchError, match=problem + ".*state_dict"):
        global_state_from(encoded(change(arrays_of(model))), model)


def test_another_number_of_arrays_is_an_error(model):
    """Without names the count must be that of the state dict or the parameters."""
    with pytest.raises(ArraysMismatchError, match=r"9 arrays .* 6 of them .* sends 1"):
        global_state_from(by_position([np.zeros(1)]), model)


def test_undecodable_global_arrays_are_an_error(model):
    """Blobs that are no arrays, as some strategies send, are named."""
    with pytest.raises(ArraysMismatchError, match=r"0\.weight: the bytes are not"):
        global_state_from({**encoded(arrays_of(model)), "0.weight": b"blob"}, model)


def test_clients_may_be_sent_different_models(model):
    """Equal arrays are read once; the most common ones are the round's."""
    usual, other = arrays_of(model), arrays_of(seeded(batch_norm_cnn, seed=1))
    sent = [encoded(other), encoded(usual), encoded(usual)]
    common, own = global_states_from(sent, model)
    assert own[1] is own[2] is common
    assert torch.equal(common.state["0.weight"], torch.tensor(usual["0.weight"]))
    assert torch.equal(own[0].state["0.weight"], torch.tensor(other["0.weight"]))


def test_clients_that_are_sent_other_keys_are_an_error(model):
    """Nothing could be compared; both are arrays of the model."""
    whole = arrays_of(model)
    parameters = {key: whole[key] for key, _ in model.named_parameters()}
    with pytest.raises(ArraysMismatchError, match="were sent different keys"):
        global_states_from([encoded(whole), encoded(parameters)], model)
