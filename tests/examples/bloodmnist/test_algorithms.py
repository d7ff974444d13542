"""The six algorithms: closed forms, knobs at zero, memory, FedDyn's server half."""

import numpy as np
import pytest
import torch
from bloodmnist.algorithms import ALGORITHMS, find_algorithm
from bloodmnist.algorithms.fedrs import restrict
from bloodmnist.algorithms.fedsam import climbed
from bloodmnist.feddyn_server import FedDyn
from bloodmnist.loop import Batches, Settings
from bloodmnist.memory import recall, remember
from flwr.app import RecordDict
from flwr.serverapp.strategy import FedAvg
from torch import nn
from torch.testing import assert_close

from flwr_vdcs import VirtualConsistencyStrategy
from tests.federation import arrays_of, configured, content, record_of, reply, seeded
from tests.models import batch_norm_cnn

NUM_CLASSES = 3
LABELS = torch.tensor([0, 1, 1, 0, 0])
"""The client holds no image of class 2."""


# --- two steps by closed form ---------------------------------------------------------

SETTINGS = Settings(
    learning_rate=0.3,
    local_epochs=2,
    mu=0.4,
    alpha_dyn=0.7,
    alpha_rs=0.25,
    rho=0.5,
    lambda_speed=3.0,
    a_speed=0.6,
)
FEATURES = torch.tensor(
    [[1.0, -2.0], [0.5, 1.0], [2.0, 0.0], [-1.0, 1.0], [0.0, 3.0]], dtype=torch.float64
)
START = np.array([[0.1, -0.3], [0.4, 0.2], [-0.5, 0.6]])
REMEMBERED = np.array([[0.05, 0.0], [-0.1, 0.02], [0.03, -0.04]])


def gradient(weight, scale=1.0):
    """Differentiate the cross entropy by hand: (softmax - one-hot) times the input."""
    features, labels = FEATURES.numpy(), LABELS.numpy()
    logits = scale * (features @ weight.T)
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return (scale * (chances - np.eye(NUM_CLASSES)[labels])).T @ features / len(labels)


def climb(weight):
    """Go the length of rho up the gradient."""
    slope = gradient(weight)
    return weight + SETTINGS.rho * slope / np.linalg.norm(slope)


def restricted(weight):
    """Differentiate with the logit of class 2, which is missing, at a quarter."""
    return gradient(weight, np.array([1.0, 1.0, SETTINGS.alpha_rs]))


def speed(weight):
    """Mix both gradients, take off the correction, pull back to the start."""
    mixed = 0.4 * gradient(weight) + 0.6 * gradient(climb(weight))
    return mixed - REMEMBERED + (weight - START) / 3.0


DIRECTIONS = {
    "fedavg": gradient,
    "fedprox": lambda w: gradient(w) + 0.4 * (w - START),
    "feddyn": lambda w: gradient(w) - REMEMBERED + 0.7 * (w - START),
    "fedrs": restricted,
    "fedsam": lambda w: gradient(climb(w)),
    "fedspeed": speed,
}


def two_steps(name):
    """Descend twice in the direction that the algorithm's paper gives."""
    weight = START
    for _ in range(2):
        weight = weight - 0.3 * DIRECTIONS[name](weight)
    return weight


def linear():
    """Build a linear model in double precision at the start."""
    model = nn.Linear(2, NUM_CLASSES, bias=False).double()
    model.weight.data = torch.from_numpy(START.copy())
    return model


def whole_batch():
    """Give all images as one batch, in double precision."""
    return Batches(FEATURES, LABELS, NUM_CLASSES, 5, torch.Generator())


@pytest.mark.parametrize("name", [*ALGORITHMS])
def test_two_steps_are_those_of_the_paper(name):
    """On a linear model, two steps with a memory end where the closed form does."""
    model = linear()
    memory = {"correction": {"weight": torch.from_numpy(REMEMBERED.copy())}}
    ALGORITHMS[name](model, whole_batch(), SETTINGS, memory)

    expected = two_steps(name)
    correction = REMEMBERED
    if name == "feddyn":
        correction = REMEMBERED - 0.7 * (expected - START)
    if name == "fedspeed":
        correction = REMEMBERED - (expected - START) / 3.0
        expected = expected - 3.0 * correction
    assert_close(model.weight.detach(), torch.from_numpy(expected))
    assert_close(memory["correction"]["weight"], torch.from_numpy(correction))


