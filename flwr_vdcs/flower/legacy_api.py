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

from flwr_vdcs.admission import (
    Candidate,
    EncodedArrays,
    Update,
    forwarded_arrays,
    kind_of,
)
from flwr_vdcs.errors import SecureAggregationError, quoted
from flwr_vdcs.flower._adapter import Adapter
from flwr_vdcs.flower.compatibility import minimum_results
from flwr_vdcs.report import RoundReport

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
        sent = {proxy.cid: _encoded(ins.parameters) for proxy, ins in asked}
        start = self._examiner.start(_encoded(parameters), sent, self._history)
        self._start = start
        left = [(proxy, ins) for proxy, ins in asked if proxy.cid not in start.banned]
        if asked and not left:  # Flower ends such a round here
            self._examined(server_round, [])
            self._save()
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
        if _are_aggregated_already(results):
            return self._pass_through(server_round, results, failures)
        updates = [_update(proxy.cid, result) for proxy, result in results]
        examined = self._examined(server_round, updates)
        report = examined.report
        nobody_answered = not results and not failures
        aggregate, metrics = None, None
        if not (report.is_empty or nobody_answered or self._are_too_few(report)):
            kept = [
                (proxy, self._forwarded(result, candidate))
                for (proxy, result), candidate in zip(
                    results, examined.candidates, strict=True
                )
                if candidate.verdict == "kept"
            ]
            aggregate, metrics = self.strategy.aggregate_fit(
                server_round, kept, failures
            )
        self._save()
        return aggregate, {**(metrics or {}), **report.counts()}

    def configure_evaluate(
        self, server_round: int, parameters: Parameters, client_manager: ClientManager
    ) -> list[tuple[ClientProxy, EvaluateIns]]:
        """Let the wrapped strategy configure the evaluation."""
        asked = self.strategy.configure_evaluate(
            server_round, parameters, client_manager
        )
        banned = self._history.ledger.banned(proxy.cid for proxy, _ in asked)
        return [(proxy, ins) for proxy, ins in asked if proxy.cid not in banned]

    def aggregate_evaluate(
        self, server_round: int, results: EvaluateResults, failures: EvaluateFailures
    ) -> tuple[float | None, dict[str, Scalar]]:
        """Let the wrapped strategy aggregate the results that can be aggregated."""
        claims = [_claims(proxy.cid, result) for proxy, result in results]
        report = self._examiner.examine_claims(server_round, claims)
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

    def _forwarded(self, result: FitRes, candidate: Candidate) -> FitRes:
        """Give the result itself where nothing of it has to change."""
        if candidate.is_changed:
            arrays = list(forwarded_arrays(candidate).values())
            result = replace(result, parameters=ndarrays_to_parameters(arrays))
        if self._equal_weights:
            result = replace(result, num_examples=1)
        return result

    def _pass_through(
        self, server_round: int, results: FitResults, failures: FitFailures
    ) -> tuple[Parameters | None, dict[str, Scalar]]:
        if self._examiner.is_protecting:
            raise SecureAggregationError
        self._journal.note_blindness()
        return self.strategy.aggregate_fit(server_round, results, failures)


def _are_aggregated_already(results: FitResults) -> bool:
    """Secure aggregation gives all clients one and the same object."""
    objects = {id(result.parameters) for _, result in results}
    return len(results) > 1 and len(objects) == 1


def _update(client_id: str, result: FitRes) -> Update:
    """Read a result of a fit."""
    arrays = _encoded(result.parameters)
    defect = "" if arrays else "expected the model's arrays, found none"
    return _read(client_id, result, arrays, defect)


def _claims(client_id: str, result: EvaluateRes) -> Update:
    """Read a result of an evaluation."""
    loss = result.loss
    defect = f"loss: expected a number, found {quoted(loss)}" if kind_of(loss) else ""
    return _read(client_id, result, {}, defect)


def _read(
    client_id: str, result: FitRes | EvaluateRes, arrays: EncodedArrays, defect: str
) -> Update:
    """Ask for a weight too, as every legacy strategy does."""
    weight: object = result.num_examples
    if weight is None:
        defect = defect or "num-examples: expected a positive number, found None"
    return Update(client_id, arrays, weight, result.metrics or {}, defect=defect)


def _encoded(parameters: Parameters) -> EncodedArrays:
    """Take the bytes out of parameters, keyed by position."""
    return {str(place): data for place, data in enumerate(parameters.tensors)}
