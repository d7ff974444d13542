"""Decisions, histories, headline, notes and settings: small logs summed up by hand."""

from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

from flwr_vdcs.cli.chain import verified
from flwr_vdcs.cli.reporting.histories import histories_of
from flwr_vdcs.cli.reporting.ledger import read_logs
from flwr_vdcs.cli.reporting.words.advice import advice_on, to_verify
from flwr_vdcs.cli.reporting.words.expectation import expectations, must_drop
from flwr_vdcs.cli.reporting.words.headline import headline
from flwr_vdcs.cli.reporting.words.notes import notes_on
from flwr_vdcs.cli.reporting.words.scorings import (
    SEE_WITHOUT_SAMPLES,
    WITHOUT_THRESHOLD,
)
from flwr_vdcs.cli.reporting.words.settings import runs_of, settings_of
from flwr_vdcs.cli.reporting.words.text import in_words, plural
from flwr_vdcs.report import OUT_OF_MEMORY, Decision, Run, below_quorum
from flwr_vdcs.scoring import SCORINGS
from tests.cli.logs import a_round, decision, three_rounds, write

VERDICTS = ["kept", "idle", "dropped", "quarantined", "banned"]


@pytest.fixture
def read(tmp_path):
    """Give a way to write reports into a new log and read them again."""
    numbers = count()
    return lambda reports: read_logs(
        [write(tmp_path / f"audit-{next(numbers)}.jsonl", reports)]
    )


def histories(log, names=None):
    """Sum up a log."""
    return histories_of(log, names or {})


def named(log, names=None):
    """Sum up a log, by client id."""
    return {each.client_id: each for each in histories(log, names)}


def counts(history) -> list[int]:
    """Give how often a client had each verdict."""
    return [history.counts[verdict] for verdict in VERDICTS]


def test_each_decision_is_a_row(read):
    """Eleven decisions in four lines, scored or not."""
    log = read(three_rounds())
    assert len(log.entry) == len(log.rows) == 11
    assert list(log.names) == ["a", "b", "c"]
    assert (log.client[1], log.verdict[1], log.score[1]) == (1, 2, 0.1)
    assert log.score[2] != log.score[2]
    assert log.is_training.tolist().count(False) == 2


def test_histories_count_by_hand(read):
    """b: dropped twice of two updates, then banned; c: quarantined once, kept twice."""
    table = named(read(three_rounds()))
    assert list(table) == ["b", "c", "a"]
    assert counts(table["a"]) == [3, 0, 0, 0, 0]
    assert counts(table["b"]) == [0, 0, 2, 0, 1]
    assert counts(table["c"]) == [2, 0, 0, 1, 0]
    assert [table[each].refused for each in "abc"] == [0, 3, 1]
    assert [table[each].evaluations for each in "abc"] == [0, 0, 1]
    assert [table[each].share_dropped for each in "abc"] == [0.0, 1.0, 0.0]
    assert all(each.first <= each.last for each in table.values())


def test_a_client_that_was_never_asked_has_no_share(read):
    """Nothing of nothing is not 0 %."""
    table = named(read([a_round(1, [decision("a", "banned")])]))
    assert table["a"].share_dropped is None


def test_flower_names_clients_unless_the_names_file_does(read):
    """The name of the log, the name of the file, and ids where two have one name."""
    ids = {"1": "north", "2": "south", "3": "south", "4": ""}
    log = read([a_round(1, [Decision(i, "kept", 0.5, name=n) for i, n in ids.items()])])
    labels = {each.client_id: each.label for each in histories(log, {"1": "first"})}
    assert labels == {"1": "first", "2": "south (2)", "3": "south (3)", "4": "4"}


def test_equals_are_sorted_as_people_count(read):
    """hospital-9 comes before hospital-10, ids without a name among them."""
    ids = ["10", "9", "x", "100"]
    log = read([a_round(1, [decision(each) for each in ids])])
    table = histories(log, {"10": "hospital-10", "9": "hospital-9"})
    assert [each.label for each in table] == ["100", "hospital-9", "hospital-10", "x"]


