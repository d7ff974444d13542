"""Reading audit logs: what is a round, how rounds are numbered, and what is no log."""

import json
from dataclasses import fields as dataclass_fields
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from flwr_vdcs.cli import app
from flwr_vdcs.cli.outcome import InputError
from flwr_vdcs.cli.reading.labels import labels_of, printable
from flwr_vdcs.cli.reading.line import read_line
from flwr_vdcs.cli.reading.names import read_names
from flwr_vdcs.cli.reporting.ledger import MAX_ROWS, read_logs
from flwr_vdcs.cli.reporting.words.notes import notes_on
from flwr_vdcs.report import RoundReport, Run
from tests.cli.logs import (
    a_round,
    an_evaluation,
    change,
    decision,
    three_rounds,
    write,
)

RUN = Run("ab", "auto", -1.0, -2.5, 100, "", {"torch": "2.9"})


@pytest.fixture
def path(tmp_path):
    """Give a place for a log."""
    return tmp_path / "audit.jsonl"


def places(log) -> list[tuple[int, int, int, str]]:
    """Give number, run, server round and phase of each line."""
    return [
        (each.number, each.run, each.line.server_round, each.line.phase)
        for each in log.entries
    ]


def test_everything_that_was_written_is_read(path):
    """A line gives back the report that it was made of."""
    reports = three_rounds()
    reports[0] = replace(reports[0], run=RUN, bans=("b",), note="look")
    log = read_logs([write(path, reports)])
    fields = [field.name for field in dataclass_fields(RoundReport)]
    for raw, report in zip(path.read_bytes().splitlines(), reports, strict=True):
        line = read_line(raw)
        assert all(getattr(line, f) == getattr(report, f) for f in fields)
    assert log.num_unreadable == 0
    assert log.num_runs == 1
    assert log.is_in_order


def test_a_second_run_is_numbered_on(path):
    """Two rounds, a restart, and two more give the numbers 1 to 4."""
    rounds = [a_round(n, [decision("a")]) for n in (1, 2, 1, 2)]
    log = read_logs([write(path, rounds)])
    assert places(log) == [
        (1, 1, 1, "train"),
        (2, 1, 2, "train"),
        (3, 2, 1, "train"),
        (4, 2, 2, "train"),
    ]
    assert log.num_runs == 2


def test_runs_are_told_apart_by_their_ids(path):
    """Also where the rounds of the second seem to go on, as its first are missing."""
    other = replace(RUN, id="cd")
    rounds = [
        replace(a_round(n, [decision("a")]), run=run)
        for n, run in ((1, RUN), (2, RUN), (3, other), (4, other))
    ]
    log = read_logs([write(path, rounds)])
    assert [each.run for each in log.entries] == [1, 1, 2, 2]
    assert [each.number for each in log.entries] == [1, 2, 5, 6]


def test_an_evaluation_belongs_to_the_round_before_it(path):
    """It has the same number and starts no run; a second one of the round does."""
    evaluation = an_evaluation(1, [decision("a", "quarantined")])
    training = a_round(1, [decision("a")])
    log = read_logs([write(path, [training, evaluation, training, evaluation])])
    assert [each.number for each in log.entries] == [1, 1, 2, 2]
    assert [each.run for each in log.entries] == [1, 1, 2, 2]
    assert len(log.of("train")) == len(log.of("evaluate")) == 2


def test_what_became_of_a_round_belongs_to_it(path):
    """A line on its aggregate, without decisions, starts no run and is no round."""
    training = a_round(1, [decision("a")])
    lost = replace(training, phase="aggregate", decisions=(), note="not finite")
    evaluation = an_evaluation(1, [decision("a", "quarantined")])
    log = read_logs([write(path, [training, lost, evaluation, training])])
    assert [each.number for each in log.entries] == [1, 1, 1, 2]
    assert len(log.of("train")) == 2
    assert notes_on(log)[-1] == "Round 1 was lost: what was made of it was not finite."
    found = CliRunner().invoke(app, ["watch", str(path), "--once"])
    assert "lost: 1" in found.stdout


def test_a_log_may_begin_in_the_middle(path):
    """After a rotation the first round keeps its number, and so do gaps."""
    rounds = [a_round(n, [decision("a")]) for n in (50, 51, 60)]
    assert [e.number for e in read_logs([write(path, rounds)]).entries] == [50, 51, 60]


def test_files_are_read_one_after_the_other(tmp_path):
    """Rotated logs are one log; the wrong way round shows in the times."""
    old, new = tmp_path / "old.jsonl", tmp_path / "new.jsonl"
    write(old, [a_round(1, [decision("a")])])
    write(new, [a_round(2, [decision("a")])])
    new.write_text(new.read_text().replace('"time": "2', '"time": "3'))
    assert [e.number for e in read_logs([old, new]).entries] == [1, 2]
    assert read_logs([old, new]).is_in_order
    assert not read_logs([new, old]).is_in_order


