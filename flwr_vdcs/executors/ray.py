"""Clients to evidence on Ray, in shards, one for each worker."""

import logging
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from itertools import pairwise
from math import isfinite
from numbers import Real
from typing import Any

from flwr_vdcs.errors import (
    ExecutorError,
    InvalidArgumentError,
    MissingExtraError,
)

RETRIES = 3
"""How often a shard is sent out again whose worker has died."""

NAMESPACE = "flwr-vdcs"
"""Tells connections that this module made from those that it found."""

BETWEEN_LOOKS = 1.0
"""Seconds after which it is seen whether there still is a cluster."""

Function = Callable[[Any, Any], Any]


@dataclass(frozen=True, kw_only=True)
class RayExecutor:
    """Compute the evidence on Ray; ``executor="ray"`` takes the defaults.

    Needs ``pip install "flwr-vdcs[ray]"``. If this process is connected to a cluster,
    as in a Flower simulation, that is used. Else it connects to ``address``, and
    without one starts a local cluster, which ends with this process.

    Parameters
    ----------
    num_workers : int, optional
        How many to use at most, each for one shard of a round's clients. Without it as
        many as there is room for.
    num_cpus, num_gpus : float, default 1 and 0
        What each worker reserves. With ``device="cuda"`` it needs a GPU, or a part.
    address : str, optional
        Of a cluster, as for ``ray.init``; the environment's ``RAY_ADDRESS`` if not
        given.
    timeout : float, default 30
        Seconds to wait for room for one worker. Then the server's process computes the
        evidence.

    Raises
    ------
    MissingExtraError
        If Ray is not installed.
    InvalidArgumentError
        If an argument is not in its range.
    """

    num_workers: int | None = None
    num_cpus: float = 1
    num_gpus: float = 0
    address: str | None = None
    timeout: float = 30.0

    def __post_init__(self) -> None:
        """Check the arguments."""
        _ray()
        if self.num_workers is not None and not _is_whole(self.num_workers):
            allowed = "None, or an int >= 1"
            raise InvalidArgumentError("num_workers", self.num_workers, allowed)
        for name in ("num_cpus", "timeout"):
            if not _is_number(getattr(self, name)) or getattr(self, name) <= 0:
                allowed = "a number above 0"
                raise InvalidArgumentError(name, getattr(self, name), allowed)
        if not _is_number(self.num_gpus) or self.num_gpus < 0:
            raise InvalidArgumentError("num_gpus", self.num_gpus, "a number >= 0")
        if self.address is not None and not isinstance(self.address, str):
            raise InvalidArgumentError("address", self.address, "None, or a string")

    def map_clients(
        self, function: Function, shared: Any, clients: Sequence[Any]
    ) -> Iterator[Any]:
        """Give what the function gives for each client, shard by shard.

        Raises
        ------
        ExecutorError
            If the cluster is gone, has no room, or loses a shard again and again.
        """
        ray = _ray()
        with _errors_explained(ray):
            self._connect(ray)
            num_workers = min(len(clients), self._num_workers(ray))
            with self._room(ray, num_workers) as room:
                common = ray.put(shared)
                shards = [ray.put(shard) for shard in _split(clients, num_workers)]

                def send(shard: Any) -> Any:
                    _check_connected(ray)
                    return self._task(ray, room).remote(function, common, shard)

                sent = [send(shard) for shard in shards]
                for shard, answer in zip(shards, sent, strict=True):
                    yield from self._received(ray, room, answer, partial(send, shard))

    def _connect(self, ray: Any) -> None:
        """Connect to a cluster, or start one, unless that is done."""
        if ray.is_initialized():
            return
        address = self.address or os.environ.get("RAY_ADDRESS") or "local"
        options = {"include_dashboard": False} if address == "local" else {}
        with _quiet():
            ray.init(
                address=address,
                **options,
                namespace=NAMESPACE,
                log_to_driver=False,
                logging_level=logging.ERROR,
            )

    def _num_workers(self, ray: Any) -> int:
        """Tell for how many workers there is room; for one it may be waited."""
        free = ray.available_resources()
        room = int(free.get("CPU", 0) / self.num_cpus)
        if self.num_gpus:
            room = min(room, int(free.get("GPU", 0) / self.num_gpus))
        return max(1, room if self.num_workers is None else min(room, self.num_workers))

    @contextmanager
    def _room(self, ray: Any, num_workers: int) -> Iterator[Any]:
        """Reserve what the workers need, for as long as they are needed.

        Tasks without a reservation would wait for ever where others hold all CPUs.
        """
        bundle = {"CPU": self.num_cpus}
        if self.num_gpus:
            bundle["GPU"] = self.num_gpus
        room = ray.util.placement_group([bundle] * num_workers)
        try:
            self._wait(ray, room)
            yield room
        except Exception:
            _leave(ray)
            raise
        finally:
            if ray.is_initialized():
                ray.util.remove_placement_group(room)

    def _wait(self, ray: Any, room: Any) -> None:
        """Wait for the reservation, which comes anew if a machine is lost."""
        _check_connected(ray)
        if not room.wait(self.timeout):
            raise ExecutorError(
                f"Ray has no {self.num_cpus:g} CPUs and {self.num_gpus:g} GPUs free "
                f"for a worker within {self.timeout:g} seconds"
            )

    def _task(self, ray: Any, room: Any) -> Any:
        strategies = import_module("ray.util.scheduling_strategies")
        return ray.remote(_each).options(
            num_cpus=self.num_cpus,
            num_gpus=self.num_gpus,
            max_retries=0,
            scheduling_strategy=strategies.PlacementGroupSchedulingStrategy(room),
        )

    def _received(
        self, ray: Any, room: Any, answer: Any, send_again: Callable[[], Any]
    ) -> Any:
        """Wait for a shard's results; send it again if its worker has died."""
        for _ in range(RETRIES):
            try:
                return self._awaited(ray, room, answer)
            except ray.exceptions.RayTaskError:
                raise
            except ray.exceptions.RayError:
                answer = send_again()
        return self._awaited(ray, room, answer)

    def _awaited(self, ray: Any, room: Any, answer: Any) -> Any:
        """Wait for as long as the worker has its place."""
        _check_connected(ray)
        while not ray.wait([answer], timeout=BETWEEN_LOOKS)[0]:
            self._wait(ray, room)
        return ray.get(answer)


