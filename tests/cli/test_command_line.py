"""The command line as a whole: it starts, says what it is, and exits as documented."""

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import flwr_vdcs
from flwr_vdcs.cli import app
from flwr_vdcs.cli.check import MIN_CLIENTS, ScoringName
from flwr_vdcs.decision import MIN_UPDATES
from flwr_vdcs.scoring import SCORINGS
from tests.cli.logs import three_rounds, write

run = CliRunner().invoke

COMMANDS = ("report", "watch", "check", "verify")

ROOT = Path(__file__).parents[2]


def test_the_version_is_the_packages():
    """``--version`` needs no command."""
    found = run(app, ["--version"])
    assert found.stdout == f"flwr-vdcs {flwr_vdcs.__version__}\n"
    assert found.exit_code == 0


@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS)])
def test_help_tells_the_exit_codes(command):
    """Operators' scripts depend on them."""
    words = run(app, [*command, "--help"]).stdout.split()
    assert "Exit codes: 0 fine; 1 a check found a problem;" in " ".join(words)


def test_help_lists_the_commands():
    """Every command has a line that says what it is for."""
    text = run(app, ["--help"]).stdout
    assert all(name in text for name in COMMANDS)


@pytest.mark.parametrize("arguments", [["report"], ["check"], ["nothing"]])
def test_wrong_usage_exits_with_two(arguments):
    """A missing or unknown command or argument does not look like a problem found."""
    assert run(app, arguments).exit_code == 2


SLOW = ("flwr", "pandas", "plotly", "torch")
"""Libraries that take a second or more to import."""

TELL_IMPORTS = f"""
import sys
from flwr_vdcs.cli import app
app(standalone_mode=False)
found = [name for name in {SLOW} if name in sys.modules]
assert not found, found
"""


@pytest.mark.parametrize("command", ["--version", "--help", "verify", "report"])
def test_a_command_imports_only_what_it_needs(tmp_path, command):
    """It answers at once."""
    log = write(tmp_path / "audit.jsonl", three_rounds())
    arguments = [command] if command.startswith("--") else [command, str(log)]
    arguments += ["-o", str(tmp_path / "r.html")] if command == "report" else []
    line = [sys.executable, "-c", TELL_IMPORTS, *arguments]
    subprocess.run(line, cwd=ROOT, check=True)


def test_check_names_the_scorings_that_there_are():
    """And as few clients as can be compared; they are written down, not imported."""
    assert {name.value for name in ScoringName} == {*SCORINGS}
    assert MIN_CLIENTS == MIN_UPDATES


def test_it_runs_as_a_module_and_keeps_its_streams_apart(tmp_path):
    """Results go to stdout, plain as it is no terminal; errors go to stderr."""
    log = write(tmp_path / "audit.jsonl", three_rounds())
    command = [sys.executable, "-m", "flwr_vdcs", "verify", str(log)]
    found = subprocess.run(
        [*command, "--expect", "12"], capture_output=True, cwd=ROOT, check=False
    )
    assert found.returncode == 2
    assert found.stdout == b""
    assert found.stderr.startswith(b"Error: --expect 12 is no hash")
    fine = subprocess.run(command, capture_output=True, cwd=ROOT, check=False)
    assert (fine.returncode, fine.stderr) == (0, b"")
    assert fine.stdout.startswith(b"whole: 4 lines")
