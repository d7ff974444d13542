"""Backdoors and attacks over rounds, by closed forms and by what they do."""

import math
from dataclasses import make_dataclass, replace
from functools import partial
from itertools import islice, pairwise

import pytest
import torch
from bloodmnist.attacks import AttackerView
from federations import models, tasks
from federations.attacking import ATTACKS
from federations.campaigns import CAMPAIGNS, Scene, find_campaign, success_rate
from federations.campaigns.adaptive import Adaptive, descend, similarity, target_loss
from federations.campaigns.backdoors import Distributed, Neurotoxin, Replacement
from federations.campaigns.one_direction import OneDirection
from federations.campaigns.triggers import TARGET, Trigger, bright_corner
from federations.catalogue import federations
from federations.federation import Federation
from federations.samples import Samples
from federations.simulation import Simulation, plain
from torch import nn

SIZES = (20, 30, 40, 10)
LIARS = frozenset({1, 3})
WITH_TRIGGER = ("replacement", "dba", "neurotoxin", "a3fl")
FEDERATIONS = {each.name: each for each in federations(None, "")}


def small_hospitals(_rng):
    """Give four hospitals some digits, and the test others."""
    everything = tasks.digits()
    ends = [sum(SIZES[:place]) for place in range(len(SIZES) + 1)]
    parts = [everything[start:end] for start, end in pairwise(ends)]
    return parts, everything[ends[-1] : 300]


SMALL = Federation(
    "small",
    tasks.classes(10),
    small_hospitals,
    partial(models.cnn, 10, "group"),
    rounds=4,
)


@pytest.fixture
def scene():
    """Give what the liars know of a small federation."""
    torch.manual_seed(0)
    return Scene(SMALL, small_hospitals(None)[0], LIARS, SMALL.build(), 0)


@pytest.fixture
def states(scene):
    """Give three global models, each a little moved from the last."""
    generator = torch.Generator().manual_seed(1)
    found = [{n: v.clone() for n, v in scene.model.state_dict().items()}]
    for _ in range(2):
        found.append(
            {
                name: value + 0.01 * torch.randn(value.shape, generator=generator)
                for name, value in found[-1].items()
            }
        )
    return found


def see(trained, received):
    """Make a liar's view of its own training."""
    return AttackerView(
        trained, received, tuple(received), 4, 2, *[torch.Generator()] * 2, list
    )


def simulate(attack, num_rounds, federation=SMALL, **options):
    """Play some rounds with half of the hospitals lying."""
    simulation = Simulation(federation, 0, attack, "0.5")
    return list(islice(simulation.play(plain, **options), num_rounds))


class ByPixel(nn.Module):
    """Answer the target as far as one pixel is bright and another is dark."""

    def forward(self, images):
        """Answer 0 for all other classes."""
        answers = torch.zeros(len(images), 10)
        answers[:, TARGET] = images[:, 0, 7, 7] - images[:, 0, 7, 6]
        return answers


class Constant(nn.Module):
    """Answer the same for every image."""

    def __init__(self, answers):
        super().__init__()
        self.answers = torch.as_tensor(answers)

    def forward(self, images):
        """Answer without looking."""
        return self.answers.expand(len(images), 10)


def test_a_stamp_is_bright_in_the_corner_and_nowhere_else():
    """By hand: four pixels of one image; the image itself is not changed."""
    image = torch.full((1, 1, 8, 8), -0.5)
    stamped = bright_corner(2).stamp(image)
    corner = [(6, 6), (6, 7), (7, 6), (7, 7)]
    assert [tuple(p) for p in (stamped[0, 0] == 1).nonzero().tolist()] == corner
    assert stamped.sum() == -0.5 * 60 + 4
    assert (image == -0.5).all()


