"""The audit as a table, and the run config on the command line."""

import tomllib

import pytest
from deployment.audit import lay_out_audit
from deployment.commands import to_toml
from rich.console import Console


def decision(client_id, name, verdict, score=None, reason=""):
    """Give a decision as it stands in the audit log."""
    return {
        "client_id": client_id,
        "name": name,
        "verdict": verdict,
        "score": score,
        "reason": reason,
    }


ROUNDS = [
    {
        "server_round": 1,
        "decisions": [
            decision("22", "hospital-2", "kept", -0.1),
            decision("11", "hospital-1", "dropped", -3.456, "odd"),
            decision("33", "", "quarantined", None, "x"),
        ],
    }
]


def printed(rounds):
    """Print the table, without colours, and return its lines as words."""
    console = Console(width=100, no_color=True)
    with console.capture() as captured:
        console.print(lay_out_audit(rounds))
    lines = captured.get().splitlines()
    return [line.replace("│", " ").split() for line in lines if "│" in line]


def test_each_hospital_has_a_line_under_its_name():
    """Lines are in order of names, and a client without a name keeps its id."""
    assert printed(ROUNDS) == [
        ["1", "33", "quarantined", "x"],
        ["1", "hospital-1", "dropped", "-3.46", "odd"],
        ["1", "hospital-2", "kept", "-0.10"],
    ]


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
    decisions = [decision("1", "", "quarantined", reason=sent)]
    line = {"server_round": 1, "decisions": decisions}
    assert printed([line]) == [["1", "1", "quarantined", *sent.split()]]


def test_it_cannot_move_the_cursor():
    """Control characters are replaced."""
    decisions = [decision("1", "", "kept", reason="\x1b[2Jgone")]
    line = {"server_round": 1, "decisions": decisions}
    assert printed([line]) == [["1", "1", "kept", "\N{REPLACEMENT CHARACTER}[2Jgone"]]