def test_the_headline_names_who_was_banned_or_dropped_most(read):
    """C was kept out once, b three times: less than half as often is not named."""
    log = read(three_rounds())
    expected = "In 3 rounds with 3 clients, look first at hospital-b (banned in 1)."
    assert headline(3, histories(log, {"b": "hospital-b"})) == expected


def test_the_headline_names_three_and_counts_the_others(read):
    """Five clients are dropped alike; names are whole."""
    ids = ["1234567890123456789", "2", "3", "4", "5"]
    log = read([a_round(1, [decision(each, "dropped") for each in ids])])
    assert headline(1, histories(log)) == (
        "In 1 round with 5 clients, look first at 2 (dropped in 1), 3 (dropped in 1), "
        "4 (dropped in 1) and 2 more."
    )
    first = read([a_round(1, [decision(ids[0], "quarantined")])])
    assert f"{ids[0]} (quarantined in 1)" in headline(1, histories(first))


def test_the_headline_of_a_quiet_log(read):
    """Nobody is accused where nobody was dropped."""
    log = read([a_round(1, [decision("a"), decision("b")])])
    expected = "In 1 round with 2 clients, every update was kept."
    assert headline(1, histories(log)) == expected


def test_clients_with_nothing_to_train_on_are_not_accused(read):
    """They are counted, and neither dropped nor something to look at."""
    log = read([a_round(1, [decision("a"), decision("b", "idle", reason="nothing")])])
    table = named(log)
    assert counts(table["b"]) == [0, 1, 0, 0, 0]
    assert table["b"].refused == 0
    assert table["b"].share_dropped is None
    expected = (
        "In 1 round with 2 clients, every update of a client that had trained was kept."
    )
    assert headline(1, histories(log)) == expected


def test_words_are_joined_as_in_a_sentence():
    """One, two and three names; one and two nouns."""
    assert in_words(["a"]) == "a"
    assert in_words(["a", "b"]) == "a and b"
    assert in_words(["a", "b", "c"]) == "a, b and c"
    assert (plural(1, "line"), plural(2000, "line")) == ("1 line", "2,000 lines")


def notes(log) -> str:
    """Give all notes on a log."""
    return "\n".join(notes_on(log))


def test_a_fixed_number_to_drop_is_explained(read):
    """Being dropped is no proof then."""
    assert notes(read(three_rounds())).startswith("1 update had to be dropped or")
    rounds = [a_round(1, [decision("a")]), a_round(2, [decision("a")], num_malicious=2)]
    assert notes(read(rounds)) == ""


def test_a_dry_run_is_told(read):
    """M = 0 drops nobody."""
    log = read([a_round(1, [decision("a")], num_malicious=0)])
    assert "Nobody was to be dropped (M = 0)" in notes(log)


def test_what_a_threshold_may_have_dropped_is_not_put_down_to_a_number(read):
    """The log does not say which it was, but the published score has no threshold."""
    one = {"num_malicious": 1, "scoring": "hardened"}
    log = read([a_round(n, [decision("a", "dropped")], **one) for n in (1, 2)])
    assert notes(log) == ""
    none = {"num_malicious": 0, "scoring": "hardened"}
    log = read([a_round(1, [decision("a")], **none)])
    assert notes(log).startswith("No update was to be dropped: none scored below")


def test_several_runs_are_told_with_their_first_rounds(read):
    """The second run of two rounds begins at round 3, the third at round 4."""
    log = read([a_round(n, [decision("a")]) for n in (1, 2, 1, 1)])
    assert "started 3 times" in notes(log)
    assert "new runs begin at rounds 3 and 4." in notes(log)


