"""The guide's proxies, with a real nginx: who gets through, and what does not."""

import http.client
import ssl
import subprocess
import threading
import time
from contextlib import suppress
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from deployment.certificates import write_certificates, write_client
from deployment.layout import Layout
from deployment.ports import HOST, free_ports
from deployment.programs import answers
from deployment.proxy import (
    SERVICES,
    adapt,
    find_nginx,
    hospital_site,
    nginx,
    server_site,
)
from deployment.waiting import wait_until

pytestmark = pytest.mark.skipif(find_nginx() is None, reason="nginx is not installed")

KNOWN, UNKNOWN = "127.0.0.11", "127.0.0.66"
PUSH, POLL = "/v1/fleet/push-object", "/v1/fleet/pull-messages"
LARGEST = 6 * 2**20
"""What the guide's proxy lets through at most."""


class Upstream(BaseHTTPRequestHandler):
    """Stand in for the SuperLink: read the body and tell its length."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        """Answer every path."""
        read = len(self.rfile.read(int(self.headers["Content-Length"])))
        answer = str(read).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture(scope="module")
def layout(tmp_path_factory):
    """Lend a folder with the certificates of a server and of one hospital."""
    layout = Layout(tmp_path_factory.mktemp("proxy"))
    layout.make()
    write_certificates(layout.certificates, ("localhost", HOST))
    write_client(layout.certificates, "hospital-1")
    return layout


@pytest.fixture(scope="module")
def upstream(layout):
    """Run what stands in for the SuperLink and lend its address."""
    server = ThreadingHTTPServer((HOST, 0), Upstream)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    folder = layout.certificates
    context.load_cert_chain(folder / "server.pem", folder / "server.key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"{HOST}:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def write_sites(layout, upstream):
    """Adapt both configurations; give the programs with their addresses."""
    ours, theirs = (f"{HOST}:{port}" for port in free_ports(2))
    folder = layout.certificates
    text = (SERVICES / "federation.conf").read_text()
    known = adapt(text, {"192.0.2.10 ": f"{KNOWN} "})
    site = server_site(known, folder, listen=ours, superlink=upstream)
    server = nginx(layout, "server-proxy", site)
    text = (SERVICES / "hospital.conf").read_text()
    text = adapt(text, {"proxy_pass ": f"proxy_bind {KNOWN}; proxy_pass "})
    site = hospital_site(text, folder, "hospital-1", listen=theirs, server=ours)
    return {ours: server, theirs: nginx(layout, "hospital-proxy", site)}


@pytest.fixture(scope="module")
def proxies(layout, upstream):
    """Run both proxies and lend their addresses: the server's, the hospital's."""
    programs = write_sites(layout, upstream)
    for address, program in programs.items():
        program.start()
        wait_until(
            "nginx answers",
            partial(answers, address, layout.certificates / "ca.crt"),
            30,
            [program],
        )
    yield tuple(programs)
    for program in programs.values():
        program.stop()


def connect(address, context, source):
    """Prepare a connection from an address of this machine."""
    host, port = address.split(":")
    return http.client.HTTPSConnection(
        host, int(port), timeout=30, context=context, source_address=(source, 0)
    )


def post(address, layout, path, size, *, shown="hospital-1", source=KNOWN):
    """Post so many bytes, showing a certificate, and give the answer's status."""
    context = ssl.create_default_context(cafile=layout.certificates / "ca.crt")
    if shown == "server":
        key = layout.certificates / "server.key"
        context.load_cert_chain(layout.certificates / "server.pem", key)
    elif shown:
        context.load_cert_chain(*write_client(layout.certificates, shown))
    connection = connect(address, context, source)
    # What is refused by its size is answered before it is read.
    with suppress(BrokenPipeError, ConnectionResetError):
        connection.request("POST", path, bytes(size))
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    if answer.status == 200:
        assert int(body) == size
    return answer.status


def test_nginx_accepts_both_configurations(layout, upstream):
    """There is no typing error in what administrators copy."""
    for program in write_sites(layout, upstream).values():
        tested = subprocess.run(
            [*program.command, "-t"], capture_output=True, text=True, check=False
        )
        assert tested.returncode == 0, tested.stderr
        assert "[warn]" not in tested.stderr


@pytest.mark.parametrize(("path", "size"), [(PUSH, LARGEST), (POLL, 2**16)])
def test_hospital_gets_through(proxies, layout, path, size):
    """The largest piece of an update, and a question."""
    server, _ = proxies
    assert post(server, layout, path, size) == 200


def test_supernode_gets_through_both_proxies(proxies, layout):
    """The proxy beside it shows the certificate that it cannot show itself."""
    _, hospital = proxies
    assert post(hospital, layout, PUSH, LARGEST, shown="", source=HOST) == 200


@pytest.mark.parametrize(("path", "size"), [(PUSH, LARGEST + 1), (POLL, 2**16 + 1)])
def test_what_is_too_large_is_refused(proxies, layout, path, size):
    """One byte more than the limit is too much."""
    server, _ = proxies
    assert post(server, layout, path, size) == 413


def test_stranger_without_a_certificate_is_refused(proxies, layout):
    """A hospital's address alone is not enough."""
    server, _ = proxies
    assert post(server, layout, PUSH, 100, shown="") == 400


def test_certificate_of_the_server_does_not_let_in(proxies, layout):
    """Only certificates for clients count."""
    server, _ = proxies
    assert post(server, layout, PUSH, 100, shown="server") == 400


def test_unknown_address_is_refused(proxies, layout):
    """A certificate alone is not enough."""
    server, _ = proxies
    assert post(server, layout, PUSH, 100, source=UNKNOWN) == 403


@pytest.mark.parametrize(
    "path",
    [
        "/v1/control/start-run",
        "/v1/fleet/register-node",
        "/v1/fleet/unregister-node",
        "/v1/fleet/../control/start-run",
        "/",
    ],
)
def test_hospital_reaches_nothing_else(proxies, layout, path):
    """Runs and registrations are the administrator's."""
    server, _ = proxies
    assert post(server, layout, path, 100) == 403


def test_one_hospital_cannot_take_all_connections(proxies, layout):
    """The ninth request at a time gets 503, after which a SuperNode tries again."""
    server, _ = proxies
    context = ssl.create_default_context(cafile=layout.certificates / "ca.crt")
    context.load_cert_chain(*write_client(layout.certificates, "hospital-1"))
    held = [connect(server, context, KNOWN) for _ in range(8)]
    for each in held:
        each.putrequest("POST", PUSH)
        each.putheader("Content-Length", "1000")
        each.endheaders()
    time.sleep(0.5)
    try:
        assert post(server, layout, POLL, 10) == 503
    finally:
        for each in held:
            each.close()


def test_configuration_that_has_changed_is_an_error():
    """What is to be adapted must be there."""
    with pytest.raises(ValueError, match="the configuration has no 'listen 443'"):
        adapt("listen 80;", {"listen 443": "listen 444"})
