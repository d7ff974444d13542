"""The audit as a table, and the run config on the command line."""

import json
import tomllib

import pytest
from deployment.audit import lay_out_audit, read_names
from deployment.commands import to_toml
from rich.console import Console

ROUNDS = [
    {
        "server_round": 1,
        "decisions": [
            {"client_id": "22", "verdict": "kept", "score": -0.1, "reason": ""},
            {"client_id": "11", "verdict": "dropped", "score": -3.456, "reason": "odd"},
            {"client_id": "33", "verdict": "quarantined", "score": None, "reason": "x"},
        ],
    }
]
NAMES = {"11": "hospital-1", "22": "hospital-2"}


def printed(rounds, names):
    """Print the table, without colours, and return its lines as words."""
    console = Console(width=100, no_color=True)
    with console.capture() as captured:
        console.print(lay_out_audit(rounds, names))
    lines = captured.get().splitlines()
    return [line.replace("│", " ").split() for line in lines if "│" in line]


def test_each_hospital_has_a_line_under_its_name():
    """Lines are in order of names, and a client without a name keeps its id."""
    assert printed(ROUNDS, NAMES) == [
        ["1", "33", "quarantined", "x"],
        ["1", "hospital-1", "dropped", "-3.46", "odd"],
        ["1", "hospital-2", "kept", "-0.10"],
    ]


def test_names_are_read_as_the_server_writes_them(tmp_path):
    """Client ids are the keys."""
    (tmp_path / "nodes.json").write_text(json.dumps(NAMES))
    assert read_names(tmp_path) == NAMES


def test_run_config_is_toml():
    """Numbers, truth values and text with quotes survive the command line."""
    config = {"rounds": 3, "rate": 1e-05, "plugin": False, "output": '/a "b"\\c'}
    lines = [to_toml({key: value}) for key, value in config.items()]
    assert tomllib.loads("\n".join(lines)) == config
    assert to_toml(config) == " ".join(lines)


@pytest.mark.parametrize(
    "sent", ["[/]", "[bold red]hospital-1[/bold red]", "[link=http://evil]x[/link]"]
)
def test_what_a_client_sends_is_text(sent):
    """A name of an array is no markup."""
    decision = {"client_id": "1", "verdict": "quarantined", "score": None}
    line = {"server_round": 1, "decisions": [{**decision, "reason": sent}]}
    assert printed([line], {}) == [["1", "1", "quarantined", *sent.split()]]


def test_it_cannot_move_the_cursor():
    """Control characters are replaced."""
    decision = {"client_id": "1", "verdict": "kept", "score": None}
    line = {"server_round": 1, "decisions": [{**decision, "reason": "\x1b[2Jgone"}]}
    assert printed([line], {}) == [
        ["1", "1", "kept", "\N{REPLACEMENT CHARACTER}[2Jgone"]
    ]
