"""Folder to paths: where a federation keeps what belongs to it."""

from __future__ import annotations

import json
import os
import stat
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from deployment.errors import FederationError

PRIVATE = 0o700
CONNECTION = "tls"
"""Name of the connection to the SuperLink in Flower's configuration."""


@dataclass(frozen=True)
class Layout:
    """The folders and files of one federation.

    Parameters
    ----------
    folder : Path
        Holds all the others, keys among them; nobody else may enter it.
    """

    folder: Path

    def make(self) -> None:
        """Make the folders that do not exist yet.

        Raises
        ------
        FederationError
            If the folder is there already, and others may enter it or it is another's.
        """
        self.folder.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
        self._check_is_private()
        for folder in (self.certificates, self.keys, self.logs, self.home, self.output):
            folder.mkdir(exist_ok=True)

    @property
    def certificates(self) -> Path:
        """The authority, and the server's certificate and key."""
        return self.folder / "certificates"

    @property
    def keys(self) -> Path:
        """The SuperNodes' key pairs. On several machines each has its own only."""
        return self.folder / "keys"

    @property
    def logs(self) -> Path:
        """A file for each program."""
        return self.folder / "logs"

    @property
    def home(self) -> Path:
        """Flower's home: the connection's settings and the installed app."""
        return self.folder / "flwr"

    @property
    def output(self) -> Path:
        """What the ServerApp writes: audit log, model, accuracies, names."""
        return self.folder / "output"

    @property
    def rounds(self) -> Path:
        """Where the ServerApp writes the accuracy of each round."""
        return self.output / "rounds.jsonl"

    @property
    def audit_log(self) -> Path:
        """Where the plugin writes its decisions."""
        return self.output / "audit.jsonl"

    @property
    def database(self) -> Path:
        """The SuperLink's database: registered nodes, runs and messages."""
        return self.folder / "superlink.db"

    @property
    def registrations(self) -> Path:
        """Node ids by name, as the SuperLink gave them at registration."""
        return self.folder / "registrations.json"

    def environment(self) -> dict[str, str]:
        """Return this process's environment with settings of this federation's own."""
        scripts = sysconfig.get_path("scripts")
        settings = {
            "FLWR_HOME": str(self.home),
            "FLWR_TELEMETRY_ENABLED": "0",
            "FLWR_DISABLE_UPDATE_CHECK": "1",
            "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
            "OMP_NUM_THREADS": "1",
            "PYTHONUNBUFFERED": "1",
            "PATH": os.pathsep.join([scripts, os.environ.get("PATH", "")]),
        }
        return dict(os.environ) | settings

    def _check_is_private(self) -> None:
        found = self.folder.stat()
        mode = stat.S_IMODE(found.st_mode)
        if found.st_uid != os.geteuid() or mode & ~PRIVATE:
            raise FederationError(
                f"{self.folder} is to hold private keys, and is open to other users "
                f"(mode {mode:04o}, owner {found.st_uid}): give a folder that does not "
                f"exist, or make it yours alone with chmod 700"
            )

    def connect(self, address: str) -> None:
        """Tell the ``flwr`` command where the SuperLink is and whom to trust."""
        authority = json.dumps(str(self.certificates / "ca.crt"))
        (self.home / "config.toml").write_text(
            f'[superlink]\ndefault = "{CONNECTION}"\n\n'
            f"[superlink.{CONNECTION}]\n"
            f'address = "{address}"\n'
            f"root-certificates = {authority}\n"
        )
