"""Folder to federation: a SuperLink with TLS, registered SuperNodes, and runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil
from rich.console import Console

from deployment.arrival import wait_for_arrival
from deployment.certificates import write_certificates
from deployment.commands import RunConfig, ask, to_toml
from deployment.errors import FederationError
from deployment.keys import write_key_pair
from deployment.layout import Layout
from deployment.ports import HOST, free_ports
from deployment.program import Program, end, find_marked
from deployment.programs import answers, superlink, supernode
from deployment.registry import Registry
from deployment.run import Run, Written
from deployment.signals import undisturbed
from deployment.waiting import stage, wait_until

APP = Path(__file__).resolve().parents[1]
HOSTS = ("localhost", HOST)
NUM_ROUNDS = 3
SECONDS_TO_START = 120
SECONDS_A_ROUND = 900


class Federation:
    """Some hospitals and a server, each a process of its own, on this machine.

    A context manager: it starts everything and, whatever happens, ends everything. The
    folder stays. A federation that is started in it again goes on with the same
    certificates, keys, registrations and database.

    Parameters
    ----------
    folder : Path
        Where all files go. It is made if it does not exist.
    hospitals : int, default 4
        How many SuperNodes: ``hospital-1``, ``hospital-2``, …
    node_configs : Mapping[str, str], optional
        What single hospitals' ClientApps are told besides their partition, in TOML:
        ``{"hospital-3": 'poison="sign-flip"'}``, for example.
    console : rich.console.Console, optional
        Where to say what is waited for. Nothing is said without one.

    Attributes
    ----------
    layout : Layout
        Where what is.
    superlink : Program
        The SuperLink, with the ServerApp that it runs.
    supernodes : dict[str, Program]
        The SuperNodes by the hospital's name.
    entrances : dict[str, str]
        Host and port that single hospitals call, where a proxy is in between.
    """

    superlink: Program

    def __init__(
        self,
        folder: Path,
        *,
        hospitals: int = 4,
        node_configs: Mapping[str, str] | None = None,
        console: Console | None = None,
    ) -> None:
        self.layout = Layout(folder.resolve())
        self.registry = Registry(self.layout)
        self.names = [f"hospital-{number}" for number in range(1, hospitals + 1)]
        self.node_configs = dict(node_configs or {})
        self.console = console or Console(quiet=True)
        self.address = f"{HOST}:{free_ports(1)[0]}"
        self.supernodes: dict[str, Program] = {}
        self.entrances: dict[str, str] = {}
        self._launched: list[Program] = []

    def __enter__(self) -> Self:
        """Start the server, register the hospitals and wait until they are online."""
        if members := self.processes():
            raise FederationError(
                f"{self.layout.folder} belongs to a federation that still runs "
                f"(process {members[0].pid}): end it, or give another folder"
            )
        self.layout.make()
        try:
            self._start_superlink()
            self._start_supernodes()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End every process."""
        self.stop()

    def stop(self) -> None:
        """End every process of this federation, known by its folder."""
        with undisturbed():
            # SuperNodes take their leave, while there is a SuperLink to hear it.
            end(lambda: [each for s in self.supernodes.values() for each in s.family()])
            end(self.processes)
            for program in self._launched:
                program.stop()

    def processes(self) -> list[psutil.Process]:
        """Find all processes of this federation, whoever started them."""
        return find_marked(lambda log: log.parent == self.layout.logs)

    def add(
        self, name: str, node_config: str, *, is_registered: bool = True
    ) -> Program:
        """Start a hospital's SuperNode, registered first unless told otherwise."""
        key = write_key_pair(self.layout.keys, name)
        if is_registered:
            self.registry.register(name, key.public)
        [port] = free_ports(1)
        self.supernodes[name] = supernode(
            self.layout,
            name,
            address=self.entrances.get(name, self.address),
            key=key.private,
            port=port,
            node_config=node_config,
        )
        self._launch(self.supernodes[name])
        return self.supernodes[name]

    def wait_answering(self) -> None:
        """Wait until the SuperLink answers, with a certificate that can be trusted."""
        authority = self.layout.certificates / "ca.crt"
        wait_until(
            "the SuperLink answers",
            lambda: answers(self.address, authority),
            SECONDS_TO_START,
            [self.superlink],
        )

    def wait_online(self, names: Sequence[str]) -> None:
        """Wait until the SuperLink has let in the named hospitals' SuperNodes.

        Those that it refuses, as they were killed a moment ago, are started again.
        """
        supernodes = {name: self.supernodes[name] for name in names}
        wait_for_arrival(supernodes, self.registry, self.superlink)

    def start_run(self, config: RunConfig | None = None) -> Run:
        """Start a run of the app, without waiting for it.

        Parameters
        ----------
        config : RunConfig, optional
            What differs from the app's run config. The ServerApp writes to
            ``layout.output`` unless told otherwise.
        """
        whole = {
            "num-server-rounds": NUM_ROUNDS,
            "output": str(self.layout.output),
            **(config or {}),
        }
        before = Written.so_far(self.layout)
        answer = ask(self.layout, "run", str(APP), "--run-config", to_toml(whole))
        num_rounds = int(whole["num-server-rounds"])
        return Run(answer["run-id"], self.layout, self.superlink, num_rounds, before)

    def run(self, config: RunConfig | None = None) -> Run:
        """Run the app, wait for its end and say each round's accuracy.

        Raises
        ------
        FederationError
            If the run fails, or no round is finished for a quarter of an hour.
        """
        run = self.start_run(config)
        with stage(self.console, f"{run.num_rounds} rounds"):
            run.wait(SECONDS_A_ROUND, self._say_round)
        return run

    def _start_superlink(self) -> None:
        certificates = write_certificates(self.layout.certificates, HOSTS)
        self.layout.connect(self.address)
        self.superlink = superlink(self.layout, certificates, self.address)
        with stage(self.console, "SuperLink with TLS"):
            self._launch(self.superlink)
            self.wait_answering()

    def _start_supernodes(self) -> None:
        with stage(self.console, f"{len(self.names)} SuperNodes, registered"):
            for place, name in enumerate(self.names):
                partition = f"partition-id={place} num-partitions={len(self.names)}"
                config = f"{partition} {self.node_configs.get(name, '')}"
                self.add(name, config.rstrip())
        with stage(self.console, f"{len(self.names)} SuperNodes, online"):
            self.wait_online(self.names)

    def _launch(self, program: Program) -> None:
        self._launched.append(program)
        program.start()

    def _say_round(self, line: dict[str, Any]) -> None:
        what = f"round {line['round']}" if line["round"] else "before training"
        self.console.print(f"  {what}: accuracy {line['accuracy']:.1%}")
