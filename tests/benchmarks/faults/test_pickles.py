"""No pickle of a client is ever loaded: unpickling runs what its author chose."""

import ast
import pickle
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from flwr.app import Array
from flwr.serverapp.strategy import FedAvg

import flwr_vdcs
from flwr_vdcs import VirtualConsistencyStrategy
from flwr_vdcs.admission.npy import UndecodableArrayError, decode
from tests.federation import (
    arrays_of,
    configured,
    content,
    honest_update,
    reply,
    seeded,
)
from tests.models import batch_norm_cnn

NET = seeded(batch_norm_cnn)
START = arrays_of(NET)
LOADERS = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
LOADED = []


def note():
    """Take down that a pickle was loaded."""
    LOADED.append("boom")


class Bomb:
    """Tells if it is unpickled."""

    def __reduce__(self):
        """Have unpickling call something."""
        return note, ()


def object_array():
    """Give an array of objects, which NumPy pickles."""
    stream = BytesIO()
    np.save(stream, np.full(4, Bomb(), object), allow_pickle=True)
    return stream.getvalue()


PICKLES = {"an array of objects": object_array, "bare": lambda: pickle.dumps(Bomb())}


@pytest.fixture(params=PICKLES.values(), ids=PICKLES)
def bomb(request):
    """Give bytes that tell if they are unpickled; they do."""
    LOADED.clear()
    data = request.param()
    if data.startswith(b"\x93NUMPY"):
        np.load(BytesIO(data), allow_pickle=True)
    else:
        pickle.loads(data)
    assert LOADED, "the bomb does not work"
    LOADED.clear()
    return data


def test_a_pickle_is_refused_unread(bomb):
    """The decoder knows from the header, or from its absence."""
    with pytest.raises(UndecodableArrayError):
        decode(bomb)
    assert LOADED == []


@pytest.mark.parametrize("stype", ["numpy.ndarray", "pickle"])
def test_a_client_that_sends_a_pickle_is_quarantined(bomb, stype):
    """Neither the plugin nor the wrapped strategy loads it."""
    strategy = VirtualConsistencyStrategy(
        FedAvg(), model=NET, input_shape=(1, 6, 6), num_malicious=0, scoring="paper"
    )
    hostile = content(START)
    hostile["arrays"]["0.bias"] = Array("float32", (4,), stype, bomb)
    replies = [reply(n, content(honest_update(START, n))) for n in range(1, 5)]
    arrays, _ = configured(strategy, START).aggregate_train(
        1, [reply(9, hostile), *replies]
    )
    assert arrays is not None
    assert strategy.reports[0].decisions[0].verdict == "quarantined"
    assert LOADED == []


def test_the_package_has_nothing_that_loads_pickles():
    """No such module is imported, and no loader that could is called."""
    for path in Path(flwr_vdcs.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            assert not imported(node) & LOADERS, path
            assert called(node) not in {"torch.load", "np.load", "numpy.load"}, path
            assert getattr(node, "arg", "") != "allow_pickle", path


def imported(node):
    """Give the top-level names that a statement imports from."""
    if isinstance(node, ast.Import):
        return {alias.name.partition(".")[0] for alias in node.names}
    if isinstance(node, ast.ImportFrom):
        return {(node.module or "").partition(".")[0]}
    return set()


def called(node):
    """Give what a call calls, as it is written."""
    return ast.unparse(node.func) if isinstance(node, ast.Call) else ""
