"""Admitted to seen: whose features can be scored together, and who is to blame."""

import pytest
import torch

from flwr_vdcs.errors import InvalidArgumentError, ScoringError
from flwr_vdcs.scoring.features import is_out_of_memory, is_servers_own, look_at

START = {"w": torch.zeros(2)}


class Looking:
    """Look at updates through a function."""

    name = "looking"

    def __init__(self, look) -> None:
        self.look = look

    def features(self, _probe, _global_state, update):
        """Look at the one array."""
        return self.look(update["w"])

    def scores(self, features):
        """Be unused here."""
        raise NotImplementedError


def looked(look, *values):
    """Look at updates of two equal numbers each; the global model's are 0."""
    states = {
        place: {"w": torch.full((2,), float(v))} for place, v in enumerate(values)
    }
    return look_at(states, START, Looking(look), None)


def fail_at(*numbers):
    """Fail at updates of these numbers."""

    def look(values):
        if values[0] in numbers:
            raise RuntimeError("what a client made it say")
        return values[None]

    return look


FAILED = "the model cannot run with it: RuntimeError"


def test_an_update_that_cannot_be_looked_at_fails_alone():
    """The others are seen; the reason names the error, not its text."""
    seen, failed = looked(fail_at(1), 3, 1, 2)
    assert {place: f[0, 0].item() for place, f in seen.items()} == {0: 3.0, 2: 2.0}
    assert failed == {1: FAILED}


def test_what_fails_for_the_global_model_too_is_nobodys_fault():
    """The error is shown with its traceback."""
    says = "scoring 'looking' failed for all updates of a round.*RuntimeError"
    with pytest.raises(ScoringError, match=says) as caught:
        looked(fail_at(0, 1, 2, 3), 3, 1, 2)
    assert isinstance(caught.value.__cause__, RuntimeError)


@pytest.mark.parametrize("values", [(1,), (1, 2)])
def test_attackers_who_are_alone_cannot_end_the_run(values):
    """The global model can be looked at, so it is they who are to blame."""
    failed = dict.fromkeys(range(len(values)), FAILED)
    assert looked(fail_at(1, 2), *values) == ({}, failed)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory."),
        RuntimeError(
            "[enforce fail] . DefaultCPUAllocator: can't allocate memory: you"
        ),
        RuntimeError(
            "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate`"
        ),
    ],
    ids=["Python", "CUDA", "CPU", "cuBLAS"],
)
def test_want_of_memory_is_the_servers_own(error):
    """Whatever class PyTorch gives it; no other error is."""
    assert is_out_of_memory(error)
    assert is_servers_own(error)
    assert not is_servers_own(RuntimeError("index out of range"))
    with pytest.raises(type(error)):
        looked(lambda values: (_ for _ in ()).throw(error), 1, 2)


def test_pytorch_says_so_when_the_cpu_has_no_memory():
    """More than any machine has."""
    with pytest.raises(RuntimeError) as caught:
        torch.empty(10**15)
    assert is_out_of_memory(caught.value)


@pytest.mark.parametrize(
    "unlike",
    [
        lambda values: values,
        lambda values: {"w": values[None]},
        lambda values: [values],
        lambda values: None,
        lambda values: {"": values[None]},
    ],
    ids=["another shape", "another name", "a list", "nothing", "no name"],
)
def test_features_unlike_the_others_fail_alone(unlike):
    """No client can end the round by what its features look like."""
    look = lambda values: unlike(values) if values[0] == 1 else values[None]  # noqa: E731
    seen, failed = looked(look, 3, 1, 2)
    assert list(seen) == [0, 2]
    assert failed == {1: "its features have other shapes than the others'"}


@pytest.mark.parametrize(
    ("found", "says"),
    [
        ([1.0, 2.0], "a dictionary of tensors, for each update, not list"),
        (None, "not NoneType"),
        ({"a": 1.0}, "not dict"),
        ({}, "not dict"),
    ],
)
def test_features_that_are_no_tensors_are_an_error(found, says):
    """It is the scoring's fault, if it does so for most."""
    with pytest.raises(InvalidArgumentError, match=says):
        looked(lambda _: found, 1, 2)
