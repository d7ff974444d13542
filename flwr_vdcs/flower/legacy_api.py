"""The adapter to Flower's legacy API: ``aggregate_fit`` on checked results."""

from dataclasses import replace

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

from flwr_vdcs.admission.npy import encode
from flwr_vdcs.errors import SecureAggregationError
from flwr_vdcs.flower.compatibility import minimum_results
from flwr_vdcs.flower.replies import (
    encoded_parameters,
    update_from_legacy_evaluation,
    update_from_result,
)
from flwr_vdcs.records.journal import Journal
from flwr_vdcs.report import RoundReport
from flwr_vdcs.round import Guard

FitResults = list[tuple[ClientProxy, FitRes]]
FitFailures = list[tuple[ClientProxy, FitRes] | BaseException]
EvaluateResults = list[tuple[ClientProxy, EvaluateRes]]
EvaluateFailures = list[tuple[ClientProxy, EvaluateRes] | BaseException]


class LegacyAdapter(Strategy):
    """Hand the wrapped strategy only those results that the guard keeps."""

    strategy: Strategy
    _guard: Guard
    _journal: Journal
    _equal_weights: bool

    def initialize_parameters(self, client_manager: ClientManager) -> Parameters | None:
        """Let the wrapped strategy give the initial parameters."""
        return self.strategy.initialize_parameters(client_manager)

    def configure_fit(
        self, server_round: int, parameters: Parameters, client_manager: ClientManager
    ) -> list[tuple[ClientProxy, FitIns]]:
        """Note the global model and let the wrapped strategy sample clients."""
        self._guard.start_round(encoded_parameters(parameters))
        asked = self.strategy.configure_fit(server_round, parameters, client_manager)
        banned = self._guard.withhold(proxy.cid for proxy, _ in asked)
        left = [(proxy, ins) for proxy, ins in asked if proxy.cid not in banned]
        if asked and not left:  # Flower ends such a round here
            self._journal.note_training(self._guard.examine(server_round, []).report)
        return left

    def aggregate_fit(
        self, server_round: int, results: FitResults, failures: FitFailures
    ) -> tuple[Parameters | None, dict[str, Scalar]]:
        """Let the wrapped strategy aggregate the results that agree with each other.

        Raises
        ------
        SecureAggregationError
            If all results share one parameters object and there are any to drop.
        """
        if _are_aggregated_already(results):
            return self._pass_through(server_round, results, failures)
        updates = [update_from_result(proxy.cid, result) for proxy, result in results]
        examination = self._guard.examine(server_round, updates)
        report = examination.report
        self._journal.note_training(report, examination.problem)
        nobody_answered = not results and not failures
        if report.is_empty or nobody_answered or self._are_too_few(report):
            return None, dict(report.counts())

        in_order = {
            place: ndarrays_to_parameters([encode(array) for array in arrays.values()])
            for place, arrays in examination.normalised.items()
        }
        kept = [
            (proxy, self._forwarded(result, in_order.get(place)))
            for place, (proxy, result) in enumerate(results)
            if report.decisions[place].verdict == "kept"
        ]
        aggregate, metrics = self.strategy.aggregate_fit(server_round, kept, failures)
        return aggregate, {**(metrics or {}), **report.counts()}

    def configure_evaluate(
        self, server_round: int, parameters: Parameters, client_manager: ClientManager
    ) -> list[tuple[ClientProxy, EvaluateIns]]:
        """Let the wrapped strategy configure the evaluation."""
        asked = self.strategy.configure_evaluate(
            server_round, parameters, client_manager
        )
        banned = self._guard.banned(proxy.cid for proxy, _ in asked)
        return [(proxy, ins) for proxy, ins in asked if proxy.cid not in banned]

    def aggregate_evaluate(
        self, server_round: int, results: EvaluateResults, failures: EvaluateFailures
    ) -> tuple[float | None, dict[str, Scalar]]:
        """Let the wrapped strategy aggregate the results that can be aggregated."""
        updates = [
            update_from_legacy_evaluation(proxy.cid, result)
            for proxy, result in results
        ]
        report = self._guard.examine_claims(server_round, updates)
        self._journal.note_evaluation(report)
        if report.is_empty:
            return None, {}
        pairs = zip(results, report.decisions, strict=True)
        kept = [result for result, decision in pairs if decision.verdict == "kept"]
        return self.strategy.aggregate_evaluate(server_round, kept, failures)

    def evaluate(
        self, server_round: int, parameters: Parameters
    ) -> tuple[float, dict[str, Scalar]] | None:
        """Let the wrapped strategy evaluate on the server."""
        return self.strategy.evaluate(server_round, parameters)

    def _are_too_few(self, report: RoundReport) -> bool:
        """Tell whether leaving out updates would make the wrapped strategy raise."""
        quorum = minimum_results(self.strategy)
        is_short = report.num_kept < min(quorum, len(report.decisions))
        if is_short:
            self._journal.note_shortage(report, quorum)
        return is_short

    def _forwarded(self, result: FitRes, in_order: Parameters | None) -> FitRes:
        """Give the result itself where nothing of it has to change."""
        if in_order is not None:
            result = replace(result, parameters=in_order)
        if self._equal_weights:
            result = replace(result, num_examples=1)
        return result

    def _pass_through(
        self, server_round: int, results: FitResults, failures: FitFailures
    ) -> tuple[Parameters | None, dict[str, Scalar]]:
        if self._guard.is_protecting:
            raise SecureAggregationError
        self._journal.note_blindness()
        return self.strategy.aggregate_fit(server_round, results, failures)


def _are_aggregated_already(results: FitResults) -> bool:
    """Secure aggregation gives all clients one and the same object."""
    objects = {id(result.parameters) for _, result in results}
    return len(results) > 1 and len(objects) == 1
