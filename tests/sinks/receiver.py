"""A receiver of messages: a real HTTPS server with a certificate of its own."""

import json
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from queue import Queue
from threading import Event, Thread

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

PATIENCE = 60
"""Seconds after which a test that waits in vain fails."""


class Receiver:
    """What arrived, and what to answer: statuses in turn, then always 200.

    Attributes
    ----------
    arrived : Queue
        Headers and body of each request, put there before it is answered.
    go_on : Event
        Answers wait for it.
    """

    def __init__(self) -> None:
        self.arrived: Queue = Queue()
        self.answers: list[int] = []
        self.headers: dict[str, str] = {}
        self.go_on = Event()
        self.go_on.set()
        self.url = ""

    def next(self) -> dict:
        """Wait for the next message, and read it."""
        return json.loads(self.next_request()[1])

    def next_request(self) -> tuple[dict[str, str], bytes]:
        """Wait for the next request."""
        return self.arrived.get(timeout=PATIENCE)


def make_certificate(folder: Path) -> Path:
    """Write a self-signed certificate for 127.0.0.1, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "receiver")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    path = folder / "receiver.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    return path


@contextmanager
def serve(certificate: Path | None) -> Iterator[Receiver]:
    """Serve on a free port, over HTTPS if there is a certificate."""
    receiver = Receiver()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler_for(receiver))
    server.handle_error = lambda *_: None  # who hangs up or distrusts is no error here
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
    scheme = "http" if certificate is None else "https"
    receiver.url = f"{scheme}://127.0.0.1:{server.server_port}/secret-path"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield receiver
    finally:
        receiver.go_on.set()
        server.shutdown()
        server.server_close()
        thread.join()


def _handler_for(receiver: Receiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status = receiver.answers.pop(0) if receiver.answers else 200
            receiver.arrived.put((dict(self.headers), body))
            receiver.go_on.wait(PATIENCE)
            self.send_response(status)
            for header in receiver.headers.items():
                self.send_header(*header)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    return Handler
