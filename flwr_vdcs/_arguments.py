"""Arguments to checked: what the constructor takes, or an error that helps."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TypeGuard

from torch import nn

from flwr_vdcs.errors import InvalidArgumentError
from flwr_vdcs.history import Reputation
from flwr_vdcs.probe import MAX_SEED, VirtualSamples, gaussian
from flwr_vdcs.records import Listener


def checked_model(model: object) -> nn.Module:
    """Take a model, not its class."""
    if not isinstance(model, nn.Module):
        raise InvalidArgumentError("model", model, "a torch.nn.Module (an instance)")
    return model


def checked_inputs(
    input_shape: object, virtual_samples: object
) -> tuple[tuple[int, ...] | None, VirtualSamples]:
    """Take the shape of one input, or what draws samples, or both."""
    if virtual_samples is not None and not callable(virtual_samples):
        allowed = "None, or a callable (generator, N) -> Tensor, tuple or dict"
        raise InvalidArgumentError("virtual_samples", virtual_samples, allowed)
    if input_shape is not None:
        shape = _checked_shape(input_shape)
        return shape, virtual_samples or gaussian(shape)
    if virtual_samples is None:
        allowed = (
            "the shape of one input without the batch axis, or `virtual_samples`, a "
            "callable (generator, N) -> Tensor, tuple or dict"
        )
        raise InvalidArgumentError("input_shape", None, allowed)
    return None, virtual_samples


def _checked_shape(input_shape: object) -> tuple[int, ...]:
    """Take a shape, as a tuple."""
    shape = tuple(input_shape) if isinstance(input_shape, tuple | list) else ()
    if not shape or not all(_is_int(length) and length > 0 for length in shape):
        allowed = "a tuple of positive ints, one input without the batch axis"
        raise InvalidArgumentError("input_shape", input_shape, allowed)
    return shape


def checked_head(head: object) -> str | tuple[str, ...] | None:
    """Take the name of a layer, several or none."""
    if head is None or isinstance(head, str):
        return head
    names = tuple(head) if isinstance(head, tuple | list) else ()
    if not names or not all(isinstance(name, str) for name in names):
        allowed = "None, the name of a layer, or several names"
        raise InvalidArgumentError("head", head, allowed)
    return names


def checked_count(num_virtual_samples: object) -> int:
    """Take a number of virtual samples."""
    if not _is_int(num_virtual_samples) or num_virtual_samples < 1:
        raise InvalidArgumentError(
            "num_virtual_samples", num_virtual_samples, "an int >= 1"
        )
    return num_virtual_samples


def checked_flag(name: str, value: object) -> bool:
    """Take True or False: a run configuration may hold a word instead."""
    if not isinstance(value, bool):
        raise InvalidArgumentError(name, value, "True or False")
    return value


def checked_key(name: str, value: object) -> str | None:
    """Take a name, or none."""
    if value is not None and not isinstance(value, str):
        raise InvalidArgumentError(name, value, "None, or a string")
    return value


def checked_seed(seed: object) -> int | None:
    """Take a seed, or none."""
    if seed is not None and not (_is_int(seed) and 0 <= seed < MAX_SEED):
        allowed = f"None, or an int from 0 to {MAX_SEED - 1}"
        raise InvalidArgumentError("seed", seed, allowed)
    return seed


def checked_quorum(quorum: object) -> float:
    """Take a share of the clients, or none, which is 0."""
    if quorum is None:
        return 0.0
    if not isinstance(quorum, int | float) or quorum is True or not 0 < quorum <= 1:
        allowed = "None, or a share of the clients that are asked, in (0, 1]"
        raise InvalidArgumentError("quorum", quorum, allowed)
    return float(quorum)


def checked_reputation(reputation: object) -> Reputation | None:
    """Take the settings of bans, or none."""
    if reputation is not None and not isinstance(reputation, Reputation):
        allowed = "None, or a flwr_vdcs.Reputation"
        raise InvalidArgumentError("reputation", reputation, allowed)
    return reputation


def checked_listeners(
    on_round: Listener | Sequence[Listener] | None,
) -> Sequence[Listener]:
    """Take one callable, several or none."""
    listeners = (on_round,) if callable(on_round) else on_round or ()
    if not isinstance(listeners, Sequence) or not all(map(callable, listeners)):
        allowed = "a callable that takes a RoundReport, or several of them"
        raise InvalidArgumentError("on_round", on_round, allowed)
    return listeners


def check_paths(
    audit_log: str | os.PathLike[str] | None, state_path: str | os.PathLike[str] | None
) -> None:
    """Refuse one file for both, which would be replaced and appended to."""
    if audit_log is None or state_path is None:
        return
    if Path(audit_log).resolve() == Path(state_path).resolve():
        allowed = "another file than `audit_log`"
        raise InvalidArgumentError("state_path", str(state_path), allowed)


def _is_int(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)