def test_first_step_from_zero_by_hand():
    """From 0 both classes have chance 1/2, so an image 4 of class 0 moves by 2 eta."""
    model = nn.Linear(1, 2, bias=False)
    nn.init.zeros_(model.weight)
    image, label = torch.tensor([[4.0]]), torch.tensor([0])
    batches = Batches(image, label, 2, 1, torch.Generator())
    loss = ALGORITHMS["fedavg"](model, batches, Settings(learning_rate=0.5), {})
    assert loss == pytest.approx(np.log(2))
    assert model.weight.flatten().tolist() == [1.0, -1.0]


def test_gradient_is_shortened_to_the_norm():
    """The same step with a norm of 1: (2, -2) becomes (1, -1) / sqrt 2."""
    model = nn.Linear(1, 2, bias=False)
    nn.init.zeros_(model.weight)
    batches = Batches(torch.tensor([[4.0]]), torch.tensor([0]), 2, 1, torch.Generator())
    settings = Settings(learning_rate=1.0, clip_norm=1.0)
    ALGORITHMS["fedavg"](model, batches, settings, {})
    assert_close(model.weight.detach().flatten(), torch.tensor([0.5**0.5, -(0.5**0.5)]))


def test_unknown_algorithm_names_the_known_ones():
    """A typing error is answered with everything that could have been meant."""
    with pytest.raises(ValueError, match=r"'foo'.*\['fedavg', 'fedprox'"):
        find_algorithm("foo")


# --- knobs at zero --------------------------------------------------------------------


def images(num_images=24, labels=None):
    """Give random images, and classes that are all there unless told otherwise."""
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randn(num_images, 1, 6, 6, generator=generator)
    labels = torch.arange(num_images) % 3 if labels is None else labels
    return Batches(pixels, labels, 3, 8, torch.Generator().manual_seed(1))


def trained(name, memory=None, batches=None, **knobs):
    """Train the same small network and return its state."""
    model = seeded(batch_norm_cnn)
    settings = Settings(**{"learning_rate": 0.1, "local_epochs": 2} | knobs)
    ALGORITHMS[name](model, batches or images(), settings, memory or {})
    return model.state_dict()


OFF = [
    ("fedprox", {"mu": 0.0}),
    ("feddyn", {"alpha_dyn": 0.0}),
    ("fedrs", {"alpha_rs": 1.0}),
    ("fedsam", {"rho": 0.0}),
    ("fedspeed", {"rho": 0.0, "lambda_speed": 0.0}),
    ("fedspeed", {"rho": 0.0, "lambda_speed": 0.0, "a_speed": 0.3}),
    ("fedspeed", {"a_speed": 0.0, "lambda_speed": 0.0}),
]


@pytest.mark.parametrize(("name", "knobs"), OFF)
def test_without_its_knob_an_algorithm_is_fedavg(name, knobs):
    """Parameters, running statistics and counters are those of FedAvg, bit for bit."""
    half_the_classes = torch.arange(24) % 2
    expected = trained("fedavg", batches=images(labels=half_the_classes))
    state = trained(name, batches=images(labels=half_the_classes), **knobs)
    assert_close(state, expected, rtol=0, atol=0)


@pytest.mark.parametrize(("name", "knobs"), OFF[:2] + OFF[4:])
def test_without_its_knob_an_algorithm_stays_fedavg_in_later_rounds(name, knobs):
    """What it remembers of the first round then changes nothing in the second."""
    memory = {}
    trained(name, memory, **knobs)
    again = trained(name, memory, **knobs)
    assert_close(again, trained("fedavg"), rtol=0, atol=0)


def test_fedrs_with_all_classes_is_fedavg():
    """Where no class is missing nothing is restricted."""
    assert_close(trained("fedrs"), trained("fedavg"), rtol=0, atol=0)


@pytest.mark.parametrize(
    "name", [n for n in ALGORITHMS if n not in {"fedavg", "fedrs"}]
)
def test_with_its_knob_an_algorithm_differs_from_fedavg(name):
    """The defaults do something."""
    expected, state = trained("fedavg"), trained(name)
    assert any(not torch.equal(state[key], expected[key]) for key in state)


# --- what is special ------------------------------------------------------------------


def test_restriction_comes_from_the_clients_own_labels():
    """Classes 0 and 3 are held; 1, 2 and the last one are not."""
    scale = restrict(torch.tensor([3, 0, 3]), 5, alpha=0.5)
    assert scale.tolist() == [1.0, 0.5, 0.5, 1.0, 0.5]


