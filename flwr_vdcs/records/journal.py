"""Round reports to whoever wants to know: the list, Flower's log, the audit log."""

import os
from collections.abc import Callable, Sequence
from dataclasses import replace

from flwr_vdcs.decision import NumMalicious
from flwr_vdcs.records.audit_log import AuditLog
from flwr_vdcs.records.labels import Labels
from flwr_vdcs.records.notices import Notices, logger
from flwr_vdcs.records.run_summary import MOST_NAMED, RunSummary
from flwr_vdcs.report import RoundReport

Listener = Callable[[RoundReport], object]
"""Is told what every round decided."""


LOST = "the wrapped strategy's aggregate is not finite in {!r}, so the model is kept"


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
        self.labels, self.summary = Labels(), RunSummary()
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
        self._name_dropped(report)
        self.notices.note_round(report, problem)
        self._publish(report)

    def note_lost_aggregate(self, key: str) -> None:
        """Note that what was made of the last round is not finite, and not taken."""
        note = LOST.format(key)
        report = replace(self.reports[-1], note=note)
        self.reports[-1] = report
        logger.error(
            "Round %d: the wrapped strategy's aggregate is not finite in %r, so the "
            "model is kept.",
            report.server_round,
            key,
        )
        self._publish(
            replace(report, phase="aggregate", decisions=(), bans=(), seconds=0.0)
        )

    def begin_run(self) -> None:
        """Count from here on."""
        self.summary = RunSummary()

    def end_run(self) -> None:
        """Say in one line what the run came to."""
        summary, refusals = self.summary, self.summary.refusals(self.labels)
        if summary.num_aggregated:
            logger.info(
                "Virtual consistency: %d of %d rounds aggregated%s%s",
                summary.num_aggregated,
                summary.num_rounds,
                summary.causes(),
                refusals,
            )
        elif summary.num_rounds:
            logger.error(
                "Virtual consistency: 0 of %d rounds aggregated, so the model is "
                "untrained%s%s",
                summary.num_rounds,
                summary.causes(),
                refusals,
            )

    def note_evaluation(self, report: RoundReport) -> None:
        """Note an evaluation round, if there is anything to note."""
        if report.num_quarantined:
            self.evaluation_reports.append(report)
            self._publish(report)

    def _name_dropped(self, report: RoundReport) -> None:
        """Say who was dropped, and why, unless nobody was or all were."""
        dropped = [d for d in report.decisions if d.verdict == "dropped"]
        if not dropped or report.skipped:
            return
        told = [
            f"{self.labels.of(each)} (score {each.score:.2f}): {each.reason}"
            for each in dropped[:MOST_NAMED]
        ]
        if len(dropped) > MOST_NAMED:
            told.append(f"{len(dropped) - MOST_NAMED} more")
        if report.report_only:
            logger.info("\t├──> Virtual consistency: would drop %s", "; ".join(told))
        else:
            logger.info("\t├──> Virtual consistency: dropped %s", "; ".join(told))

    def _publish(self, report: RoundReport) -> None:
        verb = "would be" if report.report_only else "is"
        for decision in report.decisions:
            if decision.verdict == "quarantined":
                logger.warning(
                    "Client %s %s quarantined in round %d (%s): %s",
                    self.labels.of(decision),
                    verb,
                    report.server_round,
                    report.phase,
                    decision.reason,
                )
        for decision in report.decisions:
            if decision.client_id in report.bans:
                logger.warning(
                    "Client %s %s banned after round %d: it was refused too often.",
                    self.labels.of(decision),
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