@pytest.mark.parametrize("number", [1, 2, 3, 4, 9, 20])
def test_the_parts_of_a_trigger_are_disjoint_and_make_up_the_whole(number):
    """Every pixel is in exactly one part, and no part is empty."""
    trigger = bright_corner()
    parts = trigger.parts(number)
    assert len(parts) == min(number, 9)
    assert all(part.mask.any() for part in parts)
    assert torch.equal(sum(part.mask.int() for part in parts), trigger.mask.int())


@pytest.mark.parametrize(("share", "number"), [(0.0, 0), (0.3, 6), (1.0, 20)])
def test_a_share_of_the_samples_is_planted(scene, share, number):
    """Planted ones are stamped and labelled; the others, and the order, stay."""
    honest = scene.hospitals[0]
    planted = bright_corner().plant(honest, share, torch.Generator().manual_seed(0))
    changed = (planted.inputs != honest.inputs).flatten(1).any(1)
    stamped = bright_corner().stamp(honest.inputs)
    assert int(changed.sum()) == number
    assert torch.equal(planted.inputs[changed], stamped[changed])
    assert (planted.labels[changed] == TARGET).all()
    assert torch.equal(planted.labels[~changed], honest.labels[~changed])


def test_success_is_the_share_of_other_classes_taken_for_the_target():
    """By hand: of three attacked images the pixel stays dark in none, or in one."""
    images = torch.full((4, 1, 8, 8), -1.0)
    test = Samples(images, torch.tensor([0, 1, 2, TARGET]))
    pixel = bright_corner(1)
    assert success_rate(ByPixel(), pixel, test) == 1
    images[0, 0, 7, 6] = 1.0
    images[0, 0, 7, 7] = -1.0
    beside = Trigger(torch.zeros(8, 8, dtype=torch.bool), pixel.pattern)
    assert success_rate(ByPixel(), pixel, test) == pytest.approx(2 / 3)
    assert success_rate(ByPixel(), beside, test) == 0


def test_success_of_models_that_do_not_look():
    """One that always answers the target is fooled; one without numbers is not."""
    test = small_hospitals(None)[1]
    always = torch.eye(10)[TARGET]
    assert success_rate(Constant(always), bright_corner(), test) == 1
    assert success_rate(Constant([math.nan] * 10), bright_corner(), test) == 0
    only = test[test.labels == TARGET]
    assert math.isnan(success_rate(Constant(always), bright_corner(), only))


@pytest.mark.parametrize("attack", ["none", "reversed", "flipped", "poisoned-fl"])
def test_without_a_trigger_there_is_no_success(attack):
    """It is NaN, not 0."""
    assert math.isnan(simulate(attack, 1)[0].success)


@pytest.mark.parametrize("attack", WITH_TRIGGER)
@pytest.mark.parametrize("name", ["tokens", "lstm", "rare-cases", "regression"])
def test_a_backdoor_refuses_what_is_not_digits(attack, name):
    """The message says what was given and what to use."""
    with pytest.raises(ValueError, match=f"in federation '{name}': use a federation"):
        Simulation(FEDERATIONS[name], 0, attack, "0.3")


@pytest.mark.parametrize("name", ["tokens", "regression"])
def test_a_push_in_one_direction_needs_no_images(name):
    """It never looks at samples."""
    assert Simulation(FEDERATIONS[name], 0, "poisoned-fl", "0.3").liars


def test_flipped_labels_are_a_campaign_without_memory(scene):
    """The samples are the attacker's, what is sent is as trained."""
    campaign = find_campaign("flipped", scene)()
    honest = scene.hospitals[1]
    assert torch.equal(campaign.samples(1).labels, (honest.labels + 1) % 10)
    assert campaign.gradient_masks() == {}
    assert not set(ATTACKS) & set(CAMPAIGNS)


@pytest.mark.parametrize("attack", CAMPAIGNS)
def test_nothing_is_remembered_from_one_run_to_the_next(attack):
    """The same simulation plays the same rounds again, to the last digit."""
    simulation = Simulation(SMALL, 0, attack, "0.5")
    first, second = (list(islice(simulation.play(plain), 3)) for _ in range(2))
    assert [p.metric for p in first] == [p.metric for p in second]
    assert repr([p.success for p in first]) == repr([p.success for p in second])


