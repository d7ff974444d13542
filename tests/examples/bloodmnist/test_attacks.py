"""Attacks on the model and on the data, each against its closed form."""

import math
from functools import partial

import numpy as np
import pytest
import torch
from bloodmnist import attacks
from bloodmnist.attacks import (
    ATTACKS,
    REPLY_ATTACKS,
    AttackerView,
    backdoor,
    blind_spots,
    boosting,
    generators,
    labels,
    noise,
    omniscient,
    roster,
    spread,
)
from bloodmnist.attacks.data import poison_data
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

MODEL_ATTACKS = [name for name in ATTACKS if name not in REPLY_ATTACKS]
BUFFERS = ("running_mean", "running_var", "num_batches_tracked")
K, M = 10, 3


def look(
    trained, received, *, names=None, honest=(), seed=0, num_clients=K, num_malicious=M
):
    """Make the view of a poisoned client; without names all arrays are parameters."""
    return AttackerView(
        trained=trained,
        received=received,
        parameter_names=tuple(received if names is None else names),
        num_clients=num_clients,
        num_malicious=num_malicious,
        generator=generators.for_client(0, 1, seed),
        shared_generator=generators.for_colluders(0, 1),
        honest=lambda: list(honest),
    )


def numbers(*values):
    """Make the state of a model with one parameter."""
    return {"w": torch.tensor(values)}


def network_view(seed=0):
    """Make the view of a client of a small network: seven honest ones train nearby."""
    received = network_state(0)
    steps = [network_state(seed, like=received) for seed in range(1, 9)]
    names = [name for name in received if name.rpartition(".")[2] not in BUFFERS]
    return look(steps[7], received, names=names, honest=steps[:7], seed=seed)


def network_state(seed, like=None):
    """Give the state of a small network, or one a short way from another."""
    generator = torch.Generator().manual_seed(seed)
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Linear(4, 3))
    return {
        name: torch.randn(value.shape, generator=generator) * 0.1 + 1
        if like is None and value.is_floating_point()
        else like[name] + torch.randn(value.shape, generator=generator) * 1e-3
        if value.is_floating_point()
        else torch.tensor(seed)
        for name, value in net.state_dict().items()
    }


def update_of(state, view):
    """Subtract the received parameters, flattened into one vector of doubles."""
    return torch.cat(
        [
            (state[name].double() - view.received[name].double()).flatten()
            for name in view.parameter_names
        ]
    )


def honest_matrix(view):
    """Give the honest updates as rows."""
    return torch.stack([update_of(state, view) for state in view.honest()])


# --- closed forms, by hand ------------------------------------------------------------

# Trained from 1 to 3, of two honest clients who trained to 2 and 4.
BY_HAND = {
    "none": 3,
    "tmp-paper": 3 + 10 * 2,
    "tmp-authors": 10 * 2,
    "boost-2": 1 + 2 * 2,
    "boost-3": 1 + 3 * 2,
    "boost-100": 1 + 100 * 2,
    "sign-flip": 1 - 2,
    "sign-flip-10": 1 - 10 * 2,
    "ipm-0.1": 1 - 0.1 * 2,
    "ipm-0.5": 1 - 0.5 * 2,
    "ipm-10": 1 - 10 * 2,
    "alie": 1 + 2 - 0.18001237,  # deviation 1, and 4/7 of a normal lie below z
    "min-max": 1 + 2 - 1,  # one more and it is 3 from an update of 3, which allows 2
    "min-sum": 1 + 2 - 1,  # 2 steps² + 2 squared distances, of which 4 are allowed
    "mimic": 2,
    "backdoor": 1 + 2 * 10 / 3,
    "head-only": 1 - 30 * 2,  # of one parameter, the last is the head
    "buffer-only": 3,
    "bias-mimic": 3,  # one axis, so no kernel
}


