"""The outermost strategy: replies in a fixed order, and receipts for the clients."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy

from bloodmnist.memory import USED_ROUND

if TYPE_CHECKING:
    from flwr_vdcs import RoundReport


class ReceiptStrategy(Strategy):
    """Tell every client when its update was last used, and sort what comes back.

    Each training message carries ``used-round``, the last round in which the server
    used an update of that client, or 0. An update is used if the wrapped strategy
    returned a model and its reports, where it has any, say that it was kept. A rule
    that weighs updates without a report, such as Krum, is taken to use all of them.

    Replies are sorted by partition: simulated nodes have random ids and answer in
    random order, and floating-point sums depend on the order.

    Parameters
    ----------
    strategy : Strategy
        The strategy that decides everything.
    partitions : Mapping[int, int]
        Partition by node id.
    """

    def __init__(self, strategy: Strategy, partitions: Mapping[int, int]) -> None:
        self.strategy = strategy
        self.partitions = partitions
        self.used_rounds: dict[int, int] = {}

    @property
    def reports(self) -> Sequence[RoundReport]:
        """The plugin's reports; empty without the plugin."""
        return getattr(self.strategy, "reports", ())

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Add its receipt to every client's message."""
        messages = list(
            self.strategy.configure_train(server_round, arrays, config, grid)
        )
        for message in messages:
            message.content = self._with_receipt(message)
        return messages

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Let the wrapped strategy aggregate the sorted replies, and note the used.

        Raises
        ------
        RuntimeError
            If a client failed: Flower would go on, and end the run as if all was well.
        """
        replies = sorted(replies, key=self._find_partition)
        if errors := [reply.error.reason for reply in replies if reply.has_error()]:
            raise RuntimeError(f"{len(errors)} clients failed: {errors[0]}")
        nodes = [reply.metadata.src_node_id for reply in replies]
        arrays, metrics = self.strategy.aggregate_train(server_round, replies)
        if arrays is not None:
            used = self._find_used(server_round, nodes)
            self.used_rounds |= dict.fromkeys(used, server_round)
        return arrays, metrics

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Let the wrapped strategy configure the evaluation."""
        return self.strategy.configure_evaluate(server_round, arrays, config, grid)

    def aggregate_evaluate(
        self, server_round: int, replies: Iterable[Message]
    ) -> MetricRecord | None:
        """Let the wrapped strategy aggregate the sorted replies."""
        ordered = sorted(replies, key=self._find_partition)
        return self.strategy.aggregate_evaluate(server_round, ordered)

    def summary(self) -> None:
        """Log the wrapped strategy's settings."""
        self.strategy.summary()

    def _with_receipt(self, message: Message) -> RecordDict:
        """Copy the content, which all messages share, for one client."""
        used_round = self.used_rounds.get(message.metadata.dst_node_id, 0)
        config = ConfigRecord({**message.content["config"], USED_ROUND: used_round})
        return RecordDict({**message.content, "config": config})

    def _find_used(self, server_round: int, nodes: list[int]) -> list[int]:
        verdicts = {
            decision.client_id: decision.verdict
            for report in self.reports
            if report.server_round == server_round
            for decision in report.decisions
        }
        return [node for node in nodes if verdicts.get(str(node), "kept") == "kept"]

    def _find_partition(self, reply: Message) -> int:
        return self.partitions.get(reply.metadata.src_node_id, -1)