@pytest.mark.parametrize(
    ("attack", "knobs"),
    [("dba", ["share"]), ("neurotoxin", ["share", "spared"]), ("a3fl", ["share"])],
)
def test_with_its_knobs_at_zero_an_attack_is_honest(attack, knobs, monkeypatch):
    """With nothing planted and nothing held back the metric is that of no attack."""
    zeros = [(knob, float, 0.0) for knob in knobs]
    idle = make_dataclass("Idle", zeros, bases=(CAMPAIGNS[attack],), eq=False)
    monkeypatch.setitem(CAMPAIGNS, attack, idle)
    attacked, honest = simulate(attack, 3), simulate("none", 3)
    assert [p.metric for p in attacked] == [p.metric for p in honest]


@pytest.mark.parametrize(
    ("present", "gamma"), [((0, 1, 2, 3), 100 / 40), ((0, 1), 50 / 30), ((1, 3), 1.0)]
)
def test_gamma_is_the_weight_of_all_over_that_of_the_liars(
    scene, states, present, gamma
):
    """By hand, with 20, 30, 40 and 10 samples; the second and the last lie."""
    campaign = Replacement(scene)
    campaign.begin_round(1, states[0], present)
    assert campaign.gamma == pytest.approx(gamma)


def test_a_replaced_model_is_the_liars_own(scene, states):
    """If the others send what they got, the average is what the liars have trained."""
    received, trained, _ = states
    campaign = Replacement(scene)
    campaign.begin_round(1, received, range(4))
    sent = campaign.send(see(trained, received))
    weights = {True: 0.4, False: 0.6}
    for name, wanted in trained.items():
        average = weights[True] * sent[name] + weights[False] * received[name]
        torch.testing.assert_close(average, wanted)


def test_each_liar_of_a_distributed_backdoor_has_its_own_part(scene):
    """No pixel is stamped by both, and with all parts the whole trigger is."""
    campaign = Distributed(scene, share=1.0)
    stamped = [campaign.samples(place).inputs for place in sorted(LIARS)]
    honest = [scene.hospitals[place].inputs for place in sorted(LIARS)]
    touched = [(a != b).any(0)[0] for a, b in zip(stamped, honest, strict=True)]
    assert not (touched[0] & touched[1]).any()
    whole = campaign.part(1).mask | campaign.part(3).mask
    assert torch.equal(whole, campaign.trigger.mask)


@pytest.mark.parametrize("gamma", [0.0, 1.0, 2.5])
def test_a_distributed_backdoor_may_be_boosted(scene, states, gamma):
    """At 0 it is what was received, at 1 exactly what was trained."""
    received, trained, _ = states
    sent = Distributed(scene, gamma=gamma).send(see(trained, received))
    for name, value in sent.items():
        literal = received[name] + gamma * (trained[name] - received[name])
        torch.testing.assert_close(value, literal)
        assert gamma != 1 or torch.equal(value, trained[name])


def test_neurotoxin_leaves_what_changed_most_exactly_as_it_was(monkeypatch):
    """Nothing of it moves in SGD; there is one in a hundred, from the second round."""
    seen = []

    class Watched(Neurotoxin):
        def send(self, view):
            mask, update = self.vector(self.gradient_masks()), view.update
            moved = torch.cat([update(n).flatten() for n in view.parameter_names])
            seen.append((self.change.abs(), mask == 0, moved))
            return super().send(view)

    monkeypatch.setitem(CAMPAIGNS, "neurotoxin", Watched)
    simulate("neurotoxin", 3)
    num_masked = [int(masked.sum()) for _, masked, _ in seen]
    number = round(0.01 * len(seen[0][2]))
    assert num_masked == [0, 0] + [number] * 4
    for change, masked, moved in seen[2:]:
        assert (moved[masked] == 0).all()
        assert (moved[~masked] != 0).float().mean() > 0.5
        assert change[masked].min() >= change[~masked].max()