@pytest.mark.parametrize("name", BY_HAND)
def test_attack_has_its_closed_form(name):
    """The own update is 2; the honest ones are 1 and 3, so their mean is 2 as well."""
    view = look(numbers(3.0), numbers(1.0), honest=[numbers(2.0), numbers(4.0)])
    sent = ATTACKS[name](view)["w"]
    torch.testing.assert_close(sent, torch.tensor([float(BY_HAND[name])]))


def test_every_attack_is_checked_here():
    """What has no value by hand draws random numbers, tested below."""
    random = {"gaussian", "gaussian-sybil", "free-rider", "slow-drift"}
    random |= {"ump-paper", "ump-authors", "ump-sybil"}
    assert set(MODEL_ATTACKS) == BY_HAND.keys() | random


# --- the knob at zero -----------------------------------------------------------------

HONEST_KNOBS = {
    "boost": partial(boosting.boost, factor=1),
    "sign-flip": partial(boosting.sign_flip, scale=-1),
    "tmp-paper": partial(boosting.targeted_paper, scale=0),
    "backdoor": partial(backdoor.replace_model, factor=1),
    "head-only": partial(blind_spots.head_only, scale=1),
    "bias-mimic": partial(blind_spots.bias_mimic, scale=1),
    "buffer-only": partial(blind_spots.buffer_only, shift=0),
    "none": boosting.as_trained,
    "slow-drift": partial(noise.slow_drift, share=0),
}


@pytest.mark.parametrize("name", HONEST_KNOBS)
def test_attack_with_its_knob_at_zero_is_honest(name):
    """A boost of 1, or no shift at all, sends bit for bit what was trained."""
    view = network_view()
    sent = HONEST_KNOBS[name](view)
    assert all(torch.equal(sent[key], view.trained[key]) for key in view.trained)


def test_free_rider_without_noise_sends_what_it_received():
    """Parameters, running statistics and counters are the global model's."""
    view = network_view()
    sent = noise.free_rider(view, scale=0)
    assert all(torch.equal(sent[key], view.received[key]) for key in view.received)


def test_inner_product_manipulation_of_nothing_sends_the_received_parameters():
    """An epsilon of 0 takes no step."""
    view = network_view()
    sent = omniscient.inner_product_manipulation(view, epsilon=0)
    names = view.parameter_names
    assert all(torch.equal(sent[name], view.received[name]) for name in names)


@pytest.mark.parametrize(
    "attack",
    [partial(omniscient.a_little_is_enough, z=0), partial(spread.push, step=0)],
    ids=["alie", "min-max and min-sum"],
)
def test_hidden_attacks_without_a_push_send_the_honest_mean(attack):
    """What is left is the mean of the seven honest updates."""
    view = network_view()
    mean = honest_matrix(view).mean(0)
    torch.testing.assert_close(
        update_of(attack(view), view), mean, atol=1e-7, rtol=1e-4
    )


# --- what all attacks on the model keep -----------------------------------------------


@pytest.mark.parametrize("name", MODEL_ATTACKS)
def test_attack_sends_a_whole_finite_state(name):
    """Keys, order, shapes and dtypes are the model's, and all values are finite."""
    view = network_view()
    sent = ATTACKS[name](view)
    assert list(sent) == list(view.trained)
    for key, value in view.trained.items():
        assert (sent[key].shape, sent[key].dtype) == (value.shape, value.dtype)
        assert torch.isfinite(sent[key]).all()


@pytest.mark.parametrize("name", MODEL_ATTACKS)
def test_attack_changes_nothing_that_it_was_given(name):
    """Received, trained and honest states are the same before and after."""
    view, untouched = network_view(), network_view()
    ATTACKS[name](view)
    given_states = [view.received, view.trained, *view.honest()]
    expected = [untouched.received, untouched.trained, *untouched.honest()]
    for state, same in zip(given_states, expected, strict=True):
        assert all(torch.equal(state[key], same[key]) for key in same)


