"""State to file and back: what outlives the process."""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from math import isfinite
from pathlib import Path
from typing import IO, Any, NoReturn

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from flwr_vdcs.errors import StateError, quoted
from flwr_vdcs.history import ARRAYS
from flwr_vdcs.records.holding import HeldError, Hold

FORMAT = "flwr-vdcs state 2"
"""Names the format and its version."""

READABLE = (FORMAT, "flwr-vdcs state 1")
"""Version 1 has no arrays, and no replays, which need them."""


class StateFile:
    """A file that holds one state, whole and checked, whenever the process ends.

    Tensors have a file of their own beside it, in the safetensors format, whose name
    stands in the first. A new one is written before the first file is replaced, and the
    old one is removed after that, so there is always a pair that belongs together.

    Raises
    ------
    StateError
        If its folder does not exist, no file can be written there, or another server
        writes to it.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        try:
            if not self._target.parent.is_dir():
                raise StateError(path, f"there is no folder {str(self.path.parent)!r}")
            self._draft.touch()
            self._draft.unlink()
            self._hold = Hold(self._target)
        except HeldError as error:
            raise StateError(path, error) from error
        except (OSError, RuntimeError) as error:  # links may go round in a circle
            problem = f"no file can be written there: {_said(error)}"
            raise StateError(path, problem) from error

    def read(self) -> dict[str, Any] | None:
        """Give the state, or None if there is no file yet.

        Raises
        ------
        StateError
            If a file cannot be read, is damaged or is something else.
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
        state = self._checked(content)
        name = content.get(ARRAYS)
        return {**state, ARRAYS: self._read_arrays(name)} if name else state

    def write(self, state: Mapping[str, Any]) -> None:
        """Replace the file in one step, so that a kill leaves the old or the new one.

        Parameters
        ----------
        state
            Plain values; tensors by name under ``"arrays"``, if there are any.

        Raises
        ------
        OSError
            If the state could not be written; the old one is still there.
        """
        plain = {name: value for name, value in state.items() if name != ARRAYS}
        name = self._write_arrays(state.get(ARRAYS) or {})
        content = {"format": FORMAT, "sha256": _checksum(plain), ARRAYS: name}
        draft, target = self._draft, self._target
        with draft.open("w") as file:
            json.dump({**content, "state": plain}, file, allow_nan=False)
            _finish(file, target)
        draft.replace(target)
        for path in self._array_paths:
            if path.name != name:
                path.unlink(missing_ok=True)

    @property
    def _target(self) -> Path:
        """Follow a link, so that it stays one."""
        return self.path.resolve()

    @property
    def _draft(self) -> Path:
        return self._target.with_name(f"{self._target.name}.new")

    @property
    def _array_paths(self) -> tuple[Path, Path]:
        """Name the two files that arrays are written to by turns."""
        stem = f"{self._target.name}.arrays"
        first, second = (f"{stem}-{turn}.safetensors" for turn in (0, 1))
        return self._target.with_name(first), self._target.with_name(second)

    def _write_arrays(self, arrays: Mapping[str, Tensor]) -> str | None:
        """Write arrays to the file that the present state does not need; name it."""
        if not arrays:
            return None
        first, second = self._array_paths
        path = second if self._named_arrays() == first.name else first
        try:
            save_file({n: tensor.contiguous() for n, tensor in arrays.items()}, path)
        except SafetensorError as error:  # a full disk, for example
            raise OSError(f"{path.name}: {error}") from error
        with path.open("rb+") as file:
            _finish(file, self._target)
        return path.name

    def _named_arrays(self) -> object:
        """Name the arrays that the present state needs, if it can be read."""
        try:
            content = json.loads(self.path.read_bytes())
        except (OSError, ValueError):
            return None
        return content.get(ARRAYS) if isinstance(content, dict) else None

    def _read_arrays(self, name: object) -> dict[str, Tensor]:
        paths = {path.name: path for path in self._array_paths if path.exists()}
        if not isinstance(name, str) or name not in paths:
            raise StateError(
                self.path, f"its arrays, {quoted(name)}, are not beside it"
            )
        try:
            return dict(load_file(paths[name]))
        except (OSError, SafetensorError) as error:
            problem = f"its arrays in {name} are damaged"
            raise StateError(self.path, problem) from error

    def _checked(self, content: object) -> dict[str, Any]:
        if not isinstance(content, dict) or "format" not in content:
            raise StateError(self.path, "it holds no state of flwr-vdcs")
        if content["format"] not in READABLE:
            found = f"expected format {FORMAT!r}, found {quoted(content['format'])}"
            raise StateError(self.path, found)
        state = content.get("state")
        if not isinstance(state, dict) or content.get("sha256") != _checksum(state):
            raise StateError(self.path, "its checksum does not fit its content")
        return state


def _said(error: OSError | RuntimeError) -> object:
    """Give an error's own words, without the path that is told anyway."""
    return getattr(error, "strerror", None) or error


def _finish(file: IO[Any], target: Path) -> None:
    """Let what was written reach the disk, with the permissions of the state."""
    if target.exists():
        shutil.copymode(target, file.name)
    file.flush()
    os.fsync(file.fileno())


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


def _finite(text: str) -> float:
    value = float(text)
    return value if isfinite(value) else _refuse(text)


def _checksum(state: Mapping[str, Any]) -> str:
    canonical = json.dumps(state, sort_keys=True, allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()