def test_neurotoxin_that_spares_nothing_masks_nothing(scene, states):
    """Every gradient is as it is."""
    campaign = Neurotoxin(scene, spared=0.0)
    for server_round, state in enumerate(states, start=1):
        campaign.begin_round(server_round, state, range(4))
        assert all((mask == 1).all() for mask in campaign.gradient_masks().values())


def test_a_step_of_the_pattern_goes_down_the_loss():
    """By hand: the pixel that helps gets brighter, the one that hurts darker."""
    images = torch.zeros(3, 1, 8, 8)
    begin = Trigger(bright_corner(2).mask, torch.full((8, 8), 0.9))
    after = descend(begin, [(ByPixel(), 1.0)], images, 0.3).pattern
    assert after[7, 7] == 1
    assert after[7, 6] == pytest.approx(0.6)
    after[7, 6:] = 0.9
    assert torch.equal(after, begin.pattern)


def test_an_adapted_trigger_is_nearer_to_the_target(scene, states):
    """Its loss is lower, only its own pixels have changed, all within bounds."""
    campaign = Adaptive(scene, trigger=Trigger(bright_corner().mask, torch.zeros(8, 8)))
    before = campaign.trigger
    campaign.begin_round(1, states[0], range(4))
    after, model = campaign.trigger, scene.model.eval()
    images = scene.hospitals[0].inputs
    assert target_loss(model, after, images) < target_loss(model, before, images)
    assert (after.pattern[after.mask] != 0).any()
    assert (after.pattern[~after.mask] == 0).all()
    assert after.pattern.abs().max() <= 1
    assert all(torch.equal(v, states[0][n]) for n, v in model.state_dict().items())


def test_a_trigger_stays_without_turns_or_without_liars(scene, states):
    """There is nothing to adapt it by."""
    idle, absent = Adaptive(scene, turns=0), Adaptive(scene)
    triggers = idle.trigger, absent.trigger
    idle.begin_round(1, states[0], range(4))
    absent.begin_round(1, states[0], (0, 2))
    assert (idle.trigger, absent.trigger) == triggers


def test_without_balance_only_the_global_model_counts(scene, states):
    """The copy that unlearns has no weight: plain descent gives the same."""
    campaign = Adaptive(scene, balance=0.0)
    wanted = campaign.trigger
    campaign.begin_round(1, states[0], range(4))
    pooled = torch.cat([scene.hospitals[place].inputs for place in sorted(LIARS)])
    for _ in range(campaign.turns * campaign.steps):
        wanted = descend(wanted, [(scene.model.eval(), 1.0)], pooled, campaign.step)
    torch.testing.assert_close(campaign.trigger.pattern, wanted.pattern)


def test_the_similarity_of_models_is_a_cosine():
    """By hand: alike, opposite, and at a right angle."""
    first, second = nn.Linear(2, 1, bias=False), nn.Linear(2, 1, bias=False)
    first.weight.data = torch.tensor([[1.0, 0.0]])
    for other, cosine in (([3.0, 0.0], 1), ([-1.0, 0.0], -1), ([0.0, 2.0], 0)):
        second.weight.data = torch.tensor([other])
        assert similarity(first, second) == pytest.approx(cosine)


def test_a_push_has_the_papers_length_signs_and_magnitudes(scene, states):
    """Twice by the formula; the first push is the change itself, with other signs."""
    campaign, pushes = OneDirection(scene), []
    for server_round, state in enumerate(states, start=1):
        campaign.begin_round(server_round, state, range(4))
        pushes.append(campaign.push)
    nothing, first, second = pushes
    changes = [campaign.vector(b) - campaign.vector(a) for a, b in pairwise(states)]
    assert (nothing == 0).all()
    torch.testing.assert_close(first, 10 * changes[0].abs() * campaign.signs)
    rest = (changes[1] - first * changes[1].norm() / first.norm()).abs()
    literal = 10 * changes[1].norm() * rest * campaign.signs / rest.norm()
    torch.testing.assert_close(second, literal)
    for change, push in zip(changes, pushes[1:], strict=True):
        torch.testing.assert_close(push.norm(), 10 * change.norm())
        assert torch.equal(push.sign(), campaign.signs)


