"""Proxy to survival: a stranger floods a deployment in the middle of its rounds.

Every trial starts SuperLink, SuperNodes and nginx, each a process of its own behind
TLS. In the first round nobody disturbs; in each later one a stranger without a
registered key floods the proxy in another way.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from deployment.certificates import write_certificates, write_client
from deployment.federation import HOSTS, Federation
from deployment.ports import HOST, free_ports
from deployment.proxy import SERVICES, adapt, hospital_site, nginx, server_site
from deployment.run import SUPERLINK

from faults.stranger import FLOODS, MEBIBYTE, Answers, Flood, flooding
from faults.watching import Watch

NUM_HOSPITALS = 3
CERTIFICATES = (
    "    ssl_client_certificate /etc/federation/ca.crt;\n"
    "    ssl_verify_client      on;\n"
)
UNLIMITED = Path(__file__).with_name("unlimited.conf")
NOTHING = Flood(connections=0, body=0)
SECONDS_TO_FLOOD = 20
"""At least: a round may end sooner."""

SECONDS_A_ROUND = 180
"""Three times what an undisturbed one takes; then it is lost, and the trial ends."""

RESET_PEAK = "5"


@dataclass(frozen=True)
class Flooded:
    """One round of one trial.

    Parameters
    ----------
    flood : str
        What the stranger did.
    is_finished : bool
        Whether the round had a new model.
    seconds : float
        How long it took, or was waited for.
    replies : int
        How many hospitals' updates were in it.
    mib_before, mib_peak : float
        The SuperLink's resident memory before it, and at most during it.
    mib_sent : float
        What the stranger sent.
    answers : str
        The HTTP statuses that it got, and how often.
    """

    flood: str
    is_finished: bool
    seconds: float
    replies: int
    mib_before: float
    mib_peak: float
    mib_sent: float
    answers: str


def unlimited() -> str:
    """Give a proxy without limits."""
    return UNLIMITED.read_text()


def limits_alone() -> str:
    """Give the guide's proxy without client certificates."""
    return adapt(whole(), {CERTIFICATES: ""})


def whole() -> str:
    """Give the guide's proxy, which lets in the addresses of this trial."""
    known = "".join(f"    {_address(n)} 1;\n" for n in range(1, NUM_HOSPITALS + 1))
    text = (SERVICES / "federation.conf").read_text()
    return adapt(text, {"    192.0.2.10 ": f"{known}    192.0.2.10 "})


PROXIES: Mapping[str, Callable[[], str]] = {
    "without limits": unlimited,
    "limits, no certificates": limits_alone,
    "limits and certificates": whole,
}


def try_proxy(folder: Path, site: str) -> Iterator[Flooded]:
    """Run a round undisturbed and one under each flood, and tell of each.

    The stranger sits in the first hospital's network, and comes from its address.
    """
    federation = Federation(folder, hospitals=NUM_HOSPITALS)
    with proxied(federation, site) as address, federation:
        floods = {"nothing": NOTHING, **FLOODS}
        config = {"num-server-rounds": len(floods), "local-epochs": 1}
        watch = Watch(federation.start_run({**config, "round-timeout": 240}))
        watch.wait_for(0)
        for server_round, (name, flood) in enumerate(floods.items(), start=1):
            with _measured(federation) as memory:
                start = time.monotonic()
                with flooding(flood, address, _address(1)) as answers:
                    is_finished = watch.is_finished(server_round, SECONDS_A_ROUND)
                    seconds = time.monotonic() - start
                    time.sleep(max(SECONDS_TO_FLOOD - seconds, 0) if flood.body else 0)
            audit = watch.run.audit()
            replies = len(audit[server_round - 1]["decisions"]) if is_finished else 0
            yield Flooded(
                name,
                is_finished,
                seconds,
                replies,
                *memory,
                answers.sent / MEBIBYTE,
                _told(answers),
            )
            if not is_finished:
                return


@contextmanager
def proxied(federation: Federation, site: str) -> Iterator[str]:
    """Put a proxy before a federation that is to be started, and one at each hospital.

    Gives the address of the server's proxy.
    """
    layout = federation.layout
    layout.make()
    write_certificates(layout.certificates, HOSTS)
    server, *others = (f"{HOST}:{port}" for port in free_ports(1 + NUM_HOSPITALS))
    adapted = server_site(
        site, layout.certificates, listen=server, superlink=federation.address
    )
    programs = [nginx(layout, "proxy", adapted)]
    text = (SERVICES / "hospital.conf").read_text()
    for number, (name, listen) in enumerate(
        zip(federation.names, others, strict=True), start=1
    ):
        write_client(layout.certificates, name)
        adapted = hospital_site(
            text, layout.certificates, name, listen=listen, server=server
        )
        bound = {"proxy_pass ": f"proxy_bind {_address(number)}; proxy_pass "}
        programs.append(nginx(layout, f"{name}-proxy", adapt(adapted, bound)))
        federation.entrances[name] = listen
    try:
        for program in programs:
            program.start()
        yield server
    finally:
        for program in programs:
            program.stop()


@contextmanager
def _measured(federation: Federation) -> Iterator[list[float]]:
    """Give the SuperLink's memory before the block, and at its end the peak in it."""
    memory: list[float] = []
    pids = [process.pid for process in federation.superlink.find(SUPERLINK)]
    for pid in pids:
        Path(f"/proc/{pid}/clear_refs").write_text(RESET_PEAK)
    memory.append(sum(_read_memory(pid, "VmRSS") for pid in pids))
    yield memory
    memory.append(sum(_read_memory(pid, "VmHWM") for pid in pids))


def _read_memory(pid: int, name: str) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    [kibibytes] = [line.split()[1] for line in lines if line.startswith(name)]
    return int(kibibytes) / 1024


def _told(answers: Answers) -> str:
    found = sorted(answers.statuses.items())
    return " ".join(f"{status}:{count}" for status, count in found)


def _address(hospital: int) -> str:
    """Give an address of this machine that one hospital comes from."""
    return f"127.0.0.{10 + hospital}"
