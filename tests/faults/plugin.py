"""The plugin around a strategy, for a model with running statistics."""

import numpy as np
from flwr.common import ndarrays_to_parameters
from flwr.server import SimpleClientManager

from flwr_vdcs import VirtualConsistencyStrategy
from tests.federation import LegacyClient, arrays_of, honest_update, seeded
from tests.models import batch_norm_cnn

NET = seeded(batch_norm_cnn)
START: dict[str, np.ndarray] = arrays_of(NET)


def protected(inner, **settings):
    """Put the plugin around a strategy."""
    return VirtualConsistencyStrategy(
        inner, model=NET, input_shape=(1, 6, 6), num_virtual_samples=4, **settings
    )


def legacy_round(strategy, results, failures=()):
    """Configure and aggregate one round of the legacy API."""
    manager = SimpleClientManager()
    for client in range(2):
        manager.register(LegacyClient(client, honest_update))
    parameters = ndarrays_to_parameters(list(START.values()))
    strategy.configure_fit(1, parameters, manager)
    return strategy.aggregate_fit(1, list(results), list(failures))
