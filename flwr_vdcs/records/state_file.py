"""State to file and back: bans and evidence that outlive the process."""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from math import isfinite
from pathlib import Path
from typing import Any, NoReturn

from flwr_vdcs.errors import StateError, quoted

FORMAT = "flwr-vdcs state 1"
"""Names the format and its version."""


class StateFile:
    """A file that holds one state, whole and checked, whenever the process ends.

    Raises
    ------
    StateError
        If its folder does not exist, or no file can be written there.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        if not self.path.parent.is_dir():
            raise StateError(path, f"there is no folder {str(self.path.parent)!r}")
        try:
            self._draft.touch()
            self._draft.unlink()
        except OSError as error:
            problem = f"no file can be written there: {error.strerror or error}"
            raise StateError(path, problem) from error

    def read(self) -> dict[str, Any] | None:
        """Give the state, or None if there is no file yet.

        Raises
        ------
        StateError
            If the file cannot be read, is damaged or is something else.
        """
        try:
            content = json.loads(
                self.path.read_bytes(), parse_constant=_refuse, parse_float=_finite
            )
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StateError(self.path, error.strerror or error) from error
        except (ValueError, RecursionError) as error:
            raise StateError(self.path, "it is cut off or no JSON") from error
        return self._checked(content)

    def write(self, state: Mapping[str, Any]) -> None:
        """Replace the file in one step, so that a kill leaves the old or the new one.

        Raises
        ------
        OSError
            If the state could not be written; the old one is still there.
        """
        content = {"format": FORMAT, "sha256": _checksum(state), "state": state}
        draft, target = self._draft, self._target
        with draft.open("w") as file:
            if target.exists():
                shutil.copymode(target, draft)
            json.dump(content, file, allow_nan=False)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(target)

    @property
    def _target(self) -> Path:
        """Follow a link, so that it stays one."""
        return self.path.resolve()

    @property
    def _draft(self) -> Path:
        return self._target.with_name(f"{self._target.name}.new")

    def _checked(self, content: object) -> dict[str, Any]:
        if not isinstance(content, dict) or "format" not in content:
            raise StateError(self.path, "it holds no state of flwr-vdcs")
        if content["format"] != FORMAT:
            found = f"expected format {FORMAT!r}, found {quoted(content['format'])}"
            raise StateError(self.path, found)
        state = content.get("state")
        if not isinstance(state, dict) or content.get("sha256") != _checksum(state):
            raise StateError(self.path, "its checksum does not fit its content")
        return state


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


def _finite(text: str) -> float:
    value = float(text)
    return value if isfinite(value) else _refuse(text)


def _checksum(state: Mapping[str, Any]) -> str:
    canonical = json.dumps(state, sort_keys=True, allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()