def test_unusual_rounds_are_listed(read):
    """Skipped, blind and tied rounds; blindness is nothing to hardened scoring."""
    tied = [decision("a", score=0.5), decision("b", "dropped", 0.5)]
    log = read(
        [
            a_round(1, [decision("a", "dropped")], skipped=True),
            a_round(2, tied),
            *(a_round(n, [decision("a")], sensitivity=1e-5) for n in range(3, 10)),
            a_round(10, [decision("a")], sensitivity=1e-5, scoring="hardened"),
            a_round(11, [decision("a")], sensitivity=None),
        ]
    )
    assert "Round 1 was skipped: too few updates." in notes(log)
    assert "had no memory" not in notes(log)
    assert "Round 2 was decided between equal scores." in notes(log)
    assert "Rounds 3, 4, 5, 6, 7 and 2 more were scored on features" in notes(log)
    assert "cannot be compared: hardened and paper." in notes(log)


def test_rounds_below_the_quorum_are_told_apart(read):
    """From those in which too few answered to compare."""
    few = [decision("a", "dropped", reason=below_quorum(1, 9, 0.5))]
    log = read([a_round(1, few, skipped=True), a_round(2, [decision("a", score=0.5)])])
    assert "Round 1 was skipped: fewer clients answered than the quorum" in notes(log)
    assert "too few updates" not in notes(log)


def test_rounds_in_which_all_scores_were_equal_are_told(read):
    """Nobody had to be dropped in them, so that is not said of every round."""
    same = [decision("a", score=0.5), decision("b", score=0.5)]
    log = read([a_round(n, same, scores_alike=n > 1) for n in (1, 2, 3)])
    expected = "Rounds 2 and 3 were kept whole: all clients had the same score."
    assert notes(log) == expected


def test_what_was_only_reported_is_told_as_such(read):
    """Verdicts are what would have been; in part of a log the rounds are named."""
    pair = [decision("a"), decision("b", "dropped", 0.1)]
    only = read([a_round(n, pair, report_only=True) for n in (1, 2)])
    assert notes(only).startswith("The plugin only reported (report_only):")
    assert "look first at b (would have been dropped in 2)." in headline(
        2, histories(only), report_only=only.is_report_only
    )
    assert settings_of(only, [Path("x")], "")["Report only"] == "yes"
    partly = read([a_round(n, pair, report_only=n == 1) for n in (1, 2)])
    assert "Round 1 was only reported on, and not changed." in notes(partly)
    assert settings_of(partly, [Path("x")], "")["Report only"] == "in 1 of 2 rounds"


def test_rounds_without_memory_are_told_apart(read):
    """More clients would not help there."""
    lost = [decision("a", "dropped", reason=OUT_OF_MEMORY)]
    log = read([a_round(n, lost, skipped=True) for n in (1, 2)])
    assert "Rounds 1 and 2 were skipped: the server had no memory." in notes(log)
    assert "too few" not in notes(log)


def test_lines_left_out_and_disorder_are_told(tmp_path):
    """Both can mean that something is missing."""
    old, new = tmp_path / "old.jsonl", tmp_path / "new.jsonl"
    write(old, [a_round(1, [decision("a")])])
    write(new, [a_round(2, [decision("a")])])
    new.write_text(new.read_text().replace('"time": "2', '"time": "3') + "torn\n")
    found = notes(read_logs([new, old]))
    assert "1 line of the log could not be read" in found
    assert "give the oldest file first" in found


def test_the_settings_are_those_of_the_log(read):
    """Spans and lists where rounds differ, times in UTC."""
    log = read(
        [
            a_round(1, [decision("a")], device="cuda", seconds=3.0),
            a_round(2, [decision("a")], num_malicious=3, seconds=1.0, skipped=True),
        ]
    )
    told = settings_of(log, [Path("x/audit.jsonl")], "whole")
    [run] = runs_of(log)
    assert run.title == "Run 1: rounds 1 to 2"
    assert run.settings["Updates to drop in a round"] == "1 to 3"
    assert run.settings["Device"] == "cpu and cuda"
    assert run.settings["Scoring"] == "paper"
    assert run.settings["M as set"].startswith("not in the log")
    assert told["Training rounds"] == "2"
    assert told["Skipped rounds"] == "1"
    assert told["Time of a check"] == "2 s (median)"
    assert told["Chain of hashes"] == "whole"
    assert told["Read from"] == "audit.jsonl"
    assert told["First line (UTC)"] == f"{log.entries[0].line.time:%Y-%m-%d %H:%M}"


