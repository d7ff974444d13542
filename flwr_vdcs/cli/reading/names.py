"""Names file to names: what to call clients instead of their ids."""

import json
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from flwr_vdcs.cli.outcome import InputError
from flwr_vdcs.errors import listed

NamesFile = Annotated[
    Path | None,
    typer.Option(
        exists=True,
        dir_okay=False,
        help='JSON file with names by client id: {"123": "hospital-1"}.',
    ),
]
"""The option of the commands that call clients by names."""


def read_names(path: Path | None) -> dict[str, str]:
    """Read which client id has which name, ``{"123": "hospital-1"}``.

    Raises
    ------
    InputError
        If the file cannot be read, is something else, or gives a name twice.
    """
    if path is None:
        return {}
    try:
        names = _parsed(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{path} is no JSON object of names by client id. Write it like this: "
            '{"123": "hospital-1", "456": "hospital-2"}'
        ) from error
    twice = {name for name, count in Counter(names.values()).items() if count > 1}
    if twice:
        raise InputError(
            f"{path} gives several clients the same name: {listed(twice)}. Give each "
            "client a name of its own."
        )
    return names


def _parsed(content: bytes) -> dict[str, str]:
    names = json.loads(content)
    if not isinstance(names, dict) or not all(
        isinstance(name, str) for name in names.values()
    ):
        raise ValueError("no object of names")
    return names