SENDS_OTHER_BUFFERS = {"ump-authors", "free-rider", "mimic", "buffer-only"}


@pytest.mark.parametrize("name", sorted(set(MODEL_ATTACKS) - SENDS_OTHER_BUFFERS))
def test_attack_sends_buffers_as_trained(name):
    """Running statistics and counters are what this client's training left."""
    view = network_view()
    sent = ATTACKS[name](view)
    buffers = view.trained.keys() - set(view.parameter_names)
    assert len(buffers) == 3
    assert all(torch.equal(sent[key], view.trained[key]) for key in buffers)


def test_double_precision_models_stay_in_double_precision():
    """A model of doubles gets the same attack in doubles."""
    trained, received = (
        {"w": torch.tensor([v], dtype=torch.float64)} for v in (1 + 1e-12, 1.0)
    )
    sent = ATTACKS["boost-3"](look(trained, received))["w"]
    assert sent.dtype == torch.float64
    assert sent.item() - 1 == pytest.approx(3e-12, rel=1e-3)


# --- noise ----------------------------------------------------------------------------


def standard_normal(view, names, generator):
    """Draw what an attacker draws, in its order."""
    return {
        name: torch.randn(view.received[name].shape, generator=generator)
        for name in names
    }


def test_untargeted_paper_attack_is_scaled_noise_minus_the_received_model():
    """Undoing scale and subtraction gives the client's standard normal draw back."""
    view = network_view()
    sent = ATTACKS["ump-paper"](view)
    drawn = standard_normal(view, view.parameter_names, generators.for_client(0, 1, 0))
    for name, value in drawn.items():
        torch.testing.assert_close(
            sent[name] / 10 + view.received[name], value, atol=1e-5, rtol=1e-5
        )


def test_untargeted_authors_attack_reaches_running_statistics():
    """The sign is the other one, running statistics are noise, the counter is not."""
    view = network_view()
    sent = ATTACKS["ump-authors"](view)
    names = [name for name in view.trained if "num_batches" not in name]
    drawn = standard_normal(view, names, generators.for_client(0, 1, 0))
    assert {"1.running_mean", "1.running_var"} <= drawn.keys()
    for name, value in drawn.items():
        torch.testing.assert_close(
            view.received[name] - sent[name] / 10, value, atol=1e-5, rtol=1e-5
        )
    assert torch.equal(sent["1.num_batches_tracked"], torch.tensor(8))


def test_gaussian_attack_is_as_long_as_the_median_honest_update():
    """Honest updates of length 1, 5 and 7 make for noise of length 5."""
    received = {"w": torch.zeros(2), "b": torch.zeros(1)}
    honest = [
        {"w": torch.tensor([0.0, x]), "b": torch.tensor([y])}
        for x, y in ((1.0, 0.0), (3.0, 4.0), (0.0, -7.0))
    ]
    view = look(received, received, honest=honest)
    sent = update_of(ATTACKS["gaussian"](view), view)
    drawn = standard_normal(view, received, generators.for_client(0, 1, 0))
    direction = torch.cat([value.double() for value in drawn.values()])
    torch.testing.assert_close(
        sent, 5 * direction / direction.norm(), atol=1e-5, rtol=1e-5
    )


@pytest.mark.parametrize(
    ("name", "together"),
    [
        ("ump-paper", False),
        ("ump-sybil", True),
        ("gaussian", False),
        ("gaussian-sybil", True),
    ],
)
def test_sybils_alone_send_the_same_noise(name, together):
    """Two colluders send equal parameters if they are sybils, and else differ."""
    one, two = (update_of(ATTACKS[name](v), v) for v in map(network_view, (0, 1)))
    assert torch.equal(one, two) == together


def test_free_rider_hides_its_laziness_in_tiny_noise():
    """The step is a millionth of a standard normal draw, far below honest ones."""
    view = network_view()
    sent = ATTACKS["free-rider"](view)
    assert torch.equal(sent["1.running_var"], view.received["1.running_var"])
    step = update_of(sent, view)
    assert 0 < step.norm() < honest_matrix(view).norm(dim=1).min() / 100


