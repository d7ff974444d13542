"""Round reports to whoever wants to know: the list, Flower's log, the audit log."""

import os
from collections.abc import Callable, Sequence

from flwr_vdcs.decision import NumMalicious
from flwr_vdcs.errors import quoted
from flwr_vdcs.records.audit_log import AuditLog
from flwr_vdcs.records.notices import Notices, logger
from flwr_vdcs.report import RoundReport

Listener = Callable[[RoundReport], object]
"""Is told what every round decided."""


class Journal:
    """Keep every report, log it, append it to the audit log and tell the listeners."""

    def __init__(
        self,
        audit_log: str | os.PathLike[str] | None,
        listeners: Sequence[Listener] = (),
        num_malicious: NumMalicious = 0,
        *,
        needs_sensitivity: bool = True,
    ) -> None:
        self.reports: list[RoundReport] = []
        self.evaluation_reports: list[RoundReport] = []
        self.notices = Notices(num_malicious, needs_sensitivity=needs_sensitivity)
        self._listeners = tuple(listeners)
        self.audit_log = None if audit_log is None else AuditLog(audit_log)

    def note_training(
        self, report: RoundReport, problem: Exception | None = None
    ) -> None:
        """Note a training round, and why nothing could be scored in it."""
        self.reports.append(report)
        logger.info(
            "\t├──> Virtual consistency: kept %d, dropped %d, quarantined %d%s%s "
            "(%.2fs)",
            report.num_kept,
            report.num_dropped,
            report.num_quarantined,
            _unusual(report),
            "; report only" if report.report_only else "",
            report.seconds,
        )
        self.notices.note_round(report, problem)
        self._publish(report)

    def note_evaluation(self, report: RoundReport) -> None:
        """Note an evaluation round, if there is anything to note."""
        if report.num_quarantined:
            self.evaluation_reports.append(report)
            self._publish(report)

    def _publish(self, report: RoundReport) -> None:
        verb = "would be" if report.report_only else "is"
        for decision in report.decisions:
            if decision.verdict == "quarantined":
                logger.warning(
                    "Client %s %s quarantined in round %d (%s): %s",
                    _printable(decision.client_id),
                    verb,
                    report.server_round,
                    report.phase,
                    decision.reason,
                )
        for client_id in report.bans:
            logger.warning(
                "Client %s %s banned after round %d: it was refused too often.",
                _printable(client_id),
                verb,
                report.server_round,
            )
        if self.audit_log is not None:
            self._append(self.audit_log, report)
        for listener in self._listeners:
            self._tell(listener, report)

    @staticmethod
    def _tell(listener: Listener, report: RoundReport) -> None:
        try:
            listener(report)
        except Exception:  # noqa: BLE001  # whatever it does, the training goes on
            logger.warning(
                "Round %d: on_round %r failed.",
                report.server_round,
                listener,
                exc_info=True,
            )

    @staticmethod
    def _append(audit_log: AuditLog, report: RoundReport) -> None:
        try:
            audit_log.append(report)
        except OSError as error:
            logger.warning(
                "Round %d is missing from the audit log %s: %s",
                report.server_round,
                audit_log.path,
                error,
            )


def _unusual(report: RoundReport) -> str:
    """Count what most rounds have none of."""
    counts = {"banned": report.num_banned, "idle": report.num_idle}
    return "".join(f", {name} {count}" for name, count in counts.items() if count)


def _printable(client_id: str) -> str:
    """Keep a client from writing lines of its own into the log."""
    return client_id if client_id.isprintable() else quoted(client_id)
