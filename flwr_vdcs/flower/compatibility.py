"""The strategy to wrap: whether it can be, and what it means for it."""

from collections.abc import Iterator
from dataclasses import dataclass

from flwr.server.strategy import Bulyan as LegacyBulyan
from flwr.server.strategy import Strategy as LegacyStrategy
from flwr.serverapp.strategy import Strategy

from flwr_vdcs.errors import UnsupportedStrategyError

AnyStrategy = Strategy | LegacyStrategy

DIFFERENTIAL_PRIVACY = ("DifferentialPrivacy", "DPFedAvg")
DECISION_TREES = ("FedXgb",)


@dataclass(frozen=True)
class MetricKeys:
    """Metrics that decide how much a client's arrays count.

    Attributes
    ----------
    weight
        The number of examples, or None where no strategy names it.
    loss
        The training loss, where a strategy weighs clients by it (q-FedAvg).
    """

    weight: str | None = None
    loss: str | None = None


def check_strategy(strategy: object) -> AnyStrategy:
    """Return the strategy if its clients' updates can be judged by features.

    Raises
    ------
    UnsupportedStrategyError
        If it is no Flower strategy, or one whose clients send decision trees.
    """
    if not isinstance(strategy, Strategy | LegacyStrategy):
        raise UnsupportedStrategyError(
            f"cannot wrap {strategy!r}: give an instance (not a class) of "
            "flwr.serverapp.strategy.Strategy or flwr.server.strategy.Strategy."
        )
    if _is_one_of(strategy, DECISION_TREES):
        raise UnsupportedStrategyError(
            f"cannot wrap {type(strategy).__name__}: its clients send decision trees, "
            "which have no features to compare. Use it without this plugin."
        )
    return strategy


def metric_keys(strategy: AnyStrategy) -> MetricKeys:
    """Name the metrics by which the strategy, or one inside it, weighs clients."""
    return MetricKeys(
        weight=_first_name(strategy, "weighted_by_key"),
        loss=_first_name(strategy, "train_loss_key"),
    )


def minimum_results(strategy: AnyStrategy) -> int:
    """Give the number of results below which the strategy raises (legacy Bulyan)."""
    quorums = (
        4 * inner.num_malicious_clients + 3
        for inner in _layers(strategy)
        if isinstance(inner, LegacyBulyan)
    )
    return max(quorums, default=1)


def caution(strategy: AnyStrategy) -> str:
    """Say what dropping clients does to the wrapped strategy's promises, if anything.

    Central differential privacy divides its noise by the number of clients sampled,
    so after a drop the noise is smaller than the privacy budget assumes.
    """
    if not _is_one_of(strategy, DIFFERENTIAL_PRIVACY):
        return ""
    return (
        "The wrapped strategy adds noise for all sampled clients, but dropped ones "
        "are not aggregated: the guarantee is weaker than configured. Set its "
        "num_sampled_clients to the number that remains; with a privacy accountant "
        "every round with a dropped client is skipped."
    )


def _first_name(strategy: AnyStrategy, attribute: str) -> str | None:
    names = (getattr(inner, attribute, None) for inner in _layers(strategy))
    return next((name for name in names if isinstance(name, str)), None)


def _is_one_of(strategy: AnyStrategy, prefixes: tuple[str, ...]) -> bool:
    return any(
        base.__name__.startswith(prefixes)
        for inner in _layers(strategy)
        for base in type(inner).__mro__
    )


def _layers(strategy: AnyStrategy) -> Iterator[AnyStrategy]:
    """Walk through strategies that wrap others, from the outside in."""
    while isinstance(strategy, Strategy | LegacyStrategy):
        yield strategy
        strategy = vars(strategy).get("strategy")  # type: ignore[assignment]
