"""Round reports to metrics that Prometheus scrapes."""

import time
from collections import defaultdict, deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from flwr_vdcs.errors import MissingExtraError
from flwr_vdcs.report import OUT_OF_MEMORY, TOO_FEW, Decision, RoundReport
from flwr_vdcs.sinks._labels import Labels
from flwr_vdcs.sinks._series import LEVELS, settings

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

OTHERS = "others"
"""What the clients beyond the limit are called together."""

REASONS = {TOO_FEW: "too_few_updates", OUT_OF_MEMORY: "out_of_memory"}
NOTHING_LEFT = "no_updates"
"""Why rounds are skipped, as labels."""

RECENT = 10
"""Over so many of its rounds a client's refusals are counted."""

REFUSALS = ("dropped", "quarantined", "banned")

BUCKETS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
"""Bounds of the histogram of a round's examination, in seconds."""

NAN = float("nan")


class PrometheusSink:
    """Count each round's verdicts for Prometheus, and serve them if a port is given.

    Needs ``pip install "flwr-vdcs[prometheus]"``. A deep copy is the sink itself, as
    one process has one exporter. One that was pickled opens its port at its first
    round.

    Parameters
    ----------
    port : int, optional
        Port to serve ``/metrics`` on; 0 takes any that is free, see `port`. Without it
        nothing is served, and the metrics are in ``registry`` only.
    address : str, default "127.0.0.1"
        Address to listen on. Whoever reaches it can read all metrics.
    registry : prometheus_client.CollectorRegistry, optional
        Where the metrics go. By default one of the sink's own if a port is given, else
        the registry of the process.
    max_clients : int, default 100
        How many clients have series of their own: the first that come. The others are
        counted together as ``client="others"``.

    Raises
    ------
    MissingExtraError
        If the Prometheus client library is not installed.
    InvalidArgumentError
        If ``max_clients`` is no int of at least 0.
    OSError
        If the port cannot be listened on.
    """

    def __init__(
        self,
        port: int | None = None,
        *,
        address: str = "127.0.0.1",
        registry: "CollectorRegistry | None" = None,
        max_clients: int = 100,
    ) -> None:
        self._given = port, address, registry
        self._labels = Labels(max_clients)
        self._metrics: _Metrics | None = None
        self._server: Any = None
        self._open()

    def __call__(self, report: RoundReport) -> None:
        """Count one round."""
        metrics = self._metrics or self._open()
        if report.phase == "train":
            metrics.count_training(report, self._label)
        else:
            metrics.count_evaluation(report, self._label)

    @property
    def port(self) -> int | None:
        """Port that is listened on; None where nothing is served."""
        return self._server.server_port if self._server else None

    def close(self) -> None:
        """Stop serving. The numbers stay in the registry."""
        if self._server:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def __deepcopy__(self, _: object) -> "PrometheusSink":
        """Share the exporter within a process."""
        return self

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what belongs to this process."""
        return {**vars(self), "_metrics": None, "_server": None}

    def _open(self) -> "_Metrics":
        try:
            import prometheus_client
        except ImportError as error:
            raise MissingExtraError("PrometheusSink", "prometheus") from error
        port, address, registry = self._given
        if registry is None and port is None:
            registry = prometheus_client.REGISTRY
        registry = registry or prometheus_client.CollectorRegistry()
        if port is not None:
            served = prometheus_client.start_http_server(port, address, registry)
            self._server = served[0]
        self._metrics = _Metrics(registry)
        return self._metrics

    def _label(self, decision: Decision) -> str:
        return self._labels.of(decision) or OTHERS


class _Metrics:
    """The metrics in one registry."""

    def __init__(self, registry: "CollectorRegistry") -> None:
        from prometheus_client import Counter, Gauge, Histogram, Info

        def counter(name: str, text: str, *labels: str) -> Any:
            return Counter(f"vdcs_{name}", text, labels, registry=registry)

        def gauge(name: str, text: str, *labels: str) -> Any:
            return Gauge(f"vdcs_{name}", text, labels, registry=registry)

        self.aggregated = counter("rounds_aggregated", "Rounds with a kept update.")
        self.skipped = counter("rounds_skipped", "Rounds without one.", "reason")
        self.decisions = counter("decisions", "Training verdicts.", "client", "verdict")
        self.bans = counter("bans", "Clients banned.")
        self.evaluation = counter(
            "evaluation_quarantines", "Quarantined answers to evaluations.", "client"
        )
        self.refusals = gauge(
            "client_recent_refusals",
            f"Refusals among the last {RECENT} verdicts on a client.",
            "client",
        )
        self.score = gauge("client_score", "The client's last score.", "client")
        self.round = gauge("last_round", "Number of the last round.")
        self.clients = gauge("last_round_clients", "Its verdicts.", "verdict")
        self.sensitivity = gauge("last_round_sensitivity", "Its sensitivity, or NaN.")
        self.margin = gauge("last_round_margin", "Its margin, or NaN.")
        self.time = gauge(
            "last_round_timestamp_seconds",
            "When the last round was decided; before the first one, the start.",
        )
        self.seconds = Histogram(
            "vdcs_examination_duration_seconds",
            "How long the examination of a round took.",
            buckets=BUCKETS,
            registry=registry,
        )
        self.info = Info("vdcs", "Settings and versions.", registry=registry)
        self._recent: dict[str, deque[bool]] = defaultdict(lambda: deque(maxlen=RECENT))
        self._begin()

    def count_training(
        self, report: RoundReport, label: Callable[[Decision], str]
    ) -> None:
        """Count a training round."""
        self._count_round(report)
        for decision in report.decisions:
            self._count_client(decision, label(decision))
        self.bans.inc(len(report.bans))
        self.info.info({_key(k): v for k, v in settings(report).items()})

    def count_evaluation(
        self, report: RoundReport, label: Callable[[Decision], str]
    ) -> None:
        """Count who was quarantined in an evaluation."""
        for decision in report.decisions:
            if decision.verdict == "quarantined":
                self.evaluation.labels(label(decision)).inc()

    def _begin(self) -> None:
        """Let series start at zero, so that the first event is an increase."""
        for reason in (*REASONS.values(), NOTHING_LEFT):
            self.skipped.labels(reason)
        for verdict in LEVELS:
            self.clients.labels(verdict)
        self.sensitivity.set(NAN)
        self.margin.set(NAN)
        self.time.set_to_current_time()

    def _count_round(self, report: RoundReport) -> None:
        if report.num_kept:
            self.aggregated.inc()
        else:
            self.skipped.labels(_reason(report)).inc()
        verdicts = [decision.verdict for decision in report.decisions]
        for verdict in LEVELS:
            self.clients.labels(verdict).set(verdicts.count(verdict))
        self.round.set(report.server_round)
        self.sensitivity.set(NAN if report.sensitivity is None else report.sensitivity)
        self.margin.set(NAN if report.margin is None else report.margin)
        self.seconds.observe(report.seconds)
        self.time.set(time.time())

    def _count_client(self, decision: Decision, label: str) -> None:
        self.decisions.labels(label, decision.verdict).inc()
        if label == OTHERS:
            return
        if decision.score is not None:
            self.score.labels(label).set(decision.score)
        recent = self._recent[label]
        recent.append(decision.verdict in REFUSALS)
        self.refusals.labels(label).set(sum(recent))


def _reason(report: RoundReport) -> str:
    """Label a round of which nothing is aggregated with one of a few reasons."""
    reasons = (REASONS.get(decision.reason) for decision in report.decisions)
    return next(filter(None, reasons), NOTHING_LEFT)


def _key(name: str) -> str:
    """Make a label's name of a setting's."""
    return name.replace(" ", "_").replace("-", "_")
