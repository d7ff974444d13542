"""Messages over HTTPS: they arrive, tell no secret, and nobody waits for them."""

import copy
import hashlib
import hmac
import json
import logging
import pickle
import subprocess
import sys
from threading import Event

import pytest

from flwr_vdcs import Decision
from flwr_vdcs.errors import InvalidArgumentError
from flwr_vdcs.sinks import WebhookSink, summarize, webhook
from tests.sinks.receiver import PATIENCE, Receiver, make_certificate, serve
from tests.sinks.reports import QUIET, report

TOKEN = "token-that-nobody-may-see"

AT_ONCE = [0.0] * 3
"""Pauses between tries."""


class Watched(Event):
    """Tells when somebody waits for it."""

    def __init__(self) -> None:
        super().__init__()
        self.is_awaited = Event()

    def wait(self, timeout=None):
        """Wait, and say so."""
        self.is_awaited.set()
        return super().wait(timeout)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    """Make a certificate that no system trusts."""
    return make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture
def receiver(certificate):
    """Serve over HTTPS."""
    with serve(certificate) as running:
        yield running


@pytest.fixture
def sink(receiver, certificate):
    """Send to the receiver, trusting its certificate."""
    made = WebhookSink(
        receiver.url, ca_file=certificate, headers={"Authorization": TOKEN}
    )
    made._pauses = AT_ONCE
    yield made
    receiver.go_on.set()
    made.close()


def wait_for_all(sink: WebhookSink) -> None:
    """Wait until the thread has nothing more to do."""
    if (thread := sink._background._thread) is not None:
        thread.join(PATIENCE)
        assert not thread.is_alive()


def rounds_at(receiver: Receiver, count: int) -> list[int]:
    """Read the rounds of the next messages."""
    return [receiver.next()["server_round"] for _ in range(count)]


def test_a_message_is_the_report_and_a_text(sink, receiver):
    """The receiver reads what the audit log has; the token is in the headers."""
    told = report(7, bans=("3",))
    sink(told)
    headers, body = receiver.next_request()
    content = json.loads(body)
    assert content.pop("time").endswith("+00:00")
    assert content.pop("text") == summarize(told)
    assert content == json.loads(json.dumps(told.to_dict()))
    assert headers["Authorization"] == TOKEN
    assert headers["Content-Type"] == "application/json"


def test_a_name_is_no_markup(sink, receiver):
    """Slack reads <!channel> as a mention of everybody."""
    sink(report(decisions=(Decision("1", "dropped", name="<!channel> & co"),)))
    assert "dropped &lt;!channel&gt; &amp; co" in receiver.next()["text"]


def test_quiet_rounds_are_told_of_on_demand(sink, receiver, certificate):
    """By default a message says that something happened."""
    sink(report(1, decisions=QUIET))
    sink(report(2))
    assert rounds_at(receiver, 1) == [2]
    talkative = WebhookSink(receiver.url, ca_file=certificate, every_round=True)
    talkative(report(3, decisions=QUIET))
    assert rounds_at(receiver, 1) == [3]
    talkative.close()


def test_a_quarantine_in_an_evaluation_is_told_of(sink, receiver):
    """The text says that it was one."""
    sink(report(4, phase="evaluate"))
    assert receiver.next()["text"].startswith("round 4, evaluation: quarantined 4")


def test_the_message_can_be_made_by_hand(receiver, certificate):
    """Each service wants another form."""
    sink = WebhookSink(
        receiver.url,
        ca_file=certificate,
        payload=lambda report: {"content": summarize(report)},
    )
    sink(report(1))
    assert receiver.next() == {"content": summarize(report(1))}
    sink.close()


def test_a_signature_proves_the_sender(receiver, certificate):
    """It is the HMAC-SHA256 of the body."""
    sink = WebhookSink(receiver.url, ca_file=certificate, secret="key")
    sink(report(1))
    headers, body = receiver.next_request()
    expected = hmac.new(b"key", body, hashlib.sha256).hexdigest()
    assert headers["X-Vdcs-Signature"] == f"sha256={expected}"
    sink.close()


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_what_may_pass_is_tried_again(sink, receiver, status):
    """The same body comes again, and the next message after it."""
    receiver.answers = [status, status]
    sink(report(1))
    sink(report(2))
    assert rounds_at(receiver, 4) == [1, 1, 1, 2]
    wait_for_all(sink)
    assert sink.num_lost == 0


