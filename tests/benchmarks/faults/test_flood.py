"""The flood: who sends what, and that the proxies tried are those of the guide."""

import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from deployment.certificates import write_certificates
from deployment.proxy import SERVICES
from faults.flooding import CERTIFICATES, PROXIES, limits_alone, unlimited, whole
from faults.stranger import Flood, flooding

GUIDE = (SERVICES / "federation.conf").read_text()


class Refusing(BaseHTTPRequestHandler):
    """Refuse everything, unread."""

    def do_POST(self):
        """Answer before the body has come."""
        self.send_response(413)
        self.end_headers()

    def log_message(self, *_):
        """Say nothing."""


class Reading(Refusing):
    """Read everything, and refuse it then."""

    def do_POST(self):
        """Answer as Flower does to a stranger."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(401)
        self.end_headers()


@pytest.fixture
def serve(tmp_path):
    """Lend a function that runs a server with TLS and gives its address."""
    certificates = write_certificates(tmp_path, ("localhost", "127.0.0.1"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.server, certificates.server_key)
    running = []

    def start(handler):
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        server.handle_error = lambda *_: None  # strangers hang up
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        running.append((server, thread))
        return f"127.0.0.1:{server.server_port}"

    yield start
    for server, thread in running:
        server.shutdown()
        thread.join()
        server.server_close()


def flood(address, how):
    """Flood until something was answered, half a minute at most."""
    with flooding(how, address, "127.0.0.11") as answers:
        deadline = time.monotonic() + 30
        while not answers.statuses and time.monotonic() < deadline:
            time.sleep(0.05)
    return answers


def test_stranger_sends_whole_bodies_and_counts_the_answers(serve):
    """A server that reads to the end has been sent all of it."""
    answers = flood(serve(Reading), Flood(connections=1, body=100_000))
    assert answers.statuses.keys() == {"401"}
    assert answers.sent >= 100_000


def test_stranger_stops_sending_when_refused(serve):
    """Of a slow body little is sent to a server that refuses it at once."""
    slow = Flood(connections=1, body=10**6, pause=0.1, piece=10)
    answers = flood(serve(Refusing), slow)
    assert answers.statuses.keys() == {"413"}
    assert answers.sent < 10**4


def test_nobody_listens():
    """A closed port is counted too."""
    answers = flood("127.0.0.1:1", Flood(connections=2, body=10))
    assert answers.statuses.keys() == {"closed"}
    assert answers.sent == 0


def test_proxies_are_the_guides():
    """One lacks limits, one certificates, and the third is whole."""
    assert list(PROXIES.values()) == [unlimited, limits_alone, whole]
    assert "client_max_body_size    0;" in unlimited()
    assert "ssl_verify_client" not in limits_alone()
    assert CERTIFICATES in whole()
    for line in GUIDE.splitlines():
        assert line in whole()