@pytest.mark.parametrize(
    "line",
    [
        b'{"time": "2026-01-01T00:00:0',
        b"\xff\xfe\x00",
        b"[]",
        b"null",
        b"[" * 5_000,
        b'{"server_round": 1}',
    ],
)
def test_what_is_no_round_is_counted_and_left_out(path, line):
    """Torn lines, other JSON and noise cost nothing but themselves."""
    write(path, three_rounds())
    path.write_bytes(path.read_bytes() + line + b"\n\n")
    log = read_logs([path])
    assert len(log.entries) == 4
    assert log.num_unreadable == 1


@pytest.mark.parametrize(
    "changes",
    [
        {'"server_round": 1': '"server_round": "1"'},
        {'"phase": "train"': '"phase": "test"'},
        {'"verdict": "kept"': '"verdict": "praised"'},
        {'"score": 0.9': '"score": NaN'},
        {'"score": 0.9': '"score": 1e999'},
        {'"client_id": "a"': '"client_id": ["a"]'},
        {'"time": "2': '"time": "x2'},
        {'"seconds": 0.5': '"seconds": null'},
        {'"num_malicious": 1': '"num_malicious": true'},
        {'"run": null': '"run": 5'},
        {'"run": null': '"run": {"id": "x"}'},
        {'"bans": []': '"bans": [1]'},
        {'"reason": ""': '"reason": null'},
        {'"decisions": [': '"decisions": [3, '},
    ],
)
def test_a_field_of_another_kind_makes_a_line_unreadable(path, changes):
    """Nothing is guessed."""
    write(path, three_rounds())
    change(path, 1, changes)
    assert read_logs([path]).num_unreadable == 1


def test_fields_that_are_not_known_are_let_be(path):
    """A later version may write more."""
    write(path, three_rounds())
    change(path, 1, {'"scoring"': '"colour": "blue", "scoring"'})
    assert read_logs([path]).num_unreadable == 0


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "found nothing"),
        ("\n\n", "found nothing"),
        ("a\nb\n", "found no readable line in 2"),
    ],
)
def test_a_file_that_is_no_log_is_an_error(path, text, found):
    """The error says what was found and what to give."""
    path.write_text(text)
    with pytest.raises(InputError, match=f"{found}.*Give files"):
        read_logs([path])


def test_evaluations_alone_are_not_enough(path):
    """There is nothing to draw without a training round."""
    write(path, [an_evaluation(1, [decision("a", "quarantined")])])
    with pytest.raises(InputError, match="found evaluations only"):
        read_logs([path])


def test_a_folder_cannot_be_read(tmp_path):
    """The error names it."""
    with pytest.raises(InputError, match=f"{tmp_path} cannot be read"):
        read_logs([tmp_path])


def test_lines_of_the_first_version_are_read(path):
    """They lack what was added since."""
    write(path, three_rounds())
    for raw in path.read_bytes().splitlines():
        fields = json.loads(raw)
        for added in ("run", "note", "scores_alike", "report_only"):
            del fields[added]
        for each in fields["decisions"]:
            del each["name"]
        line = read_line(json.dumps(fields).encode())
        assert line.run is None
        assert line.decisions[0].name == ""


def test_only_the_last_decisions_keep_their_words(path):
    """Refused ones apart from others, so that these do not crowd out those."""
    many = [decision(str(n)) for n in range(MAX_ROWS + 50)]
    rounds = [a_round(1, [decision("x", "dropped")]), a_round(2, many)]
    log = read_logs([write(path, rounds)])
    assert len(log.rows) == MAX_ROWS + 1
    assert log.rows[0].decision.client_id == "x"
    assert log.rows[1].decision.client_id == "50"
    assert len(log.entry) == MAX_ROWS + 51


def test_clients_of_one_name_are_told_apart():
    """By their ids; so is one that is called like another's id."""
    names = {"1": "a", "2": "a", "3": "b", "4": "", "5": "4"}
    labels = labels_of(names)
    assert labels == {"1": "a (1)", "2": "a (2)", "3": "b", "4": "4 (4)", "5": "4 (5)"}


def test_what_would_change_the_text_around_it_is_written_out():
    """Control characters, and marks that turn the direction of writing."""
    assert printable("Charit\u00e9 1") == "Charit\u00e9 1"
    assert printable("a\x1b[2J\u202eb\n") == "a\\x1b[2J\\u202eb\\n"


def test_names_are_read_by_client_id(path):
    """Without a file there are none."""
    path.write_text('{"1": "hospital-1", "2": "hospital-2"}')
    assert read_names(path) == {"1": "hospital-1", "2": "hospital-2"}
    assert read_names(None) == {}


@pytest.mark.parametrize("text", ["", "[]", '{"1": 2}', '{"1": {"name": "a"}}', "{"])
def test_a_file_without_names_is_an_error(path, text):
    """The error shows how to write one."""
    path.write_text(text)
    with pytest.raises(InputError, match=r'Write it like this: \{"123": "hospital-1"'):
        read_names(path)


def test_a_name_given_twice_is_an_error(path):
    """Two clients could not be told apart."""
    path.write_text(json.dumps({"1": "a", "2": "a", "3": "b"}))
    with pytest.raises(InputError, match="several clients the same name: 'a'"):
        read_names(path)


def test_a_names_file_that_is_not_there_is_an_error(path):
    """The error names it."""
    with pytest.raises(InputError, match=f"{path} cannot be read"):
        read_names(path)
