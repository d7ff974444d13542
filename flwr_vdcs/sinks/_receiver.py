"""A body to a receiver over HTTPS: one request, and why it failed."""

import hashlib
import hmac
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

import requests

from flwr_vdcs.errors import InvalidArgumentError

SIGNATURE = "X-Vdcs-Signature"

MAY_PASS = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS}
"""Beside the server's own errors, these are worth another try."""


@dataclass(frozen=True)
class Failure:
    """Why a request failed, without anything secret, and whether that may pass."""

    reason: str
    may_pass: bool


@dataclass(frozen=True)
class Receiver:
    """Where bodies go, and with what; nothing of it is shown but the host.

    Raises
    ------
    InvalidArgumentError
        If the URL is not ``https://…``, and not ``http://…`` of this machine; or if
        it, a header or the file of certificates cannot be used.
    """

    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    secret: str | None = field(repr=False)
    ca_file: str | None
    timeout: float
    allow_http: bool

    def __post_init__(self) -> None:
        """Refuse what would fail later, or send secrets in clear."""
        self._check_url()
        self._check_headers()
        self._check_certificates()

    @property
    def host(self) -> str:
        """The host, which may be shown: the rest of the URL may be a secret."""
        return urlsplit(self.url).hostname or ""

    def post(self, body: bytes) -> Failure | None:
        """Send a body, and give why it did not arrive."""
        try:
            with requests.Session() as session:
                session.trust_env = not _is_here(self.host)
                session.auth = _as_given
                answer = session.post(
                    self.url,
                    data=body,
                    headers=self._headers(body),
                    timeout=self.timeout,
                    verify=self.ca_file or True,
                    allow_redirects=False,
                    stream=True,
                )
                answer.close()
        except Exception as error:  # noqa: BLE001  # whatever it is, training goes on
            return _failure(error)
        return None if answer.ok and not answer.is_redirect else _refusal(answer)

    def _headers(self, body: bytes) -> dict[str, str]:
        headers = {"Content-Type": "application/json", **self.headers}
        if self.secret is not None:
            digest = hmac.new(self.secret.encode(), body, hashlib.sha256).hexdigest()
            headers[SIGNATURE] = f"sha256={digest}"
        return headers

    def _check_url(self) -> None:
        parts = urlsplit(self.url)
        if parts.username or parts.password:
            allowed = "no user or password in it, but `headers`"
            raise InvalidArgumentError("url", f"...@{self.host}", allowed)
        is_clear = parts.scheme == "http" and (self.allow_http or _is_here(self.host))
        if not self.host or not (parts.scheme == "https" or is_clear):
            allowed = "https://..., or http://... of this machine or with allow_http"
            raise InvalidArgumentError("url", f"{parts.scheme}://{self.host}", allowed)

    def _check_headers(self) -> None:
        try:
            requests.Request("POST", self.url, headers=self.headers).prepare()
            "".join(self.headers.values()).encode("latin-1")
        except (requests.RequestException, AttributeError, TypeError, ValueError):
            allowed = "a dict of str to str, in Latin-1 and without line breaks"
            raise InvalidArgumentError("headers", "(not shown)", allowed) from None

    def _check_certificates(self) -> None:
        if self.ca_file is None:
            return
        try:
            ssl.create_default_context(cafile=Path(self.ca_file))
        except OSError as error:
            allowed = "a file of certificates in PEM format"
            raise InvalidArgumentError("ca_file", self.ca_file, allowed) from error


def _as_given(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Keep a ``.netrc`` file from replacing the token in the headers."""
    return request


def _is_here(host: str) -> bool:
    """Tell whether a host is this machine."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _failure(error: Exception) -> Failure:
    """Say what went wrong; the error's own text holds the URL, which may be secret."""
    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return Failure(f"its certificate: {cause.verify_message}", may_pass=False)
    may_pass = isinstance(error, requests.ConnectionError | requests.Timeout)
    where = "its proxy: " if isinstance(error, requests.exceptions.ProxyError) else ""
    what = getattr(causes[-1], "strerror", None) or type(causes[-1]).__name__
    return Failure(f"{where}{what}", may_pass)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Follow an error to what it came from."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _refusal(answer: requests.Response) -> Failure:
    status = answer.status_code
    if answer.is_redirect:
        return Failure(f"it redirects ({status}): give the final URL", may_pass=False)
    is_its_own = status >= HTTPStatus.INTERNAL_SERVER_ERROR
    return Failure(f"status {status}", is_its_own or status in MAY_PASS)
