"""Attributes: the plugin's own stay there, all others are the wrapped strategy's."""

import copy
import pickle
from unittest import mock

import flwr.server.strategy as legacy
import flwr.serverapp.strategy as message
import pytest

from flwr_vdcs import VirtualConsistencyStrategy
from flwr_vdcs.errors import PositionalArgumentError
from tests.federation import (
    LegacyClient,
    arrays_of,
    configured,
    content,
    fit_result,
    honest_update,
    legacy_aggregate,
    legacy_configured,
    reply,
    seeded,
)
from tests.models import mlp

NET = seeded(mlp)
FRACTION = {message: "fraction_train", legacy: "fraction_fit"}

apis = pytest.mark.parametrize("api", [message, legacy], ids=["message", "legacy"])


class Counting(VirtualConsistencyStrategy):
    """A plugin that is extended, with attributes of its own."""

    name = "counting"

    def __init__(self, strategy, **options):
        self.before = "construction"
        super().__init__(strategy, **options)
        self._calls = 0
        self.limit = 7

    def count(self):
        """Count a call."""
        self._calls += 1
        self.before += "!"
        return self._calls


def wrap(inner, kind=VirtualConsistencyStrategy, **options):
    """Put the plugin around a strategy."""
    settings = {"scoring": "paper", "num_malicious": 1, "seed": 1, **options}
    return kind(inner, model=NET, input_shape=(3, 4), **settings)


def one_round(strategy, api):
    """Aggregate four honest updates, and give the decisions."""
    start = arrays_of(NET)
    updates = [honest_update(start, client) for client in range(4)]
    if api is message:
        sent = [reply(node, content(update)) for node, update in enumerate(updates)]
        configured(strategy, start).aggregate_train(1, sent)
    else:
        results = [
            (LegacyClient(client, honest_update), fit_result([*update.values()]))
            for client, update in enumerate(updates)
        ]
        legacy_aggregate(legacy_configured(strategy, start), results)
    return strategy.reports[-1].decisions


@apis
def test_what_is_set_reaches_the_wrapped_strategy(api):
    """There it takes effect; deleting and patching work as well."""
    inner, name = api.FedAvg(), FRACTION[api]
    strategy = wrap(inner)
    setattr(strategy, name, 0.5)
    assert getattr(inner, name) == getattr(strategy, name) == 0.5
    assert name not in vars(strategy)
    with mock.patch.object(strategy, name, 0.25):
        assert getattr(inner, name) == 0.25
    assert getattr(inner, name) == 0.5
    strategy.new = 1
    assert inner.new == 1
    del strategy.new
    assert not hasattr(inner, "new")


@apis
def test_the_plugins_own_stay_its_own(api):
    """Methods and what the constructor has set, whatever the wrapped strategy has."""
    inner = api.FedAvg()
    inner._history, inner.pardon = "theirs", "theirs"
    strategy = wrap(inner)
    strategy.pardon = strategy._history = None
    assert (inner._history, inner.pardon) == ("theirs", "theirs")
    assert strategy.pardon is None
    with pytest.raises(AttributeError):
        strategy.reports = []


def test_a_private_name_is_theirs_only_if_they_have_it():
    """So helpers of either side are where they belong."""
    inner = message.FedAvg()
    inner._memory = []
    strategy = wrap(inner)
    strategy._memory, strategy._mine = [1], 2
    assert inner._memory == strategy._memory == [1]
    assert not hasattr(inner, "_mine")


def test_a_wrapper_in_a_wrapper_hands_on():
    """To the inmost, and each keeps its own."""
    inner = message.FedAvg()
    middle = wrap(inner)
    outer = wrap(middle)
    outer.fraction_train = 0.25
    assert inner.fraction_train == middle.fraction_train == 0.25
    assert outer.strategy is middle
    assert outer.reports is not middle.reports


@apis
def test_dir_lists_both(api):
    """For completion in an editor."""
    assert {"reports", FRACTION[api]} <= set(dir(wrap(api.FedAvg())))


@apis
def test_a_subclass_has_attributes_of_its_own(api):
    """Private ones, those of the class, and those set before construction."""
    inner = api.FedAvg()
    strategy = wrap(inner, Counting)
    assert [strategy.count(), strategy.count()] == [1, 2]
    assert strategy.before == "construction!!"
    assert (strategy.name, strategy.limit, inner.limit) == ("counting", 7, 7)
    strategy.name = "renamed"
    assert {"_calls", "before", "name"} <= set(vars(strategy))


@apis
@pytest.mark.parametrize("kind", [VirtualConsistencyStrategy, Counting])
@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda s: pickle.loads(pickle.dumps(s))]
)
def test_copies_go_on_from_where_they_were_made(api, kind, copied):
    """Pickled or copied they are of the same kind, and judge alike."""
    strategy = wrap(api.FedAvg(), kind)
    one_round(strategy, api)
    again = copied(strategy)
    assert isinstance(again, kind)
    assert isinstance(again, api.Strategy)
    assert again.strategy is not strategy.strategy
    assert again.reports == strategy.reports
    assert one_round(again, api) == one_round(strategy, api)
    setattr(again, FRACTION[api], 0.25)
    assert getattr(again.strategy, FRACTION[api]) == 0.25
    assert getattr(strategy, FRACTION[api]) == 1.0


def test_arguments_without_a_name_are_told():
    """The error shows how to name them."""
    with pytest.raises(PositionalArgumentError, match=r"model=\.\.\., input_shape="):
        VirtualConsistencyStrategy(message.FedAvg(), NET, (3, 4))
    assert issubclass(PositionalArgumentError, TypeError)
