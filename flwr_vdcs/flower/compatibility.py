"""The strategy to wrap: whether it can be, and what it means for it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from flwr.server.strategy import Bulyan as LegacyBulyan
from flwr.server.strategy import Strategy as LegacyStrategy
from flwr.serverapp.strategy import Strategy

from flwr_vdcs.errors import UnsupportedStrategyError

AnyStrategy = Strategy | LegacyStrategy

DIFFERENTIAL_PRIVACY = ("DifferentialPrivacy", "DPFedAvg")
DECISION_TREES = ("FedXgb",)
FLOWER = "flwr."


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


NO_KEYS = MetricKeys()


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


def metric_keys(strategy: AnyStrategy, given: MetricKeys = NO_KEYS) -> MetricKeys:
    """Name the metrics by which the strategy, or one inside it, weighs clients.

    What the user has given goes before what the strategies say.
    """
    return MetricKeys(
        weight=given.weight or _first_name(strategy, "weighted_by_key"),
        loss=given.loss or _first_name(strategy, "train_loss_key"),
    )


def is_flowers_own(strategy: AnyStrategy, *methods: str) -> bool:
    """Tell whether methods are Flower's own, in the strategy and all inside it.

    What those read and refuse is known. What a strategy of the user's own makes of a
    reply is not.
    """
    return all(
        method not in vars(inner) and _module_of(inner, method).startswith(FLOWER)
        for inner in _layers(strategy)
        for method in methods
    )


def reads_metrics(strategy: AnyStrategy, phase: Literal["fit", "evaluate"]) -> bool:
    """Tell whether a legacy strategy may look at what clients measured."""
    function = f"{phase}_metrics_aggregation_fn"
    never = is_flowers_own(strategy, f"aggregate_{phase}") and all(
        getattr(inner, function, strategy) is None for inner in _layers(strategy)
    )
    return not never


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


def _module_of(strategy: AnyStrategy, method: str) -> str:
    """Say where a method comes from; one that a strategy lacks nobody has changed."""
    found = getattr(getattr(type(strategy), method, None), "__module__", FLOWER)
    return str(found)  # None where code was run without a module


def _layers(strategy: AnyStrategy) -> Iterator[AnyStrategy]:
    """Walk through strategies that wrap others, from the outside in, each once.

    They may keep the inner one under any name.
    """
    ahead: list[object] = [strategy]
    seen: set[int] = set()
    while ahead:
        found = ahead.pop(0)
        if isinstance(found, Strategy | LegacyStrategy) and id(found) not in seen:
            seen.add(id(found))
            yield found
            ahead.extend(vars(found).values())
