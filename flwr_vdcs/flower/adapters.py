"""A strategy to the adapter for the API that it belongs to."""

from flwr.server.strategy import Strategy as LegacyStrategy
from flwr.serverapp.strategy import Strategy

from flwr_vdcs.flower.compatibility import AnyStrategy, check_strategy
from flwr_vdcs.flower.legacy_api import LegacyAdapter
from flwr_vdcs.flower.message_api import MessageAdapter

ADAPTERS: dict[type, type] = {
    Strategy: MessageAdapter,
    LegacyStrategy: LegacyAdapter,
}


def adapter_for(strategy: AnyStrategy) -> type:
    """Choose the adapter for a strategy.

    Raises
    ------
    UnsupportedStrategyError
        If it is no Flower strategy, or one whose clients send decision trees.
    """
    checked = check_strategy(strategy)
    return next(each for api, each in ADAPTERS.items() if isinstance(checked, api))
