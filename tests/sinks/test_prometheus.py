"""Prometheus: what is scraped over HTTP is what the reports say."""

import copy
import pickle
import re
import time
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from flwr_vdcs import Decision
from flwr_vdcs.report import OUT_OF_MEMORY, TOO_FEW
from flwr_vdcs.sinks import PrometheusSink
from tests.sinks.reports import QUIET, crowd, report

library = pytest.importorskip(
    "prometheus_client", reason="needs the extra `prometheus`"
)

DOCS = Path(__file__).parent.parent.parent / "docs"


@pytest.fixture
def sink():
    """Serve on a free port."""
    made = PrometheusSink(0)
    yield made
    made.close()


def scrape(sink: PrometheusSink) -> dict[str, float]:
    """Read the metrics over HTTP."""
    with urlopen(f"http://127.0.0.1:{sink.port}/metrics", timeout=60) as answer:
        lines = answer.read().decode().splitlines()
    samples = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    return {name: float(value) for name, value in samples}


def test_the_documentation_names_what_is_served(sink):
    """A rule on a metric that does not exist would never fire."""
    sink(report(1))
    sink(report(1, phase="evaluate"))
    served = {re.match(r"\w+", name)[0] for name in scrape(sink)}
    served |= {name.removesuffix("_count") for name in served}
    for path in (DOCS / "alerts.md", DOCS / "alerts" / "rules.yml"):
        named = set(re.findall(r"\bvdcs_\w+", path.read_text()))
        assert named <= served


def test_a_round_is_counted(sink):
    """Totals grow with the rounds; gauges are of the last one."""
    before = time.time()
    sink(report(1, bans=("3",)))
    sink(report(2, decisions=QUIET, sensitivity=None))
    scraped = scrape(sink)
    expected = {
        "vdcs_rounds_aggregated_total": 2,
        'vdcs_decisions_total{client="north",verdict="kept"}': 2,
        'vdcs_decisions_total{client="south",verdict="dropped"}': 1,
        'vdcs_decisions_total{client="5",verdict="banned"}': 1,
        'vdcs_client_score{client="north"}': 0.5,
        'vdcs_client_recent_refusals{client="north"}': 0,
        'vdcs_client_recent_refusals{client="south"}': 1,
        'vdcs_client_recent_refusals{client="6"}': 0,
        "vdcs_bans_total": 1,
        "vdcs_last_round": 2,
        'vdcs_last_round_clients{verdict="kept"}': 2,
        'vdcs_last_round_clients{verdict="dropped"}': 0,
        "vdcs_examination_duration_seconds_sum": 1,
        "vdcs_examination_duration_seconds_count": 2,
    }
    assert {name: scraped[name] for name in expected} == expected
    assert before <= scraped["vdcs_last_round_timestamp_seconds"] <= time.time()
    assert scraped["vdcs_last_round_margin"] != scraped["vdcs_last_round_margin"]
    [info] = [name for name in scraped if name.startswith("vdcs_info")]
    assert 'num_malicious="auto"' in info
    assert 'version_flwr_vdcs="0.2"' in info


@pytest.mark.parametrize(
    ("decisions", "reason"),
    [
        ((Decision("1", "dropped", None, TOO_FEW),), "too_few_updates"),
        ((Decision("1", "dropped", None, OUT_OF_MEMORY),), "out_of_memory"),
        ((Decision("1", "quarantined", None, "what a client chose"),), "no_updates"),
        ((), "no_updates"),
    ],
)
def test_a_skipped_round_has_one_of_three_reasons(sink, decisions, reason):
    """No client can add a reason of its own."""
    reasons = ("too_few_updates", "out_of_memory", "no_updates")
    sink(report(1, decisions=decisions, skipped=True))
    scraped = scrape(sink)
    counted = {
        each: scraped[f'vdcs_rounds_skipped_total{{reason="{each}"}}']
        for each in reasons
    }
    assert counted == {each: each == reason for each in reasons}
    assert scraped["vdcs_rounds_aggregated_total"] == 0


def test_refusals_are_of_the_last_ten_rounds(sink):
    """A client that is kept again comes down again."""
    name = 'vdcs_client_recent_refusals{client="1"}'
    for number in range(12):
        sink(report(number, decisions=(Decision("1", "dropped"),)))
    assert scrape(sink)[name] == 10
    for number in range(4):
        sink(report(number, decisions=(Decision("1", "kept"),)))
    assert scrape(sink)[name] == 6


def test_an_evaluation_counts_its_quarantines_only(sink):
    """Who is quarantined in an evaluation was not refused an update."""
    sink(report(1, phase="evaluate"))
    scraped = scrape(sink)
    assert scraped['vdcs_evaluation_quarantines_total{client="4"}'] == 1
    assert scraped["vdcs_rounds_aggregated_total"] == 0
    assert not any(name.startswith("vdcs_decisions_total") for name in scraped)


def test_clients_beyond_the_limit_are_counted_together():
    """However many there are, so many series."""
    sink = PrometheusSink(0, max_clients=2)
    sink(report(1, decisions=crowd(5000)))
    scraped = scrape(sink)
    series = [name for name in scraped if name.startswith("vdcs_decisions_total")]
    assert len(series) == 3
    assert scraped['vdcs_decisions_total{client="others",verdict="kept"}'] == 4998
    assert 'vdcs_client_score{client="others"}' not in scraped
    sink.close()


def test_the_metrics_may_be_in_a_registry_of_the_users(sink):
    """Then nothing is served."""
    registry = library.CollectorRegistry()
    given = PrometheusSink(registry=registry)
    given(report(3))
    assert registry.get_sample_value("vdcs_last_round") == 3
    assert given.port is None
    given.close()


def test_it_serves_this_machine_until_it_is_closed():
    """Nobody else can read it, unless an address is given."""
    sink = PrometheusSink(0)
    url = f"http://127.0.0.1:{sink.port}/metrics"
    assert sink._server.server_address[0] == "127.0.0.1"
    sink.close()
    with pytest.raises(URLError):
        urlopen(url, timeout=60)


def test_a_port_that_is_taken_is_an_error_at_once(sink):
    """Not one at the first round."""
    with pytest.raises(OSError, match="in use"):
        PrometheusSink(sink.port)


def test_a_deep_copy_counts_for_the_same_exporter(sink):
    """A strategy may be copied with what listens to it."""
    copy.deepcopy(sink)(report(5))
    assert scrape(sink)["vdcs_last_round"] == 5


def test_a_pickled_one_serves_from_its_first_round(sink):
    """Where it is unpickled the port may be free, as in another process."""
    again = pickle.loads(pickle.dumps(sink))
    assert again.port is None
    again(report(6))
    assert scrape(again)["vdcs_last_round"] == 6
    assert scrape(sink)["vdcs_last_round"] == 0
    again.close()