def test_fedrs_forgets_missing_classes_less():
    """A client that lacks half the classes keeps more of what the model knew of them.

    Four clusters on the axes of a plane; the model knows them all, then trains at a
    client that holds the first two.
    """
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(400) % 4
    centres = torch.tensor([[2.0, 0.0], [0.0, 2.0], [-2.0, 0.0], [0.0, -2.0]])
    points = centres[labels] + 0.7 * torch.randn(400, 2, generator=generator)
    points = torch.cat([points, torch.ones(400, 1)], dim=1)

    def retain(name):
        model = seeded(lambda: nn.Linear(3, 4, bias=False))
        everything = Batches(points, labels, 4, 400, generator)
        ALGORITHMS["fedavg"](model, everything, Settings(0.5, local_epochs=40), {})
        held = labels < 2
        client = Batches(points[held], labels[held], 4, 200, generator)
        ALGORITHMS[name](model, client, Settings(0.5, local_epochs=40), {})
        answers = model(points).argmax(dim=1)
        return (answers == labels)[~held].float().mean().item()

    assert retain("fedrs") > retain("fedavg") + 0.1


@pytest.mark.parametrize("name", ["fedsam", "fedspeed"])
def test_batch_norm_statistics_follow_the_first_pass_once_a_step(name):
    """After one step the buffers are FedAvg's, though the parameters are not."""
    state, plain = (
        trained(each, batches=images(num_images=8), local_epochs=1)
        for each in (name, "fedavg")
    )
    names = dict(batch_norm_cnn().named_parameters())
    buffers = [key for key in plain if key not in names]
    assert len(buffers) == 3
    assert all(torch.equal(state[key], plain[key]) for key in buffers)
    assert not all(torch.equal(state[key], plain[key]) for key in names)


def test_climb_goes_rho_up_and_comes_back():
    """Inside, the model is rho away along its gradient; outside, where it was."""
    model = linear()
    model.weight.grad = torch.full_like(model.weight, 2.0)
    with climbed(model, rho=0.5):
        moved = (model.weight - torch.from_numpy(START)).detach()
        assert moved.norm().item() == pytest.approx(0.5)
        assert (moved > 0).all()
    assert torch.equal(model.weight.detach(), torch.from_numpy(START))


def test_flat_ground_has_no_way_up():
    """A gradient of 0 moves nothing, rather than dividing by it."""
    model = linear()
    model.weight.grad = torch.zeros_like(model.weight)
    with climbed(model, rho=0.5):
        assert torch.equal(model.weight.detach(), torch.from_numpy(START))


def test_incomplete_last_batch_is_left_out():
    """Of 10 images in batches of 4, an epoch takes 8; 3 images alone are one batch."""
    for num_images, sizes in ((10, [4, 4]), (3, [3]), (4, [4])):
        pixels, labels = torch.zeros(num_images, 1), torch.zeros(num_images).long()
        batches = Batches(pixels, labels, 1, 4, torch.Generator())
        assert [len(some) for _, some in batches] == sizes


# --- memory ---------------------------------------------------------------------------


def memory_of(number):
    """Make a memory that can be told from others."""
    return {"correction": {"weight": torch.full((2,), float(number))}}


def number_in(memory):
    """Read the number back; 0 for no memory."""
    return float(memory["correction"]["weight"][0]) if memory else 0.0


def train_in(state, server_round, used_round):
    """Be a client whose memory adds up the rounds that it trained in."""
    before = recall(state, used_round)
    after = memory_of(number_in(before) + 10**server_round)
    remember(state, before, after, server_round)


def test_memory_survives_rounds():
    """A client that is always used adds up 10, 100 and 1000."""
    state = RecordDict()
    for server_round in (1, 2, 3):
        train_in(state, server_round, used_round=server_round - 1)
    assert number_in(recall(state, 3)) == 1110


def test_dropped_round_leaves_no_trace():
    """Used in rounds 1 and 3, dropped in 2 and 4: 10 and 1000."""
    state = RecordDict()
    for server_round, used_round in ((1, 0), (2, 1), (3, 1), (4, 3)):
        train_in(state, server_round, used_round)
    assert number_in(recall(state, used_round=3)) == 1010


def test_first_round_can_be_dropped_too():
    """Before it there was no memory, and there is none after it."""
    state = RecordDict()
    train_in(state, 1, used_round=0)
    train_in(state, 2, used_round=0)
    assert recall(state, used_round=0) == {}
    assert number_in(recall(state, used_round=2)) == 100