def test_slow_drift_goes_the_same_way_for_all_and_ever_and_is_as_long_as_training():
    """Its step beside the own update is alike for colluders, and as long, by layer."""
    one, two = map(network_view, (0, 1))
    for name in one.parameter_names:
        steps = []
        for view in (one, two):
            sent = ATTACKS["slow-drift"](view)[name].double()
            step = (sent - view.trained[name].double()).flatten()
            length = view.update(name).norm().item()
            assert step.norm().item() == pytest.approx(length, rel=1e-4)
            steps.append(step / step.norm())
        assert float(steps[0] @ steps[1]) == pytest.approx(1, abs=1e-4)


# --- omniscient attacks ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("num_clients", "num_malicious", "share"),
    [(10, 3, 4 / 7), (10, 1, 4 / 9), (10, 5, 4 / 5), (50, 24, 24 / 26), (9, 2, 4 / 7)],
)
def test_largest_hidden_z_leaves_the_share_of_supporters_above(
    num_clients, num_malicious, share
):
    """Of a standard normal, (K - M - s) / (K - M) lies below z."""
    z = omniscient.largest_hidden_z(num_clients, num_malicious)
    assert (1 + math.erf(z / math.sqrt(2))) / 2 == pytest.approx(share, abs=1e-12)


@pytest.mark.parametrize(("num_clients", "num_malicious"), [(10, 6), (2, 1), (4, 4)])
def test_a_majority_of_attackers_has_no_largest_z(num_clients, num_malicious):
    """Where attackers need nobody, or everybody, the formula has no finite value."""
    with pytest.raises(ValueError, match=f"{num_malicious} of {num_clients} clients"):
        omniscient.largest_hidden_z(num_clients, num_malicious)


def test_omniscient_attacks_need_an_honest_client():
    """If all are poisoned there is nobody to copy, and the error says what to do."""
    view = look(numbers(1.0), numbers(0.0), honest=[])
    for name in ("ipm-0.1", "min-max", "mimic", "gaussian"):
        with pytest.raises(ValueError, match="lower fraction-malicious"):
            ATTACKS[name](view)


def test_a_little_is_enough_moves_every_coordinate_by_z_deviations():
    """The definition, coordinate by coordinate in NumPy's doubles."""
    view = network_view()
    honest = honest_matrix(view).numpy()
    z = omniscient.largest_hidden_z(K, M)
    expected = [column.mean() - z * column.std() for column in honest.T]
    sent = update_of(ATTACKS["alie"](view), view)
    np.testing.assert_allclose(sent, expected, atol=1e-7)


def search_by_halving(honest, is_hidden):
    """Find the largest step as the paper does: halve, keep what is still hidden."""
    mean, push = honest.mean(0), -honest.std(0)
    step, found, change = 50.0, 0.0, 50.0
    while change > 1e-10:
        change /= 2
        if is_hidden(mean + step * push):
            found, step = step, step + change
        else:
            step -= change
    return mean + found * push


def is_hidden_by_maximum(honest):
    """Tell whether an update is no farther from any than two honest ones are."""
    farthest = max(np.linalg.norm(a - b) for a in honest for b in honest)
    return lambda sent: max(np.linalg.norm(sent - a) for a in honest) <= farthest


def is_hidden_by_sum(honest):
    """Tell whether an update's squared distances add up to no more than allowed."""
    largest = max(sum(((a - b) ** 2).sum() for b in honest) for a in honest)
    return lambda sent: sum(((sent - a) ** 2).sum() for a in honest) <= largest


SPREAD_BOUNDS = {"min-max": is_hidden_by_maximum, "min-sum": is_hidden_by_sum}


