"""The adapter to Flower's legacy API: ``aggregate_fit`` on checked results."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from typing import TypeVar

from flwr.common import (
    EvaluateIns,
    EvaluateRes,
    FitIns,
    FitRes,
    Parameters,
    Scalar,
    ndarrays_to_parameters,
)
from flwr.server.client_manager import ClientManager
from flwr.server.client_proxy import ClientProxy
from flwr.server.strategy import Strategy

from flwr_vdcs.admission import (
    Candidate,
    EncodedArrays,
    Update,
    forwarded_arrays,
    kind_of,
)
from flwr_vdcs.errors import SecureAggregationError, quoted
from flwr_vdcs.flower._adapter import Adapter
from flwr_vdcs.flower.compatibility import (
    is_flowers_own,
    minimum_results,
    reads_metrics,
)
from flwr_vdcs.report import RoundReport

Ins = TypeVar("Ins", FitIns, EvaluateIns)
FitResults = list[tuple[ClientProxy, FitRes]]
FitFailures = list[tuple[ClientProxy, FitRes] | BaseException]
EvaluateResults = list[tuple[ClientProxy, EvaluateRes]]
EvaluateFailures = list[tuple[ClientProxy, EvaluateRes] | BaseException]


class LegacyAdapter(Adapter, Strategy):
    """Hand the wrapped strategy only those results that are kept."""

    strategy: Strategy

    def initialize_parameters(self, client_manager: ClientManager) -> Parameters | None:
        """Let the wrapped strategy give the initial parameters."""
        return self.strategy.initialize_parameters(client_manager)

    def configure_fit(
        self, server_round: int, parameters: Parameters, client_manager: ClientManager
    ) -> list[tuple[ClientProxy, FitIns]]:
        """Let the wrapped strategy sample clients, and note what they are sent."""
        asked = self.strategy.configure_fit(server_round, parameters, client_manager)
        self._begin(server_round, lambda: _sent(parameters, asked or []))
        if self._report_only or not asked or self._start is None:
            return asked  # a strategy may give None, too
        left = _not_to(self._start.left_out, asked)
        if not left:  # Flower ends such a round here
            self._decided(server_round, list)
            self._end(server_round, has_model=False)
        return left

    def aggregate_fit(
        self, server_round: int, results: FitResults, failures: FitFailures
    ) -> tuple[Parameters | None, dict[str, Scalar]]:
        """Let the wrapped strategy aggregate the results that agree with each other.

        Raises
        ------
        RoundOrderError
            If no round was configured before.
        SecureAggregationError
            If all results share one parameters object and there are any to drop.
        """
        examined = self._decided(
            server_round,
            lambda: self._updates(server_round, results),
            [each[0].cid for each in failures if isinstance(each, tuple)],
        )
        if examined is None:
            outcome = self.strategy.aggregate_fit(server_round, results, failures)
            self._end(server_round, has_model=outcome[0] is not None)
            return outcome
        report = examined.report
        nobody_answered = not results and not failures
        aggregate, metrics = None, None
        if not (report.is_empty or nobody_answered or self._are_too_few(report)):
            kept = self._kept(results, examined.candidates)
            aggregate, metrics = self.strategy.aggregate_fit(
                server_round, kept, failures
            )
        aggregate, counts = self._concluded(report, aggregate, _encoded)
        return aggregate, {**(metrics or {}), **counts}

    def configure_evaluate(
        self, server_round: int, parameters: Parameters, client_manager: ClientManager
    ) -> list[tuple[ClientProxy, EvaluateIns]]:
        """Let the wrapped strategy configure the evaluation."""
        asked = self.strategy.configure_evaluate(
            server_round, parameters, client_manager
        )
        if self._report_only or not asked:
            return asked
        return _not_to(self._not_asked(proxy.cid for proxy, _ in asked), asked)

    def aggregate_evaluate(
        self, server_round: int, results: EvaluateResults, failures: EvaluateFailures
    ) -> tuple[float | None, dict[str, Scalar]]:
        """Let the wrapped strategy aggregate the results that can be aggregated."""
        report = self._decided_on_claims(server_round, lambda: self._claims(results))
        if report is not None:
            if report.is_empty:
                return None, {}
            pairs = zip(results, report.decisions, strict=True)
            results = [each for each, decision in pairs if decision.verdict == "kept"]
        return self.strategy.aggregate_evaluate(server_round, results, failures)

    def evaluate(
        self, server_round: int, parameters: Parameters
    ) -> tuple[float, dict[str, Scalar]] | None:
        """Let the wrapped strategy evaluate on the server."""
        return self.strategy.evaluate(server_round, parameters)

    def _updates(self, server_round: int, results: FitResults) -> list[Update] | None:
        """Read a round's results; None if there is nothing in them to judge."""
        if _are_aggregated_already(results):
            if self._examiner.is_protecting:
                raise SecureAggregationError
            self._journal.notices.note_blindness()
            return None
        bare = not any(result.parameters.tensors for _, result in results)
        if results and bare and not is_flowers_own(self.strategy, "aggregate_fit"):
            self._journal.notices.note_statistics(server_round)
            return None
        are_read = reads_metrics(self.strategy, "fit")
        return [
            _read(
                proxy.cid,
                result,
                _encoded(result.parameters),
                are_metrics_read=are_read,
            )
            for proxy, result in results
        ]

    def _claims(self, results: EvaluateResults) -> list[Update]:
        """Read the results of an evaluation."""
        are_read = reads_metrics(self.strategy, "evaluate")
        return [
            _read(
                proxy.cid,
                result,
                {},
                _unusable(result.loss),
                are_metrics_read=are_read,
            )
            for proxy, result in results
        ]

    def _are_too_few(self, report: RoundReport) -> bool:
        """Tell whether leaving out updates would make the wrapped strategy raise."""
        quorum = minimum_results(self.strategy)
        is_short = report.num_kept < min(quorum, len(report.decisions))
        if is_short:
            self._journal.notices.note_shortage(report, quorum)
        return is_short

    def _kept(self, results: FitResults, candidates: Sequence[Candidate]) -> FitResults:
        """Leave out what was refused."""
        return [
            (proxy, self._forwarded(result, candidate))
            for (proxy, result), candidate in zip(results, candidates, strict=True)
            if candidate.verdict == "kept"
        ]

    def _forwarded(self, result: FitRes, candidate: Candidate) -> FitRes:
        """Give the result itself where nothing of it has to change."""
        if candidate.is_changed:
            arrays = list(forwarded_arrays(candidate).values())
            result = replace(result, parameters=ndarrays_to_parameters(arrays))
        if self._equal_weights:
            result = replace(result, num_examples=1)
        return result


