"""Started to online: SuperNodes that the SuperLink has let in."""

from __future__ import annotations

from collections.abc import Mapping

from deployment.program import Program
from deployment.registry import Registry
from deployment.waiting import wait_until

SECONDS_TO_CONNECT = 300


def wait_for_arrival(
    supernodes: Mapping[str, Program], registry: Registry, superlink: Program
) -> None:
    """Wait until all SuperNodes, given by name, are online since their last start.

    The SuperLink refuses a SuperNode that was killed as long as it takes it to be
    online, up to a minute. So those that have ended are started again, as a service
    manager would.

    Raises
    ------
    FederationError
        If time has run out, with the log of one that is missing, or the SuperLink has
        ended.
    """
    missing = dict(supernodes)

    def have_arrived() -> bool:
        nonlocal missing
        for supernode in missing.values():
            if not supernode.is_running:
                supernode.start()
        missing = find_missing(supernodes, registry)
        return not missing

    wait_until(
        f"{', '.join(supernodes)} are online",
        have_arrived,
        SECONDS_TO_CONNECT,
        [superlink],
        log=lambda: next(iter(missing.values())).log,
    )


def find_missing(
    supernodes: Mapping[str, Program], registry: Registry
) -> dict[str, Program]:
    """Find those that are not online, or were so before their last start only."""
    online = registry.online()
    return {
        name: supernode
        for name, supernode in supernodes.items()
        # The SuperLink's times are whole seconds.
        if name not in online or online[name] < supernode.started.replace(microsecond=0)
    }
