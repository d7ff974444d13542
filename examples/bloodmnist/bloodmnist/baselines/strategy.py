"""Replies to the next global model: federated averaging with another rule."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from logging import getLogger
from typing import Any

from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.serverapp import Grid
from flwr.serverapp.strategy import FedAvg
from torch import Tensor

from bloodmnist.baselines.deltas import Delta, Updates, find_updates

Rule = Callable[[Updates, int], Delta]
"""What a round's updates and the number of malicious ones make of the model."""

TensorRule = Callable[[Tensor, int], Tensor]


class BaselineStrategy(FedAvg):
    """Aggregate the clients' deltas by a robust rule instead of averaging them.

    The rule sees deltas and weighs clients by nothing but these: the number of
    examples that a client claims counts in the metrics alone. Replies are expected to
    be well formed and finite; `VirtualConsistencyStrategy` around this one quarantines
    those that are not.

    Parameters
    ----------
    name : str
        The rule's name, for the log.
    rule : Rule
        Gives the next global model's delta.
    num_malicious : int
        M, how many malicious clients a round the rule has to resist.
    **options
        As for `flwr.serverapp.strategy.FedAvg`.

    Raises
    ------
    ValueError
        If ``num_malicious`` is negative.
    TooFewUpdatesError
        In a round with fewer updates than the rule needs to resist M.
    """

    def __init__(
        self, name: str, rule: Rule, *, num_malicious: int, **options: Any
    ) -> None:
        super().__init__(**options)
        if num_malicious < 0:
            raise ValueError(f"num_malicious must be 0 or more, got {num_malicious}")
        self.name = name
        self.rule = rule
        self.num_malicious = num_malicious
        self._start = ArrayRecord()

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Note the global model and sample clients."""
        self._start = arrays
        return super().configure_train(server_round, arrays, config, grid)

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Add what the rule makes of the deltas to the global model."""
        valid, _ = self._check_and_log_replies(replies, is_train=True)
        if not valid:
            return None, None

        contents = [reply.content for reply in valid]
        records = (next(iter(each.array_records.values())) for each in contents)
        updates = find_updates(
            self._start.to_torch_state_dict(),
            (record.to_torch_state_dict() for record in records),
            num_states=len(contents),
        )
        delta = self.rule(updates, self.num_malicious)
        metrics = self.train_metrics_aggr_fn(contents, self.weighted_by_key)
        return ArrayRecord(updates.apply(delta)), metrics

    def summary(self) -> None:
        """Log the rule, then the settings of federated averaging."""
        getLogger("flwr").info(
            "\t├──> Rule: %s against %d malicious", self.name, self.num_malicious
        )
        super().summary()


def weighing(rule: TensorRule) -> Rule:
    """Combine clients by the weights ``[K]`` that a rule reads from their parameters.

    Buffers are combined by the same weights: a client that the rule left out has no
    say in them either.
    """
    return lambda updates, num_malicious: updates.combine(
        rule(updates.parameters, num_malicious)
    )


def per_coordinate(rule: TensorRule) -> Rule:
    """Apply a coordinate-wise rule to the parameters and to the buffers."""
    return lambda updates, num_malicious: updates.by_coordinate(
        lambda values: rule(values, num_malicious)
    )