def _are_aggregated_already(results: FitResults) -> bool:
    """Secure aggregation gives all clients one and the same object."""
    objects = {id(result.parameters) for _, result in results}
    return len(results) > 1 and len(objects) == 1


def _read(
    client_id: str,
    result: FitRes | EvaluateRes,
    arrays: EncodedArrays,
    defect: str = "",
    *,
    are_metrics_read: bool,
) -> Update:
    """Read a result; metrics only where the strategy may read them.

    It asks for a weight too, as every legacy strategy does.
    """
    weight: object = result.num_examples
    if weight is None:
        defect = defect or "num-examples: expected a positive number, found None"
    metrics = (result.metrics or {}) if are_metrics_read else {}
    return Update(client_id, arrays, weight, metrics, defect=defect)


def _unusable(loss: object) -> str:
    """Say what is wrong with a loss, if anything."""
    return f"loss: expected a number, found {quoted(loss)}" if kind_of(loss) else ""


def _sent(
    parameters: Parameters, asked: Iterable[tuple[ClientProxy, FitIns]]
) -> tuple[EncodedArrays, dict[str, EncodedArrays]]:
    """Find what the strategy was given, and by client id what it sends."""
    sent = {proxy.cid: _encoded(ins.parameters) for proxy, ins in asked}
    return _encoded(parameters), sent


def _not_to(
    client_ids: Collection[str], asked: Iterable[tuple[ClientProxy, Ins]]
) -> list[tuple[ClientProxy, Ins]]:
    return [(proxy, ins) for proxy, ins in asked if proxy.cid not in client_ids]


def _encoded(parameters: Parameters) -> EncodedArrays:
    """Take the bytes out of parameters, keyed by position."""
    return {str(place): data for place, data in enumerate(parameters.tensors)}
