"""Federations as hospitals are: who gets what, and what is counted of a run."""

from itertools import product
from math import nan

import numpy as np
import pytest
import torch
from federations import tasks
from federations.attacking import choose_liars
from federations.catalogue import federations
from federations.commit import commit
from federations.measuring import (
    AUTO,
    FIELDS,
    HONEST_ALONE,
    PLAIN,
    RUN,
    count_false_alarms,
    rows_of,
    summarise,
)
from federations.samples import Samples, deal_shards, divide, scaled
from federations.simulation import Simulation, hardened, plain

KNOWN = {each.name: each for each in federations(None, "")}


def test_each_hospital_gets_its_number_and_no_sample_twice():
    """Whatever the skew."""
    samples = Samples(torch.arange(60)[:, None], torch.arange(60) % 3)
    parts = divide(samples, (30, 20, 7), 0.3, np.random.default_rng(0))
    assert [len(part) for part in parts] == [30, 20, 7]
    seen = torch.cat([part.inputs for part in parts]).flatten()
    assert len(seen.unique()) == len(seen)


def test_shards_give_each_hospital_few_classes_and_no_sample_twice():
    """Two shards of one class each, of six classes of ten."""
    samples = Samples(torch.arange(60)[:, None], torch.arange(60) % 6)
    parts = deal_shards(samples, 3, 2, np.random.default_rng(0))
    assert [len(part.labels.unique()) for part in parts] == [2, 2, 2]
    assert len(torch.cat([part.inputs for part in parts]).unique()) == 60


def test_sizes_keep_their_ratios():
    """But for those that would be below three."""
    assert scaled((100, 50, 1), 302) == (200, 100, 3)


@pytest.mark.parametrize(
    ("who", "expected"),
    [("nobody", ""), ("largest", "1"), ("median", "0"), ("smallest", "2")],
)
def test_who_lies(who, expected):
    """By the number of samples."""
    assert choose_liars(who, (20, 50, 10)) == frozenset(map(int, expected))


def test_a_share_of_all_lies_spread_over_the_sizes():
    """The largest and the smallest are among three of ten."""
    liars = choose_liars("0.3", range(10, 0, -1))
    assert len(liars) == 3
    assert {0, 9} <= liars


def test_names_are_unique_and_some_are_held_out():
    """Both kinds exist without any data of one's own."""
    assert len(KNOWN) == len(federations(None, ""))
    assert {each.is_held_out for each in KNOWN.values()} == {True, False}


def row(rule: str, server_round: int, client: int, verdict: str, metric: float) -> dict:
    """Make a row of a federation of an honest client of 30 and a liar of 10."""
    values = ("f", False, "reversed", "smallest", 0, rule, server_round, metric, 0.5)
    values += ("", client, (30, 10)[client], client, verdict, "", "", "c")
    return dict(zip(FIELDS, map(str, values), strict=True))


def test_a_run_is_put_beside_the_same_without_the_plugin():
    """By hand: the honest one is kept in one of two rounds, the liar never."""
    rows = [
        *(row(PLAIN, n, c, "", 0.4) for n, c in product((1, 2), (0, 1))),
        *(row(HONEST_ALONE, n, 0, "", 0.8) for n in (1, 2)),
        row("auto", 1, 0, "kept", 0.6),
        row("auto", 1, 1, "dropped", 0.6),
        row("auto", 2, 0, "dropped", 0.8),
        row("auto", 2, 1, "dropped", 0.8),
    ]
    (line,) = summarise(rows)
    assert line["metric"] == pytest.approx(0.7)
    assert (line["without plugin"], line["honest alone"]) == (0.4, 0.8)
    assert (line["worst honest kept"], line["honest data kept"]) == (0.5, 0.5)
    assert (line["honest dropped"], line["liars dropped"]) == (0.5, 1)
    assert line["commit"] == "c"


def score_of(federation: str, score: str, **others: str) -> dict:
    """Make a row of a held-out federation that nobody attacks."""
    run = {"federation": federation, "is held out": "True", "attack": "none"}
    return {**run, "rule": AUTO, "score": score, **others}


def test_false_alarms_by_hand():
    """Of scores -0.5, -0.7, -1.1 and -1.6 three, two and one are below.

    The thresholds ln(alpha) / ln(100) are -0.65, -1 and -1.5.
    """
    rows = [
        *(score_of("f", score) for score in ("-0.5", "-0.7", "-1.1", "-1.6")),
        score_of("g", "0.3"),
        score_of("g", ""),
        score_of("g", "-9", attack="reversed"),
        score_of("g", "-9", rule="hardened, M given"),
        score_of("h", "-9", **{"is held out": "False"}),
    ]
    assert [list(line.values()) for line in count_false_alarms(rows)] == [
        ["f", 4, 0.75, 0.5, 0.25],
        ["g", 1, 0, 0, 0],
        ["all", 5, 0.6, 0.4, 0.2],
    ]


def test_without_a_clone_there_is_no_commit(monkeypatch):
    """As in an unpacked archive, or where git is not installed."""
    monkeypatch.setenv("PATH", "")
    assert commit() == ""


@pytest.mark.parametrize(
    ("answers", "expected"), [((1, 3), 1), ((2, 2), 0), ((1e9, 3), -1), ((nan, 3), -1)]
)
def test_explained_variance_is_least_for_a_model_that_is_broken(answers, expected):
    """R² of two values: perfect, the mean, far off, and no number at all."""
    found = tasks.REGRESSION.metric(
        torch.tensor(answers)[:, None].float(), torch.tensor([1.0, 3.0])
    )
    assert found == pytest.approx(expected)


def test_a_federation_is_protected_from_a_reversed_hospital():
    """The same start and training with and without the plugin; all rows are there."""
    simulation = Simulation(KNOWN["lidc-batchnorm"], 0, "reversed", "largest")
    played = {
        rule: [p for _, p in zip(range(3), simulation.play(strategy), strict=False)]
        for rule, strategy in {"auto": hardened(is_told=False), PLAIN: plain}.items()
    }
    assert played["auto"][-1].metric > played[PLAIN][-1].metric
    run = dict.fromkeys(RUN, "")
    rows = [*rows_of(run, simulation, played["auto"][-1])]
    assert [each["client"] for each in rows] == [0, 1, 2, 3]
    assert [each["verdict"] for each in rows] == ["dropped", "kept", "kept", "kept"]
    assert all(set(each) == set(FIELDS) for each in rows)