def test_absent_client_keeps_what_was_used():
    """Used in round 1, absent until round 5, where it goes on from 10."""
    state = RecordDict()
    train_in(state, 1, used_round=0)
    train_in(state, 5, used_round=1)
    assert number_in(recall(state, used_round=5)) == 100010
    assert number_in(recall(state, used_round=1)) == 10


def test_algorithm_without_memory_stores_nothing():
    """FedAvg leaves the client's state alone."""
    state = RecordDict()
    remember(state, {}, {}, 1)
    assert not state
    assert recall(state, 0) == {}


# --- FedDyn's server half -------------------------------------------------------------


def fed_dyn(arrays, alpha, num_clients=4):
    """Build the strategy, which has seen the global model."""
    names = [name for name, _ in batch_norm_cnn().named_parameters()]
    strategy = FedDyn(
        alpha=alpha, num_clients=num_clients, parameter_names=names, fraction_evaluate=0
    )
    return configured(strategy, arrays)


def sent_by(client, arrays):
    """Move every array by an amount that tells the client."""
    return {
        key: np.asarray(value + value.dtype.type(client))
        for key, value in arrays.items()
    }


def replies_of(clients, arrays):
    """Let clients reply, with weights that differ."""
    return [
        reply(
            client,
            content(
                sent_by(client, arrays), {"num-examples": 10 * client, "train_loss": 1}
            ),
        )
        for client in clients
    ]


def as_numpy(record):
    """Decode a record."""
    return {key: array.numpy() for key, array in record.items()}


def test_server_corrects_parameters_only():
    """Two rounds by the formula: clients 1 and 3 of 4 drift by 1 and 3, then 2 by 2.

    h = -alpha/4 (1 + 3) = -alpha, so the model moves by 2 + 1; then h = -1.5 alpha, and
    it moves by 2 + 1.5. Buffers move by the weighted mean, (10 + 90) / 40 and 2.
    """
    arrays = arrays_of(seeded(batch_norm_cnn))
    names = dict(batch_norm_cnn().named_parameters())
    strategy = fed_dyn(arrays, alpha=0.1)
    first, _ = strategy.aggregate_train(1, replies_of([1, 3], arrays))
    moved = as_numpy(first)
    for key, value in arrays.items():
        expected = value + (3.0 if key in names else 2.5)
        np.testing.assert_allclose(moved[key], expected, rtol=1e-5)

    moved = {k: np.asarray(v, arrays[k].dtype) for k, v in moved.items()}
    configured(strategy, moved)
    second, _ = strategy.aggregate_train(2, replies_of([2], moved))
    for key, value in as_numpy(second).items():
        expected = moved[key] + (3.5 if key in names else 2.0)
        np.testing.assert_allclose(value, expected, rtol=1e-5)


def test_server_without_alpha_is_fedavg():
    """The aggregate is FedAvg's, bit for bit, buffers included."""
    arrays = arrays_of(seeded(batch_norm_cnn))
    strategies = (fed_dyn(arrays, 0.0), configured(FedAvg(fraction_evaluate=0), arrays))
    ours, theirs = (
        as_numpy(each.aggregate_train(1, replies_of([1, 2, 3], arrays))[0])
        for each in strategies
    )
    assert list(ours) == list(theirs)
    assert all(np.array_equal(ours[key], theirs[key]) for key in ours)


def test_server_keeps_the_model_when_nobody_replies():
    """No reply, no aggregate, no correction."""
    strategy = fed_dyn(arrays_of(seeded(batch_norm_cnn)), 0.1)
    assert strategy.aggregate_train(1, []) == (None, None)
    assert not strategy.correction


def test_plugin_wraps_the_server_half_like_any_other():
    """Without clients to drop, the wrapped one gives the same model, bit for bit."""
    arrays = arrays_of(seeded(batch_norm_cnn))
    wrapped = VirtualConsistencyStrategy(
        fed_dyn(arrays, 0.1),
        model=seeded(batch_norm_cnn),
        input_shape=(1, 6, 6),
        num_malicious=0,
        scoring="paper",
    )
    configured(wrapped, arrays)
    ours, _ = wrapped.aggregate_train(1, replies_of([1, 2, 3], arrays))
    theirs, _ = fed_dyn(arrays, 0.1).aggregate_train(1, replies_of([1, 2, 3], arrays))
    assert all(np.array_equal(ours[k].numpy(), theirs[k].numpy()) for k in theirs)
    assert record_of(arrays).keys() == ours.keys()
