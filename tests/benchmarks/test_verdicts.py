"""Recorded rounds: what is recorded, attacked, judged and drawn."""

import csv
import math
from dataclasses import replace

import pytest
import torch
from bloodmnist.model import build_model
from verdicts import recording as recordings
from verdicts.attacked import ATTACKS, attack
from verdicts.averages import (
    false_drops,
    means,
    num_rounds,
    open_attacks,
    overall,
    rows_where,
)
from verdicts.heatmap import draw
from verdicts.judging import COLUMNS, NO_ATTACK, Sheet, judge, names
from verdicts.recording import POISONINGS, Recording, Trajectory, record
from verdicts.rules import (
    RULES,
    Judge,
    cosine_scores,
    is_possible,
    norm_scores,
    updates_of,
)

TRAJECTORY = Trajectory("groupnorm-cnn", "digits", 10.0, 0)
NUM_CLIENTS = 10


def moved(state, generator, scale=0.05):
    """Move along a direction that all clients share, and a little along their own."""
    shared = torch.Generator().manual_seed(1)
    return {
        name: value
        + scale * torch.randn(value.shape, generator=shared)
        + 0.3 * scale * torch.randn(value.shape, generator=generator)
        for name, value in state.items()
    }


@pytest.fixture(scope="module")
def recorded():
    """Make a round of honest-like updates of the small model."""
    received = build_model(0, 10, "groupnorm-cnn").state_dict()
    generator = torch.Generator().manual_seed(2)
    honest = [moved(received, generator) for _ in range(NUM_CLIENTS)]
    flipped = [{n: 2 * received[n] - state[n] for n in state} for state in honest[:4]]
    poisoned = dict.fromkeys(POISONINGS, flipped)
    momentum = {n: moved(received, generator)[n] - received[n] for n in received}
    return Recording(TRAJECTORY, "late", 1, received, momentum, honest, poisoned, 0.5)


@pytest.fixture
def referee(recorded):
    """Make the judge of that round."""
    return Judge(recorded)


def test_a_trajectory_is_recorded_once_and_read_back(tmp_path, monkeypatch):
    """One round of real training: ten honest clients and four of each poisoning."""
    monkeypatch.setattr(recordings, "ROUNDS", {"early": 1})
    monkeypatch.setattr(recordings, "LOCAL_EPOCHS", (1,))
    assert list(record(TRAJECTORY, "", tmp_path)) == [f"{TRAJECTORY.name}, round 1"]
    read = recordings.read(tmp_path, TRAJECTORY, "early", 1)
    assert recordings.is_recorded(TRAJECTORY, tmp_path)
    assert len(read.honest) == NUM_CLIENTS
    assert {name: len(states) for name, states in read.poisoned.items()} == {
        "flipped": 4,
        "backdoor": 4,
    }
    start = build_model(0, 10, "groupnorm-cnn").state_dict()
    assert all(torch.equal(read.received[n], start[n]) for n in start)
    assert read.num_classes == 10
    assert not torch.equal(
        read.honest[0]["14.weight"], read.poisoned["flipped"][0]["14.weight"]
    )


@pytest.mark.parametrize("name", ATTACKS)
def test_only_the_first_clients_attack(recorded, name):
    """Honest updates are handed on as they are, poisoned ones are finite and others."""
    attacked = attack(recorded, name, 3)
    assert [a is b for a, b in zip(attacked.states, recorded.honest, strict=True)] == (
        [False] * 3 + [True] * 7
    )
    assert all(torch.isfinite(v).all() for s in attacked.states for v in s.values())


def test_an_attacker_with_the_current_only_turns_what_is_across_it(recorded):
    """Every layer is as long, and goes the momentum's way as far; the rest turns."""
    attacked = attack(recorded, "with the current", 3)
    for name, start in recorded.received.items():
        honest, sent = (
            (states[0][name] - start).double().flatten()
            for states in (recorded.honest, attacked.states)
        )
        way = recorded.momentum[name].double().flatten()
        close = {"rtol": 1e-4, "atol": 1e-5}
        torch.testing.assert_close(sent.norm(), honest.norm(), **close)
        torch.testing.assert_close(sent @ way, honest @ way, **close)
        if name == "0.weight":
            along = ((honest @ way) / way.norm() / honest.norm()).item() ** 2
            cosine = (sent @ honest / sent.norm() / honest.norm()).item()
            assert cosine == pytest.approx(2 * along - 1, abs=1e-3)


def test_a_boost_of_a_hundred_is_found_by_sizes_and_not_by_cosine(recorded, referee):
    """Hardened scoring and the norm drop all three; a cosine does not see length."""
    rows = {r.rule: r for r in judge(referee, recorded, 3, "boost-100", RULES)}
    assert rows["hardened"].recall == rows["hardened, auto"].recall == 1
    assert rows["norm"].recall == rows["multi-krum"].recall == 1
    assert rows["delta cosine"].recall < 1
    assert rows["hardened"].damage < 0.5 < rows["mean"].damage
    assert rows["mean"].recall is None
    assert rows["hardened"].margin > 0


def test_without_attack_auto_drops_nobody_and_the_mean_is_exact(recorded, referee):
    """Recall has no meaning then; others drop as many honest clients as they must."""
    rows = {r.rule: r for r in judge(referee, recorded, 3, NO_ATTACK, RULES)}
    assert rows["hardened, auto"].num_dropped == 0
    assert rows["hardened"].num_dropped == rows["hardened"].false_drops == 3
    assert rows["mean"].damage == 0
    assert {row.recall for row in rows.values()} == {None}


