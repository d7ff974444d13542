"""The plugin around a strategy, for a model with running statistics."""

import numpy as np

from flwr_vdcs import VirtualConsistencyStrategy
from tests.federation import arrays_of, legacy_configured, seeded
from tests.models import batch_norm_cnn

NET = seeded(batch_norm_cnn)
START: dict[str, np.ndarray] = arrays_of(NET)


def protected(inner, *, scoring="paper", **settings):
    """Put the plugin around a strategy."""
    return VirtualConsistencyStrategy(
        inner,
        model=NET,
        input_shape=(1, 6, 6),
        num_virtual_samples=4,
        scoring=scoring,
        **settings,
    )


def legacy_round(strategy, results, failures=()):
    """Configure and aggregate one round of the legacy API."""
    legacy_configured(strategy, START)
    return strategy.aggregate_fit(1, list(results), list(failures))
