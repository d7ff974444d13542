"""Decisions, histories, headline, notes and settings: small logs summed up by hand."""

import math
from itertools import count
from pathlib import Path

import pytest

pytest.importorskip("pandas", reason="the report extra is not installed")
pytest.importorskip("pydantic", reason="the report extra is not installed")

from flwr_vdcs.cli.reporting.headline import headline, in_words, plural
from flwr_vdcs.cli.reporting.notes import notes_on
from flwr_vdcs.cli.reporting.reading.decisions import decisions_of
from flwr_vdcs.cli.reporting.reading.history import histories_of
from flwr_vdcs.cli.reporting.reading.log import read_log
from flwr_vdcs.cli.reporting.settings import settings_of
from flwr_vdcs.report import OUT_OF_MEMORY
from tests.cli.logs import a_round, decision, three_rounds, write

VERDICTS = ["kept", "idle", "dropped", "quarantined", "banned"]


@pytest.fixture
def read(tmp_path):
    """Give a way to write reports into a new log and read them again."""
    numbers = count()
    return lambda reports: read_log(
        [write(tmp_path / f"audit-{next(numbers)}.jsonl", reports)]
    )


def histories(log, names=None):
    """Sum up a log."""
    return histories_of(decisions_of(log, names or {}))


def test_each_decision_is_a_row(read):
    """Eleven decisions in four lines, scored or not, with the client's name."""
    table = decisions_of(read(three_rounds()), {"b": "hospital-b"})
    assert len(table) == 11
    row = table.iloc[1]
    assert (row["round"], row["client"], row["client_id"]) == (1, "hospital-b", "b")
    assert (row["verdict"], row["score"]) == ("dropped", 0.1)
    assert math.isnan(table.iloc[2]["score"])
    assert list(table["phase"]).count("evaluate") == 2


def test_histories_count_by_hand(read):
    """b: dropped twice of two updates, then banned; c: quarantined once, kept twice."""
    table = histories(read(three_rounds()))
    assert list(table.index) == ["b", "c", "a"]
    assert table.loc["a", VERDICTS].tolist() == [3, 0, 0, 0, 0]
    assert table.loc["b", VERDICTS].tolist() == [0, 0, 2, 0, 1]
    assert table.loc["c", VERDICTS].tolist() == [2, 0, 0, 1, 0]
    assert table["not_kept"].to_dict() == {"a": 0, "b": 3, "c": 1}
    assert table["evaluations"].to_dict() == {"a": 0, "b": 0, "c": 1}
    assert table["share_dropped"].to_dict() == {"a": 0.0, "b": 1.0, "c": 0.0}
    assert (table["first"] <= table["last"]).all()


def test_a_client_that_was_never_asked_has_no_share(read):
    """Nothing of nothing is not 0 %."""
    table = histories(read([a_round(1, [decision("a", "banned")])]))
    assert math.isnan(table.loc["a", "share_dropped"])


def test_equals_are_sorted_as_people_count(read):
    """hospital-9 comes before hospital-10, ids without a name among them."""
    ids = ["10", "9", "x", "100"]
    log = read([a_round(1, [decision(each) for each in ids])])
    table = histories(log, {"10": "hospital-10", "9": "hospital-9"})
    assert table["client"].tolist() == ["100", "hospital-9", "hospital-10", "x"]


def test_the_headline_names_who_was_banned_or_dropped_most(read):
    """C was kept out once, b three times: less than half as often is not named."""
    log = read(three_rounds())
    expected = "In 3 rounds with 3 clients, look first at hospital-b (banned in 1)."
    assert headline(3, histories(log, {"b": "hospital-b"})) == expected


def test_the_headline_names_three_and_counts_the_others(read):
    """Five clients are dropped alike; long ids are shortened."""
    ids = ["1234567890123456789", "2", "3", "4", "5"]
    log = read([a_round(1, [decision(each, "dropped") for each in ids])])
    assert headline(1, histories(log)) == (
        "In 1 round with 5 clients, look first at 2 (dropped in 1), 3 (dropped in 1), "
        "4 (dropped in 1) and 2 more."
    )
    first = read([a_round(1, [decision(ids[0], "quarantined")])])
    assert "1234567…3456789 (quarantined in 1)" in headline(1, histories(first).tail(1))


def test_the_headline_of_a_quiet_log(read):
    """Nobody is accused where nobody was dropped."""
    log = read([a_round(1, [decision("a"), decision("b")])])
    expected = "In 1 round with 2 clients, every update was kept."
    assert headline(1, histories(log)) == expected


def test_clients_with_nothing_to_train_on_are_not_accused(read):
    """They are counted, and neither dropped nor something to look at."""
    log = read([a_round(1, [decision("a"), decision("b", "idle", reason="nothing")])])
    table = histories(log)
    assert table.loc["b", VERDICTS].tolist() == [0, 1, 0, 0, 0]
    assert table.loc["b", "not_kept"] == 0
    assert math.isnan(table.loc["b", "share_dropped"])
    expected = (
        "In 1 round with 2 clients, every update of a client that had trained was kept."
    )
    assert headline(1, table) == expected


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
    assert notes(read(three_rounds())).startswith("1 update had to be dropped in every")
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
    assert "Round 1 was skipped: too few updates to compare." in notes(log)
    assert "had no memory" not in notes(log)
    assert "Round 2 was decided between equal scores." in notes(log)
    assert "Rounds 3, 4, 5, 6, 7 and 2 more were scored on features" in notes(log)
    assert "cannot be compared: hardened and paper." in notes(log)


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
    table = decisions_of(only, {})
    assert table["told"].tolist() == ["kept", "would have been dropped"] * 2
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
    found = notes(read_log([new, old]))
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
    assert told["Updates to drop (M)"] == "1 to 3"
    assert told["Device"] == "cpu and cuda"
    assert told["Scoring"] == "paper"
    assert told["Training rounds"] == "2"
    assert told["Skipped rounds"] == "1"
    assert told["Time of a check"] == "2 s (median)"
    assert told["Chain of hashes"] == "whole"
    assert told["Read from"] == "audit.jsonl"
    assert told["First line (UTC)"] == f"{log.rounds[0].line.time:%Y-%m-%d %H:%M}"