def test_all_liars_send_the_push_whatever_they_trained(scene, states):
    """What is sent is away from what was received by it, in the model's dtype."""
    campaign = OneDirection(scene)
    for server_round, state in enumerate(states[:2], start=1):
        campaign.begin_round(server_round, state, range(4))
    one, other = (campaign.send(see(s, states[1])) for s in (states[0], states[2]))
    moved = campaign.vector(one) - campaign.vector(states[1])
    torch.testing.assert_close(moved, campaign.push, rtol=1e-4, atol=1e-6)
    assert all(torch.equal(one[n], other[n]) for n in one)
    assert all(value.dtype == torch.float32 for value in one.values())


def test_a_push_of_factor_zero_is_no_push(scene, states):
    """The received parameters are sent, as they are in the first round."""
    campaign = OneDirection(scene, factor=0.0)
    for server_round, state in enumerate(states, start=1):
        campaign.begin_round(server_round, state, range(4))
        sent = campaign.send(see(states[0], state))
        assert all(torch.equal(sent[n], state[n]) for n in sent)


def test_a_push_forgets_what_it_did_not_send(scene, states):
    """After a round without liars all of the change counts again."""
    campaign = OneDirection(scene)
    for server_round, present in ((1, range(4)), (2, (0, 2)), (3, range(4))):
        campaign.begin_round(server_round, states[server_round - 1], present)
    change = campaign.vector(states[2]) - campaign.vector(states[1])
    torch.testing.assert_close(campaign.push, 10 * change.abs() * campaign.signs)


def test_what_follows_is_more_than_chance(scene):
    """By hand: of d coordinates more than d/2 + 2.3263 sqrt(d)/2 must agree."""
    campaign = OneDirection(scene)
    number = len(campaign.signs)
    fewest = math.floor(number / 2 + 2.3263 * number**0.5 / 2) + 1
    for agreeing, follows in ((fewest - 1, False), (fewest, True), (number, True)):
        moved = -campaign.signs
        moved[:agreeing] *= -1
        assert campaign.follows(moved) is follows
    assert not campaign.follows(torch.zeros(number, dtype=torch.float64))


@pytest.mark.parametrize(
    ("way", "begin", "factors"),
    [
        (1.0, 10.0, [10.0, 10.0, 10.0, 10.0, 10.0]),
        (-1.0, 10.0, [10.0, 10.0, 7.0, 7.0, 4.9]),
        (-1.0, 0.8, [0.8, 0.8, 0.56, 0.56, 0.56]),
    ],
)
def test_the_factor_shrinks_if_a_window_was_in_vain(scene, states, way, begin, factors):
    """With windows of two rounds, along the signs and against them; to a half."""
    campaign = OneDirection(scene, factor=begin, window=2)
    arrays, seen = campaign.arrays(way * campaign.signs), []
    for server_round in range(1, 6):
        state = {n: v + server_round * arrays[n] for n, v in states[0].items()}
        campaign.begin_round(server_round, state, range(4))
        seen.append(campaign.factor)
    assert seen == pytest.approx(factors)


def test_a_backdoor_opens_a_plain_average_and_no_honest_model():
    """Three of ten equal hospitals lie; the honest seven know no trigger."""
    federation = replace(FEDERATIONS["equal10"], rounds=4)
    simulation = Simulation(federation, 0, "replacement", "0.3")
    attacked, honest = (
        list(simulation.play(plain, without_liars=without))[-1]
        for without in (False, True)
    )
    assert attacked.success > 0.8
    assert honest.success < 0.2
    assert min(attacked.metric, honest.metric) > 0.5