def _ray() -> Any:
    try:
        return import_module("ray")
    except ImportError as error:
        raise MissingExtraError('executor="ray"', "ray") from error


def _check_connected(ray: Any) -> None:
    """See that there is a cluster, as Ray would start a new one without asking."""
    if not ray.is_initialized():
        raise ExecutorError("this process is no longer connected to Ray")


def _each(function: Function, shared: Any, shard: Sequence[Any]) -> list[Any]:
    """Run on a worker."""
    return [function(shared, client) for client in shard]


def _split(clients: Sequence[Any], num_shards: int) -> Iterator[Sequence[Any]]:
    """Give shards of which none has two clients more than another, in order."""
    bounds = [len(clients) * i // num_shards for i in range(num_shards + 1)]
    for first, end in pairwise(bounds):
        yield clients[first:end]


def _leave(ray: Any) -> None:
    """Leave a cluster that failed, if it was joined here: the next round joins anew.

    Ray ends a process that stays connected for a minute when a cluster's head is gone.
    """
    if ray.is_initialized() and ray.get_runtime_context().namespace == NAMESPACE:
        ray.shutdown()


@contextmanager
def _errors_explained(ray: Any) -> Iterator[None]:
    """Say what is the same in every round, without the numbers of tasks."""
    try:
        yield
    except ray.exceptions.RayTaskError as error:
        raise ExecutorError(f"a worker of Ray raised {error.cause!r}") from error
    except ray.exceptions.RayError as error:
        raise ExecutorError(f"Ray raised a {type(error).__name__}") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Start Ray without a word, and without reports of its use to its makers."""
    name = "RAY_USAGE_STATS_ENABLED"
    is_set = name in os.environ
    os.environ.setdefault(name, "0")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        if not is_set:
            del os.environ[name]


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _is_number(value: object) -> bool:
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    return is_number and isfinite(value)  # type: ignore[arg-type]