def test_one_of_three_clients_is_found(recorded):
    """Few clients are a round of their own, with one row known for each number."""
    few = recorded.of_first(3)
    (row,) = judge(Judge(few), few, 1, "boost-100", ["hardened, auto"])
    assert (row.num_clients, row.num_dropped, row.recall) == (3, 1, 1)
    assert few.honest == recorded.honest[:3]
    assert few.poisoned is recorded.poisoned


def test_krum_is_left_out_where_it_is_not_defined():
    """It needs 2 M + 3 clients."""
    assert is_possible("multi-krum", 9, 3)
    assert not is_possible("multi-krum", 10, 4)


def test_a_mistaken_number_drops_one_less_or_one_more(recorded, referee):
    """Of three boosters two are found; or all, and an honest client with them."""
    rules = ["hardened, one too few", "hardened, one too many"]
    few, many = judge(referee, recorded, 3, "boost-100", rules)
    assert (few.recall, few.false_drops) == (2 / 3, 0)
    assert (many.recall, many.false_drops) == (1, 1)


def test_simple_scores_by_hand():
    """Cosines of (1, 0), (0, 2), (-3, 0) with the others: -1/2, 0, -1/2."""
    deltas = torch.tensor([[1.0, 0.0], [0.0, 2.0], [-3.0, 0.0]])
    torch.testing.assert_close(cosine_scores(deltas), torch.tensor([-0.5, 0.0, -0.5]))
    torch.testing.assert_close(norm_scores(deltas), torch.tensor([-1.0, -2.0, -3.0]))


def test_attacks_on_buffers_are_left_out_where_there_are_none(recorded):
    """A model without buffers has nothing to poison there."""
    assert "buffer-only" not in names(recorded)
    with_buffers = replace(
        recorded, received={**recorded.received, "bn.running_mean": torch.zeros(1)}
    )
    assert "buffer-only" in names(with_buffers)


def test_a_sheet_goes_on_where_it_was_and_is_drawn(recorded, referee, tmp_path):
    """What was judged is known when the file is opened again."""
    path = tmp_path / "verdicts.csv"
    sheet = Sheet(path)
    sheet.add([*judge(referee, recorded, 3, "boost-100", ["hardened", "norm"])])
    sheet.add([*judge(referee, recorded, 3, NO_ATTACK, ["hardened, auto"])])
    assert Sheet(path).has(recorded, 3, "boost-100")
    assert not Sheet(path).has(recorded, 2, "boost-100")
    assert not Sheet(path).has(recorded.of_first(9), 3, "boost-100")
    rows = list(csv.DictReader(path.read_text().splitlines()))
    assert list(rows[0]) == COLUMNS
    assert means(rows, "recall")["boost-100", "hardened"] == 1
    assert false_drops(rows, "hardened, auto") == 0
    draw(rows, tmp_path / "picture.png")
    assert (tmp_path / "picture.png").stat().st_size > 1000


def test_averages_by_hand_leave_out_attacks_that_hide():
    """Recalls of 1 and 1/2 of one attack, and 1/4 of another, average to 1/2."""
    where = {"seed": "0", "stage": "late", "local_epochs": "1", "rule": "norm"}
    values = {"boost-2": ["1", "0.5"], "sign-flip": ["0.25"], "alie": ["0"]}
    rows = [
        {**where, "attack": attack, "recall": recall}
        for attack, recalls_ in values.items()
        for recall in recalls_
    ]
    assert overall(rows, "recall", open_attacks(rows)) == {"norm": 0.5}
    assert num_rounds([*rows, {**rows[0], "seed": "1"}]) == 2


def test_false_drops_are_shares_of_the_clients_there_were():
    """Two of ten and none of four, where nobody attacks: a tenth."""
    row = {"attack": NO_ATTACK, "rule": "norm"}
    rows = [
        {**row, "num_clients": "10", "num_dropped": "2"},
        {**row, "num_clients": "4", "num_dropped": "0"},
        {**row, "num_clients": "4", "num_dropped": "4", "attack": "alie"},
    ]
    assert false_drops(rows, "norm") == pytest.approx(0.1)
    assert math.isnan(false_drops(rows, "dnc"))


def test_conditions_choose_rows():
    """Values of one column are alternatives, columns add up, and none choose all."""
    rows = [{"stage": s, "rule": r} for s in ("early", "late") for r in ("norm", "dnc")]
    assert rows_where(rows, []) == rows
    assert rows_where(rows, ["stage=early", "stage=late"]) == rows
    assert rows_where(rows, ["stage=late", "rule=dnc"]) == [rows[3]]


@pytest.mark.parametrize(
    ("condition", "hint"),
    [
        ("stage=lat", "one of early, late"),
        ("stage", "one of early, late"),
        ("stag=late", "a column of stage, rule"),
    ],
)
def test_a_condition_that_nothing_fulfils_is_an_error(condition, hint):
    """It says what there is."""
    rows = [{"stage": s, "rule": "norm"} for s in ("early", "late")]
    with pytest.raises(ValueError, match=f"got '{condition}'; allowed is .* {hint}"):
        rows_where(rows, [condition])


def test_updates_are_deltas_of_parameters(recorded):
    """One row a client, as long as the model has parameters."""
    updates = updates_of(attack(recorded, "free-rider", 1))
    num_parameters = sum(value.numel() for value in recorded.received.values())
    assert updates.parameters.shape == (NUM_CLIENTS, num_parameters)
    assert updates.parameters[0].norm() < 0.01 * updates.parameters[1].norm()
