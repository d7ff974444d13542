"""Round reports to messages over HTTPS, sent without holding up the round."""

import atexit
import json
import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from html import escape
from typing import Any

from flwr_vdcs.errors import InvalidArgumentError
from flwr_vdcs.records import logger
from flwr_vdcs.report import RoundReport
from flwr_vdcs.sinks._background import Background
from flwr_vdcs.sinks._receiver import Failure, Receiver
from flwr_vdcs.sinks._text import is_eventful, summarize

Payload = Callable[[RoundReport], Mapping[str, Any]]

MAX_PAUSE = 60.0
"""Seconds between two tries, at most."""


def message(report: RoundReport) -> dict[str, Any]:
    """Give what is sent: a text for people, and the report as in the audit log.

    In the text ``&``, ``<`` and ``>`` are escaped, as Slack wants it, so that no
    client's name can become a link or a mention there.
    """
    time = datetime.now(UTC).isoformat(timespec="seconds")
    text = escape(summarize(report), quote=False)
    return {"text": text, "time": time, **report.to_dict()}


class WebhookSink:
    """Post a JSON message for each round in which something happened.

    Messages are sent by a thread, so a round never waits for one. A message that fails
    is tried again, with pauses of 1, 2, 4, … up to 60 seconds, unless the receiver
    refuses it for good. Then it is lost, and a warning says so; the warning comes once
    until a message arrives again or fails for another reason.

    Parameters
    ----------
    url : str
        Where to post: ``https://…``. ``http://…`` is for this machine only.
    every_round : bool, default False
        Whether to send a message for every round, also where nobody was banned,
        quarantined or dropped and the round was not skipped.
    headers : dict of str to str, optional
        Headers to send along, such as a token.
    secret : str, optional
        Key of an HMAC-SHA256 over the body, sent as ``X-Vdcs-Signature: sha256=…`` in
        hex, by which the receiver knows the sender.
    payload : callable, optional
        Makes the message of a report: a dict that JSON can hold. By default it has all
        of the report and a ``"text"``.
    ca_file : path, optional
        Certificates to trust, in PEM format, in place of the usual ones.
    timeout : float, default 10
        Seconds to wait for a connection, and for the answer.
    retries : int, default 8
        Tries after the first one: 8 go on for three minutes.
    queue_size : int, default 100
        So many messages wait at most; then the oldest is lost, with a warning.
    close_timeout : float, default 5
        Seconds that `close` waits, at most.
    allow_http : bool, default False
        Whether to send to other machines without encryption.

    Raises
    ------
    InvalidArgumentError
        If an argument is not possible. Neither headers nor the URL's path are shown.
    """

    def __init__(
        self,
        url: str,
        *,
        every_round: bool = False,
        headers: Mapping[str, str] | None = None,
        secret: str | None = None,
        payload: Payload = message,
        ca_file: str | os.PathLike[str] | None = None,
        timeout: float = 10.0,
        retries: int = 8,
        queue_size: int = 100,
        close_timeout: float = 5.0,
        allow_http: bool = False,
    ) -> None:
        _check_positive(timeout=timeout, queue_size=queue_size)
        file = None if ca_file is None else os.fspath(ca_file)
        given = dict(headers or {})
        self._receiver = Receiver(url, given, secret, file, timeout, allow_http)
        self._every_round = every_round
        self._payload = payload
        self._pauses = [min(MAX_PAUSE, 2.0**number) for number in range(retries)]
        self._queue_size = queue_size
        self._close_timeout = close_timeout
        self._begin()

    def __call__(self, report: RoundReport) -> None:
        """Hand one round's message to the thread, if there is something to say."""
        if not (self._every_round or is_eventful(report)):
            return
        body = json.dumps(self._payload(report), allow_nan=False).encode()
        atexit.unregister(self.close)
        atexit.register(self.close)
        if self._background.put(body):
            self._num_pushed_out += 1
            self._warn("more messages wait than `queue_size`; the oldest is lost")

    @property
    def num_lost(self) -> int:
        """Number of messages that did not arrive and are not tried again."""
        return self._num_pushed_out + self._num_failed

    def close(self) -> None:
        """Send what is waiting, for at most ``close_timeout`` seconds.

        Each message is tried once more. What is not closed is closed at the exit of
        Python. A later round sends messages as before.
        """
        atexit.unregister(self.close)
        if left := self._background.close(self._close_timeout):
            self._num_pushed_out += left
            self._warn(f"closed while {left} messages were not sent")

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the thread and what waits in it: a copy has its own."""
        return {**vars(self), "_background": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take the settings, and begin with nothing to send."""
        vars(self).update(state)
        self._begin()

    def _begin(self) -> None:
        self._background = Background(self._deliver, self._queue_size)
        self._num_pushed_out = 0
        self._num_failed = 0
        self._told = ""

    def _deliver(self, body: bytes) -> None:
        """Send a body, in the thread, and note how that ended."""
        failure = self._try(body)
        if failure is None:
            self._told = ""
            return
        self._num_failed += 1
        self._warn(failure.reason)

    def _try(self, body: bytes) -> Failure | None:
        """Try until the body arrives or there is no hope; a last time when closing."""
        closing = self._background.closing
        for pause in self._pauses:
            failure = self._receiver.post(body)
            if failure is None or not failure.may_pass or closing.is_set():
                return failure
            closing.wait(pause)
        return self._receiver.post(body)

    def _warn(self, reason: str) -> None:
        """Say it once, until something arrives or something else happens."""
        if reason == self._told:
            return
        self._told = reason
        logger.warning(
            "A message to %s did not arrive: %s. %d are lost so far; training goes on.",
            self._receiver.host,
            reason,
            self.num_lost,
        )


def _check_positive(**numbers: float) -> None:
    for name, value in numbers.items():
        if not value > 0:
            raise InvalidArgumentError(name, value, "a number above 0")