AUTO = Run("ab", "auto", -1.0, -2.5, 100, "parole of 3", {"torch": "2.9", "flwr": "1"})


def run_of(num_malicious, run_id="ab", **changes):
    """Make a round of a run in which M was set to something."""
    run = replace(AUTO, id=run_id, num_malicious=num_malicious)
    pair = [decision("a"), decision("b", "dropped", -2.0)]
    told = {"scoring": "hardened", "num_malicious": 1} | changes
    return replace(a_round(1, pair, **told), run=run)


@pytest.mark.parametrize(
    ("num_malicious", "expected", "must"),
    [
        ("auto", "Nobody had to be dropped (M = auto): only updates that", False),
        (0, "Nobody was to be dropped (M = 0)", False),
        (1, "1 update had to be dropped or quarantined in every round", True),
        (3, "3 updates had to be dropped or quarantined in every round", True),
        (0.2, "20% of the updates had to be dropped or quarantined", True),
    ],
)
def test_whether_somebody_had_to_be_dropped_is_what_was_set(
    read, num_malicious, expected, must
):
    """M as set, not how many were dropped in a round."""
    log = read([run_of(num_malicious)])
    assert expected in notes(log)
    assert must_drop(log) is must


def test_each_m_is_told_with_its_runs(read):
    """Runs of the same M together."""
    log = read([run_of("auto", "x"), run_of(2, "y"), run_of("auto", "z")])
    first, second = expectations(log)
    assert first.startswith("Runs 1 and 3: Nobody had to be dropped (M = auto)")
    assert second.startswith("Run 2: 2 updates had to be dropped")


def test_runs_are_listed_with_what_decided(read):
    """The last first; the versions are those of the log."""
    second, first = runs_of(read([run_of("auto", "x"), run_of(2, "y")]))
    assert (second.title, first.title) == ("Run 2: round 2", "Run 1: round 1")
    assert first.settings["Run id"] == "x"
    assert first.settings["Threshold for dropping"] == "-1"
    assert second.settings["Threshold for dropping"] == "-1, not used: M is a number"
    assert first.settings["Threshold for bans"] == "-2.5"
    assert first.settings["Virtual samples (N)"] == "100"
    assert first.settings["Bans (reputation)"] == "parole of 3"
    assert first.settings["Versions that decided"] == "torch 2.9, flwr 1"


def advice(log, path) -> list[str]:
    """Give the titles of what to do."""
    steps = advice_on(log, histories(log), verified([path]))
    return [step.title.split(":")[0] for step in steps]


def test_the_advice_depends_on_what_was_found(read, tmp_path):
    """Whom to call about what, and nothing where nothing was found."""
    log = read(three_rounds())
    path = tmp_path / "audit-0.jsonl"
    assert advice(log, path) == [
        "Banned",
        "Do not take a single drop for proof.",
        "Dropped",
        "Quarantined",
    ]
    assert advice(read([a_round(1, [decision("a")])]), path) == [
        "Nobody needs to be called."
    ]
    skipped = [a_round(1, [decision("a", "idle")], skipped=True)]
    assert advice(read(skipped), path)[1:] == [
        "Idle",
        "Skipped rounds",
    ]
    step = to_verify([Path("a log.jsonl")], verified([path]))
    assert step.command == "flwr-vdcs verify 'a log.jsonl' --expect HASH"
    path.write_bytes(path.read_bytes().replace(b'"dropped"', b'"kept"', 1))
    assert advice(log, path)[0] == "Do not rely on this page yet."


def test_what_is_said_of_scorings_holds():
    """It is written down, as importing them would take seconds."""
    needless = {n for n, each in SCORINGS.items() if not each.needs_sensitivity}
    assert needless == SEE_WITHOUT_SAMPLES
    assert {n for n, each in SCORINGS.items() if each.threshold is None} == {
        *WITHOUT_THRESHOLD
    }