def test_there_is_an_end_to_it(sink, receiver, flower_log):
    """A warning says what was answered, once until a message arrives again."""
    receiver.answers = [503] * 8 + [200] + [503] * 4
    for server_round in (1, 2, 3, 4):
        sink(report(server_round))
    assert rounds_at(receiver, 13) == [1] * 4 + [2] * 4 + [3] + [4] * 4
    wait_for_all(sink)
    assert sink.num_lost == 3
    assert flower_log.text.count("did not arrive: status 503") == 2


@pytest.mark.parametrize("status", [400, 401, 404])
def test_what_is_refused_for_good_is_not_tried_again(
    sink, receiver, flower_log, status
):
    """The receiver has said that it will not take it."""
    receiver.answers = [status]
    sink(report(1))
    sink(report(2))
    assert rounds_at(receiver, 2) == [1, 2]
    assert f"status {status}" in flower_log.text


def test_a_receiver_that_hangs_holds_up_nobody(sink, receiver):
    """The round goes on while the receiver has not answered yet."""
    receiver.go_on.clear()
    sink(report(1))
    assert rounds_at(receiver, 1) == [1]
    for server_round in range(2, 50):
        sink(report(server_round))
    assert not receiver.go_on.is_set()
    receiver.go_on.set()
    assert rounds_at(receiver, 48) == list(range(2, 50))


def test_the_oldest_give_way(receiver, certificate, flower_log):
    """Two may wait: of five messages the first is on its way, the last two wait."""
    sink = WebhookSink(receiver.url, ca_file=certificate, queue_size=2)
    receiver.go_on.clear()
    sink(report(1))
    assert rounds_at(receiver, 1) == [1]
    for server_round in (2, 3, 4, 5):
        sink(report(server_round))
    assert sink.num_lost == 2
    assert flower_log.text.count("the oldest is lost") == 1
    receiver.go_on.set()
    assert rounds_at(receiver, 2) == [4, 5]
    sink.close()


def test_closing_waits_only_so_long(receiver, certificate, flower_log):
    """What is not sent then is counted."""
    sink = WebhookSink(receiver.url, ca_file=certificate, close_timeout=0.01)
    receiver.go_on.clear()
    sink(report(1))
    assert rounds_at(receiver, 1) == [1]
    sink(report(2))
    sink.close()
    assert not receiver.go_on.is_set()
    assert sink.num_lost == 2
    assert "closed while 2 messages were not sent" in flower_log.text


def test_closing_sends_what_waits(sink, receiver):
    """And a later round is told of as before."""
    for server_round in (1, 2, 3):
        sink(report(server_round))
    sink.close()
    assert receiver.arrived.qsize() == 3
    sink(report(4))
    assert rounds_at(receiver, 4) == [1, 2, 3, 4]


def test_closing_ends_a_pause_with_a_last_try(sink, receiver):
    """The process may end before the pause would."""
    sink._pauses = [3600.0] * 3
    sink._background.closing = watched = Watched()
    receiver.answers = [503]
    sink(report(1))
    assert watched.is_awaited.wait(PATIENCE)
    sink.close()
    assert rounds_at(receiver, 2) == [1, 1]
    assert sink.num_lost == 0


SCRIPT = """
import sys
from flwr_vdcs.sinks import WebhookSink
from tests.sinks.reports import report
certificate, answering, hanging = sys.argv[1:]
WebhookSink(hanging, ca_file=certificate, close_timeout=0.01)(report(8))
WebhookSink(answering, ca_file=certificate, close_timeout=60)(report(9))
"""


def test_a_process_ends_with_its_last_message(receiver, certificate):
    """What waits is sent at the exit, and who hangs does not keep the process."""
    with serve(certificate) as hanging:
        hanging.go_on.clear()
        given = [str(certificate), receiver.url, hanging.url]
        command = [sys.executable, "-c", SCRIPT, *given]
        ended = subprocess.run(command, capture_output=True, text=True, check=True)
        assert not hanging.go_on.is_set()
    assert rounds_at(receiver, 1) == [9]
    assert "closed while 1 messages were not sent" in ended.stderr


def test_who_is_not_trusted_gets_nothing(receiver, flower_log):
    """The warning comes once, and says what is wrong with the certificate."""
    sink = WebhookSink(receiver.url, headers={"Authorization": TOKEN})
    for server_round in (1, 2, 3):
        sink(report(server_round))
    wait_for_all(sink)
    assert sink.num_lost == 3
    assert receiver.arrived.empty()
    assert flower_log.text.count("its certificate: self-signed certificate") == 1