@pytest.mark.parametrize("name", SPREAD_BOUNDS)
@given(seed=st.integers(0, 2**31), num_honest=st.integers(2, 7))
def test_spread_attack_goes_as_far_as_the_papers_search(name, seed, num_honest):
    """The closed form and the search by halving find the same update."""
    honest = np.random.default_rng(seed).normal(size=(num_honest, 5))
    states = [{"w": torch.tensor(row)} for row in honest]
    received = {"w": torch.zeros(5, dtype=torch.float64)}
    sent = ATTACKS[name](look(received, received, honest=states))["w"].numpy()
    expected = search_by_halving(honest, SPREAD_BOUNDS[name](honest))
    np.testing.assert_allclose(sent, expected, atol=1e-6)


@pytest.mark.parametrize("name", ["min-max", "min-sum", "alie"])
def test_hidden_attack_among_equal_honest_clients_is_equal_to_them(name):
    """Without a spread there is no room, and nothing is divided by it."""
    view = look(numbers(0.0, 0.0), numbers(1.0, 1.0), honest=[numbers(3.0, 5.0)] * 4)
    assert ATTACKS[name](view)["w"].tolist() == [3.0, 5.0]


def test_mean_of_small_updates_keeps_its_digits():
    """Updates of 1e-6 on weights of 100 are averaged as differences, not as weights.

    In single precision a weight of 1e-6 beside 100 is lost; an update whose parameter
    is near 0 must not depend on its neighbours.
    """
    received = {"w": torch.tensor([100.0, 0.0])}
    honest = [{"w": torch.tensor([100.0, 1e-6 * n])} for n in (1, 2, 3)]
    sent = ATTACKS["ipm-0.5"](look(received, received, honest=honest))["w"]
    torch.testing.assert_close(sent, torch.tensor([100.0, -1e-6]), atol=0, rtol=1e-6)


def test_mimic_copies_all_of_one_honest_client():
    """Parameters, running statistics and counter are the first honest client's."""
    view = network_view()
    sent = ATTACKS["mimic"](view)
    assert all(torch.equal(sent[key], view.honest()[0][key]) for key in sent)


def test_byzfl_agrees():
    """IPM, ALIE and Mimic of byzfl give the same updates, up to single precision."""
    byzfl = pytest.importorskip("byzfl", reason="byzfl is not installed")
    view = network_view()
    honest = honest_matrix(view).numpy()
    # byzfl adds the sample deviation, ours takes the population's off.
    z = omniscient.largest_hidden_z(K, M) * math.sqrt(6 / 7)
    theirs = {
        "ipm-0.5": byzfl.InnerProductManipulation(0.5),
        "ipm-10": byzfl.InnerProductManipulation(10.0),
        "alie": byzfl.ALittleIsEnough(-z),
        "mimic": byzfl.Mimic(0),
    }
    for name, attack in theirs.items():
        ours = update_of(ATTACKS[name](view), view)
        np.testing.assert_allclose(ours, attack(honest), atol=1e-6)


# --- blind spots ----------------------------------------------------------------------


def changed_by(name):
    """Tell which arrays an attack sends other than trained."""
    view = network_view()
    sent = ATTACKS[name](view)
    return {key for key in sent if not torch.equal(sent[key], view.trained[key])}


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("head-only", {"2.weight", "2.bias"}),
        ("buffer-only", {"1.running_mean"}),
        ("bias-mimic", {"0.weight"}),
    ],
)
def test_blind_spot_attack_touches_its_spot_only(name, changed):
    """The head, the running mean, or the kernels; everything else is honest."""
    assert changed_by(name) == changed


@pytest.mark.parametrize(
    ("name", "key", "factor"),
    [("head-only", "2.weight", -30), ("bias-mimic", "0.weight", -5)],
)
def test_blind_spot_attack_reverses_the_update_there(name, key, factor):
    """Head updates are reversed thirtyfold, kernel updates fivefold."""
    view = network_view()
    sent = ATTACKS[name](view)[key] - view.received[key]
    own = view.trained[key] - view.received[key]
    torch.testing.assert_close(sent, factor * own, atol=1e-6, rtol=1e-3)


