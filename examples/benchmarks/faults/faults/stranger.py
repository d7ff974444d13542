"""Address to flood: what somebody without a registered key can send to a proxy."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from flwr.proto.message_pb2 import PushObjectRequest

PATH = "/v1/fleet/push-object"
MEBIBYTE = 2**20
PIECE = 2**16
SECONDS_TO_ANSWER = 60
SECONDS_BETWEEN_VISITS = 0.1


TRUSTING = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
TRUSTING.check_hostname = False
TRUSTING.verify_mode = ssl.CERT_NONE


@dataclass(frozen=True)
class Flood:
    """How a stranger sends.

    Parameters
    ----------
    connections : int
        How many at a time; each starts anew when it has been answered.
    body : int
        Bytes of the request's body.
    pause : float
        Seconds between two pieces of it.
    piece : int
        Bytes of a piece.
    """

    connections: int
    body: int
    pause: float = 0.0
    piece: int = PIECE


FLOODS: Mapping[str, Flood] = {
    "large bodies": Flood(connections=4, body=200 * MEBIBYTE),
    # Just below what the guide's proxy lets through.
    "many connections": Flood(connections=200, body=6 * MEBIBYTE - 1024),
    "slow bodies": Flood(200, body=6 * MEBIBYTE - 1024, pause=1.0, piece=1024),
}


@dataclass
class Answers:
    """What came of a flood.

    Attributes
    ----------
    sent : int
        Bytes of bodies.
    statuses : Counter
        How often which HTTP status came; ``closed`` without one.
    """

    sent: int = 0
    statuses: Counter[str] = field(default_factory=Counter)


@contextmanager
def flooding(flood: Flood, address: str, source: str) -> Iterator[Answers]:
    """Flood an address from another one, until the block is left."""
    answers, stop = Answers(), threading.Event()
    request = PushObjectRequest(object_content=bytes(flood.body))
    body = request.SerializeToString()

    async def visit() -> None:
        # A cancelled ``wait_for`` can lose the cancellation.
        while not stop.is_set():
            status = await _send(flood, body, address, source, answers)
            answers.statuses[status] += 1
            await asyncio.sleep(SECONDS_BETWEEN_VISITS)

    visits = _keep_up(visit, flood.connections, stop)
    thread = threading.Thread(target=asyncio.run, args=(visits,))
    thread.start()
    try:
        yield answers
    finally:
        stop.set()
        thread.join()


async def _keep_up(
    visit: Callable[[], Coroutine[None, None, None]], count: int, stop: threading.Event
) -> None:
    """Let so many visit at a time, until it is to stop."""
    visits = [asyncio.create_task(visit()) for _ in range(count)]
    while not stop.is_set():
        await asyncio.sleep(SECONDS_BETWEEN_VISITS)
    for each in visits:
        each.cancel()
    await asyncio.gather(*visits, return_exceptions=True)


async def _send(
    flood: Flood, body: bytes, address: str, source: str, answers: Answers
) -> str:
    """Send one request and tell the status of its answer."""
    host, port = address.split(":")
    writer = None
    try:
        reader, writer = await asyncio.open_connection(
            host, int(port), ssl=TRUSTING, local_addr=(source, 0)
        )
        head = (
            f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
            f"Content-Type: application/protobuf\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        writer.write(head.encode())
        answer = asyncio.create_task(reader.readline())
        with suppress(OSError):
            for start in range(0, len(body), flood.piece):
                if answer.done():
                    break
                piece = body[start : start + flood.piece]
                writer.write(piece)
                await writer.drain()
                answers.sent += len(piece)
                await asyncio.sleep(flood.pause)
        line = await asyncio.wait_for(answer, SECONDS_TO_ANSWER)
        return line.split()[1].decode() if line else "closed"
    except (OSError, TimeoutError):
        return "closed"
    finally:
        if writer is not None:
            writer.transport.abort()