def test_nobody_there_is_tried_again_and_told(sink, receiver, flower_log):
    """A connection that is refused may pass."""
    sink._receiver = webhook.Receiver(
        "https://127.0.0.1:1/", {}, None, None, 1.0, allow_http=False
    )
    tries = []
    sink._background.closing.wait = tries.append
    sink(report(1))
    wait_for_all(sink)
    assert tries == AT_ONCE
    assert "did not arrive: Connection refused" in flower_log.text


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(sink, receiver, certificate, flower_log, status):
    """The token stays with whom it was meant for."""
    with serve(certificate) as other:
        receiver.answers = [status]
        receiver.headers = {"Location": other.url}
        sink(report(1))
        assert rounds_at(receiver, 1) == [1]
        wait_for_all(sink)
        assert other.arrived.empty()
    assert f"it redirects ({status})" in flower_log.text


@pytest.mark.parametrize("status", [200, 307, 401, 503])
def test_no_secret_is_logged(sink, receiver, caplog, flower_log, status):
    """The path of the URL is a secret too, as with Slack."""
    caplog.set_level(logging.DEBUG, logger="flwr")
    caplog.set_level(logging.INFO)
    receiver.answers = [status] * 4
    receiver.headers = {"Location": receiver.url}
    sink(report(1))
    wait_for_all(sink)
    shown = f"{caplog.text}{flower_log.text}{sink!r}{sink._receiver!r}"
    assert TOKEN not in shown
    assert "secret-path" not in shown


def test_no_secret_is_logged_where_nobody_is(caplog, certificate):
    """Errors of connections quote the path of the URL."""
    caplog.set_level(logging.INFO)
    failed = webhook.Receiver(
        "https://127.0.0.1:1/secret-path", {}, None, None, 1.0, allow_http=False
    ).post(b"{}")
    assert "secret-path" not in f"{failed!r}{caplog.text}"


def test_a_proxy_that_is_not_there_is_named(monkeypatch):
    """Hospitals reach the outside by one, and its address may hold a password."""
    monkeypatch.setenv("HTTPS_PROXY", "http://user:secret-path@127.0.0.1:1")
    failed = webhook.Receiver(
        "https://alerts.example.org/", {}, None, None, 1.0, allow_http=False
    ).post(b"{}")
    assert failed.reason == "its proxy: Connection refused"


def test_no_file_of_passwords_replaces_the_token(sink, receiver, tmp_path, monkeypatch):
    """The HTTP library would read a .netrc file, also for other machines."""
    passwords = tmp_path / "netrc"
    passwords.write_text("machine 127.0.0.1 login a password b\n")
    monkeypatch.setenv("NETRC", str(passwords))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr("flwr_vdcs.sinks._receiver._is_here", lambda _: False)
    sink(report(1))
    assert receiver.next_request()[0]["Authorization"] == TOKEN


def test_plain_http_is_for_this_machine():
    """To others the report and the token would travel in clear."""
    with serve(None) as receiver:
        sink = WebhookSink(receiver.url)
        sink(report(1))
        assert rounds_at(receiver, 1) == [1]
        sink.close()
    WebhookSink("http://alerts.example.org/", allow_http=True)


@pytest.mark.parametrize(
    ("url", "given", "named"),
    [
        ("http://alerts.example.org/secret-path", {}, "url"),
        ("ftp://127.0.0.1/secret-path", {}, "url"),
        ("alerts.example.org/secret-path", {}, "url"),
        ("https://a:secret-path@example.org", {}, "url"),
        ("https://example.org", {"headers": {"A": "secret-path\r\nB: c"}}, "headers"),
        ("https://example.org", {"headers": {"A": "secret-path ✓"}}, "headers"),
        ("https://example.org", {"headers": {"A": 3}}, "headers"),
        ("https://example.org", {"ca_file": "missing.pem"}, "ca_file"),
        ("https://example.org", {"timeout": 0}, "timeout"),
        ("https://example.org", {"queue_size": 0}, "queue_size"),
    ],
)
def test_what_cannot_work_is_refused_at_once(url, given, named):
    """The error names the argument, and shows no secret."""
    with pytest.raises(InvalidArgumentError) as caught:
        WebhookSink(url, **given)
    assert caught.value.name == named
    assert "secret-path" not in str(caught.value)


@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda sink: pickle.loads(pickle.dumps(sink))]
)
def test_a_copy_sends_its_own_messages(sink, receiver, copied):
    """What waits in the original is not sent twice."""
    receiver.go_on.clear()
    sink(report(1))
    sink(report(2))
    assert rounds_at(receiver, 1) == [1]
    again = copied(sink)
    receiver.go_on.set()
    assert rounds_at(receiver, 1) == [2]
    again(report(3))
    assert rounds_at(receiver, 1) == [3]
    again.close()
    assert receiver.arrived.empty()