def test_buffer_only_moves_running_means_by_fifty():
    """The shift is the same everywhere."""
    view = network_view()
    sent = ATTACKS["buffer-only"](view)["1.running_mean"]
    torch.testing.assert_close(
        sent - view.trained["1.running_mean"], torch.full([2], 50.0)
    )


# --- names and roster -----------------------------------------------------------------


def test_unknown_attack_names_the_known_ones():
    """A typing error is answered with everything that could have been meant."""
    with pytest.raises(ValueError, match=r"'foo': use one of 'none', 'tmp-paper', "):
        attacks.find_attack("foo")


def test_unknown_labels_name_the_known_ones():
    """A typing error in the labels as well."""
    with pytest.raises(ValueError, match="'dirty': use one of 'clean', 'flipped'"):
        labels.find_relabel("dirty")


def run_config(attack="none", relabel="clean", fraction=0.3):
    """Give the part of a run config that attacks read."""
    return {
        "attack": attack,
        "labels": relabel,
        "fraction-malicious": fraction,
        "seed": 0,
    }


@pytest.mark.parametrize(
    ("attack", "relabel", "fraction", "expected"),
    [
        ("none", "clean", 0.3, 0),
        ("none", "flipped", 0.3, 3),
        ("tmp-paper", "clean", 0.29, 3),
        ("tmp-paper", "flipped", 0, 0),
        ("malformed-nan", "clean", 0.3, 3),
        ("weight-lie-0", "clean", 0.1, 1),
        ("alie", "clean", 1, 10),
    ],
)
def test_number_of_poisoned_clients(attack, relabel, fraction, expected):
    """Of ten clients 0.3 and 0.29 are three; without any attack nobody is poisoned."""
    config = run_config(attack, relabel, fraction)
    assert roster.count_poisoned(config, 10) == expected
    poisoned = [roster.is_poisoned(config, part, 10) for part in range(10)]
    assert poisoned == [True] * expected + [False] * (10 - expected)


@pytest.mark.parametrize("attack", ["none", "alie"])
def test_fraction_must_be_a_fraction(attack):
    """More than all clients cannot be poisoned."""
    with pytest.raises(ValueError, match=r"from 0 to 1, got 1\.5"):
        roster.count_poisoned(run_config(attack, fraction=1.5), 10)


def test_random_streams_differ_by_purpose_client_and_round():
    """No two of them give the same number, and each gives its own again."""
    streams = [
        partial(generators.for_data, 0, 0),
        partial(generators.for_data, 0, 1),
        partial(generators.for_client, 0, 1, 0),
        partial(generators.for_client, 0, 1, 1),
        partial(generators.for_client, 0, 2, 0),
        partial(generators.for_client, 1, 1, 0),
        partial(generators.for_colluders, 0, 1),
        partial(generators.for_colluders, 0, 2),
    ]
    first, again = (
        [torch.rand(1, generator=stream()).item() for stream in streams]
        for _ in range(2)
    )
    assert first == again
    assert len(set(first)) == len(streams)


# --- data -----------------------------------------------------------------------------


def images_and_labels(num_images=8):
    """Make black images of 6 by 6, of four classes in turn."""
    return torch.full((num_images, 3, 6, 6), -1.0), torch.arange(num_images) % 4


def test_flipped_labels_are_the_next_class():
    """The last class becomes the first."""
    assert labels.flip(torch.tensor([0, 1, 7]), 8).tolist() == [1, 2, 0]


@given(num_classes=st.integers(2, 10))
def test_flipping_as_often_as_there_are_classes_is_honest(num_classes):
    """The flip goes once around."""
    flipped = given_labels = torch.arange(num_classes)
    for _ in range(num_classes):
        flipped = labels.flip(flipped, num_classes)
    assert torch.equal(flipped, given_labels)


