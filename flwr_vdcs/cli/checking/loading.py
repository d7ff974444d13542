"""A name to a model: what ``package.module:factory`` stands for."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from torch import nn

from flwr_vdcs.cli.outcome import InputError


def load_model(reference: str) -> nn.Module:
    """Get a model, or call what makes one.

    Raises
    ------
    InputError
        If there is no such thing, it raises, or what it gives is no model.
    """
    with _current_folder_importable():
        found = load_object("--model", reference)
        model = found if isinstance(found, nn.Module) else _made(reference, found)
    if not isinstance(model, nn.Module):
        raise InputError(
            f"{reference} gives a {type(model).__name__}, not a torch.nn.Module. Name "
            "a model, its class, or a function that makes one."
        )
    return model


def load_object(option: str, reference: str) -> Any:
    """Import an object by its name.

    Raises
    ------
    InputError
        If there is no such object, or importing it raises.
    """
    module, separator, name = reference.partition(":")
    if not (module and separator and name):
        raise InputError(
            f"{option} {reference} names nothing to import: write package.module:name."
        )
    with _current_folder_importable():
        try:
            return resolve_name(reference)
        except (Exception, SystemExit) as error:  # whatever the module does
            raise InputError(
                f"{option} {reference} cannot be imported from {Path.cwd()}: "
                f"{said(error)}. Run this in the folder that {module} is in, and name "
                "something that it has."
            ) from error


def _made(reference: str, factory: Any) -> Any:
    if not callable(factory):
        return factory
    try:
        return factory()
    except (Exception, SystemExit) as error:  # whatever the user's function does
        raise InputError(
            f"{reference}() raised {said(error)}. Name a function that makes the "
            "model without arguments."
        ) from error


def said(error: BaseException) -> str:
    """Put an error in one line."""
    message = " ".join(str(error).split())
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


@contextmanager
def _current_folder_importable() -> Iterator[None]:
    folder = str(Path.cwd())
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path.remove(folder)
