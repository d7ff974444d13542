"""Names file to names: what to call clients instead of their ids."""

from collections import Counter
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from flwr_vdcs.cli.outcome import InputError
from flwr_vdcs.errors import listed

READER = TypeAdapter(dict[str, str])


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
        names = READER.validate_json(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error
    except ValidationError as error:
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