def test_trigger_is_a_white_corner():
    """Sixteen pixels of each channel turn white, in a copy."""
    images, _ = images_and_labels(1)
    stamped = backdoor.stamp(images)
    assert (stamped == 1).sum() == 3 * 16
    assert (stamped[0, :, 2:, 2:] == 1).all()
    assert (images == -1).all()


def test_half_of_the_images_get_trigger_and_target():
    """Exactly those with the trigger are labelled 0; the others are as they were."""
    images, classes = images_and_labels()
    planted, relabelled = backdoor.plant(images, classes, torch.Generator())
    stamped = (planted == 1).flatten(1).any(1)
    assert stamped.sum() == 4
    assert (relabelled[stamped] == backdoor.TARGET).all()
    assert torch.equal(relabelled[~stamped], classes[~stamped])
    assert torch.equal(planted[~stamped], images[~stamped])
    assert torch.equal(classes, images_and_labels()[1])


def test_backdoor_in_no_image_changes_nothing():
    """The knob at zero."""
    images, classes = images_and_labels()
    planted = backdoor.plant(images, classes, torch.Generator(), fraction=0)
    assert torch.equal(planted[0], images)
    assert torch.equal(planted[1], classes)


def test_success_rate_counts_fooled_images_of_other_classes():
    """A net that sees the white corner is always fooled; a blind one never is."""

    class Corner(nn.Module):
        """Say class 0 if the corner is as bright as the bias, else class 1."""

        def __init__(self, threshold):
            super().__init__()
            self.threshold = threshold

        def forward(self, images):
            bright = images[:, 0, -1, -1] - self.threshold
            return torch.stack([bright, -bright], 1)

    batches = [images_and_labels(), images_and_labels()]
    assert backdoor.success_rate(Corner(0), batches) == 1
    assert backdoor.success_rate(Corner(2), batches) == 0
    nobody = [(torch.zeros(2, 3, 6, 6), torch.zeros(2, dtype=torch.long))]
    assert math.isnan(backdoor.success_rate(Corner(0), nobody))


def tamper(attack, relabel, partition_id):
    """Give what a client of ten, of whom three are poisoned, trains on."""
    return poison_data(
        *images_and_labels(),
        num_classes=4,
        run_config=run_config(attack, relabel),
        partition_id=partition_id,
        num_partitions=10,
    )


@pytest.mark.parametrize(
    ("attack", "relabel", "partition_id"),
    [("none", "clean", 0), ("none", "flipped", 3), ("backdoor", "flipped", 9)],
)
def test_honest_clients_train_on_honest_data(attack, relabel, partition_id):
    """Without an attack, and beyond the third client, nothing is tampered with."""
    images, classes = tamper(attack, relabel, partition_id)
    assert torch.equal(images, images_and_labels()[0])
    assert torch.equal(classes, images_and_labels()[1])


@pytest.mark.parametrize("attack", ["none", "tmp-paper"])
def test_poisoned_clients_train_on_flipped_labels(attack):
    """The labels are flipped whatever is done to the model, the images are not."""
    images, classes = tamper(attack, "flipped", 2)
    assert torch.equal(images, images_and_labels()[0])
    assert classes.tolist() == [1, 2, 3, 0] * 2


def test_backdoored_clients_tamper_with_the_same_images_every_round():
    """Which ones depends on seed and client; the target is not flipped again."""
    images, classes = tamper("backdoor", "flipped", 0)
    stamped = (images == 1).flatten(1).any(1)
    assert (classes[stamped] == backdoor.TARGET).all()
    assert torch.equal(classes[~stamped], (images_and_labels()[1][~stamped] + 1) % 4)
    assert torch.equal(images, tamper("backdoor", "flipped", 0)[0])
    assert not torch.equal(images, tamper("backdoor", "flipped", 1)[0])
