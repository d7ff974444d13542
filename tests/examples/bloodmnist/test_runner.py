"""The grid runner: cells, the table, resuming, failures, and processes that end."""

import json
import os
import signal
import subprocess
import sys
import time
import tomllib
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

APP = Path(__file__).resolve().parents[3] / "examples" / "bloodmnist"
sys.path.append(str(APP))

import run_grid  # noqa: E402
from bloodmnist import grid as grids  # noqa: E402
from bloodmnist import rows as rows_  # noqa: E402
from bloodmnist import runner as runners  # noqa: E402
from bloodmnist import scalars  # noqa: E402
from bloodmnist.run_config import AUTO  # noqa: E402

NUM_ROUNDS = 3
GRID = f"""
profile = "test"
num-supernodes = 10
[run-config]
num-server-rounds = {NUM_ROUNDS}
"""
FAKE_ENGINE = '''
"""Writes a line a round, or does what can go wrong, by the name of the attack."""
import json, os, signal, sys, time
from pathlib import Path

config = json.loads(Path(sys.argv[sys.argv.index("--config") + 1]).read_text())
assert sys.argv[sys.argv.index("--num-supernodes") + 1] == "10"
here, attack = Path(__file__).parent, config["attack"]
with (here / "started.txt").open("a") as file:
    file.write(f"{config['seed']} {os.getpid()}\\n")
print("fake engine, attack", attack, flush=True)
verdicts = ["dropped", "quarantined", "kept", "dropped"] + ["kept"] * 6
decisions = [
    {"poisoned": client < 3, "verdict": verdicts[client]} for client in range(10)
]
for number in range(config["num-server-rounds"] + 1):
    if number == 2:
        if attack == "raise":
            raise RuntimeError("something is wrong")
        if attack == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if attack == "stop":
            sys.exit()
        if attack == "hang" and not (here / "go").exists():
            time.sleep(600)
        if attack == "garbage":
            Path(config["results"]).write_text("0\\n1\\nneither\\n")
    line = {"round": number, "accuracy": number / 10, "loss": None, "seconds": 0.5}
    line["decisions"] = decisions if number and config["defense"] == "vdcs" else []
    with open(config["results"], "a") as file:
        file.write(json.dumps(line) + "\\n")
if attack == "raise-at-the-end":
    raise RuntimeError("too late")
'''


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Lend a folder with a fake engine that the runner finds."""
    (tmp_path / "fake_engine.py").write_text(FAKE_ENGINE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return tmp_path


def read_grid(folder, cells, head=GRID, **overrides):
    """Write a grid file and read it."""
    path = folder / "grid.toml"
    path.write_text(head + cells)
    return grids.read_grid(path, overrides)


def attacks(*names, seed="0"):
    """Make cells of some attacks that the fake engine knows."""
    return f"""
    [[cells]]
    fraction = 0.3
    attack = {json.dumps(names)}
    seed = {seed}
    """


class Watcher:
    """Writes down what it is told."""

    def __init__(self):
        self.told = []

    def started(self, cell):
        """Note the attack."""
        self.told.append(("started", cell.attack))

    def measured(self, row):
        """Note the round."""
        self.told.append(("measured", row.number))

    def ended(self, cell, failure):
        """Note the attack, and whether it failed."""
        self.told.append(("ended", cell.attack, failure is not None))


def run(folder, grid, cells=None, **options):
    """Run cells with the fake engine, and return failures and the watcher's notes."""
    table = rows_.Table(folder / "results.csv", grid)
    work, watcher = folder / "cells", Watcher()
    work.mkdir(exist_ok=True)
    runner = runners.Runner(grid, table, work, engine="fake_engine", **options)
    if cells is None:
        cells = [cell for cell in grid.cells if cell not in table.finished]
    return runner.run(cells, [watcher]), watcher.told


def count_starts(folder):
    """Count how often the fake engine was started."""
    started = folder / "started.txt"
    return len(started.read_text().splitlines()) if started.exists() else 0


# --- the grid -------------------------------------------------------------------------


def test_cells_are_the_product_of_their_values_with_the_seed_slowest(tmp_path):
    """Two seeds, two attacks, with and without plugin: eight, seed 0 first."""
    grid = read_grid(
        tmp_path,
        """
        [[cells]]
        seed = [0, 1]
        fraction = 0.3
        attack = ["tmp-authors", "ump-paper"]
        defense = ["none", "vdcs"]
        """,
    )
    assert [(c.seed, c.attack, c.defense) for c in grid.cells] == [
        (seed, attack, defense)
        for seed in (0, 1)
        for attack in ("tmp-authors", "ump-paper")
        for defense in ("none", "vdcs")
    ]


def test_cells_without_an_attack_are_shared(tmp_path):
    """Nobody poisoned is the same run at every fraction, whatever attack is named."""
    grid = read_grid(
        tmp_path,
        """
        [[cells]]
        fraction = [0.0, 0.04]
        attack = ["none", "ump-paper"]
        labels = ["clean", "flipped"]
        scoring = ["paper", "hardened"]
        num-malicious = [2, 3]
        [[cells]]
        fraction = 0.3
        [[cells]]
        fraction = 0.3
        labels = "flipped"
        """,
    )
    assert [(c.attack, c.labels, c.fraction) for c in grid.cells] == [
        ("none", "clean", 0),
        ("none", "flipped", 0.3),
    ]
    assert {(c.scoring, c.num_malicious) for c in grid.cells} == {("", 0)}


def test_assumed_number_of_malicious_clients_is_the_true_one_unless_it_is_given(
    tmp_path,
):
    """Of ten clients 0.29 are three; without attack three are dropped if asked for."""
    grid = read_grid(
        tmp_path,
        """
        [[cells]]
        fraction = 0.29
        attack = "ump-paper"
        defense = ["none", "krum", "vdcs"]
        [[cells]]
        defense = ["vdcs"]
        num-malicious = 3
        """,
    )
    assert [c.num_malicious for c in grid.cells] == [0, 3, 3, 3]
    assert [c.scoring for c in grid.cells] == ["", "", "paper", "paper"]
    assert grid.cells[0].run_config.keys() >= {"attack", "fraction-malicious", "alpha"}
    assert "scoring" not in grid.cells[0].run_config


def test_name_says_what_is_run_and_file_name_tells_all_cells_apart(tmp_path):
    """Labels, fraction and assumed number stand in the name of an attacked cell."""
    cells = grids.read_grid(APP / "grids" / "paper.toml").cells
    assert len({cell.name for cell in cells}) == len(cells)
    assert len({cell.file_name for cell in cells}) == len(cells)
    (cell,) = read_grid(tmp_path, attacks("tmp-paper")).cells
    name = "fedavg, tmp-paper clean at 0.3, no defense, alpha 10, seed 0"
    assert cell.name == name
    assert "/" not in cell.file_name


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (GRID + "[[cells]]\nattak = 'none'", "no \\['attak'\\]: use \\['seed', "),
        (GRID, "needs \\['cells', "),
        (GRID.replace("num-server-rounds", "mu") + "[[cells]]", "num-server-rounds"),
        (GRID + "seed = 1\n[[cells]]", "'seed'\\] vary by cell: move them"),
        (GRID + "[[cells]", "cannot read the grid .*grid.toml: "),
    ],
)
def test_wrong_grid_is_explained(tmp_path, text, message):
    """A typing error names the file, what was found and what could have been meant."""
    with pytest.raises(grids.GridError, match=message):
        read_grid(tmp_path, "", head=text)


def test_settings_change_with_what_changes_the_numbers(tmp_path):
    """Rounds and data set count; the folder of the data and the device do not."""
    cells = attacks("none")

    def settings(**overrides):
        overrides = {key.replace("_", "-"): v for key, v in overrides.items()}
        return read_grid(tmp_path, cells, **overrides).settings

    assert settings() == settings(device="cuda", tensorboard="x")
    assert settings(data_path="a/x.npz") == settings(data_path="b/x.npz")
    different = [{}, {"data_path": "digits"}, {"num_server_rounds": 4}, {"mu": 0.5}]
    assert len({settings(**overrides) for overrides in different}) == len(different)


def list_demanded():
    """List what the results page needs: seeds, algorithm, attack, p, alpha, defense."""
    tmp = [("tmp-paper", "clean"), ("tmp-paper", "flipped"), ("tmp-authors", "clean")]
    ump, honest = ("ump-paper", "clean"), ("none", "clean")
    both = ["", "paper"]
    for attack, scoring in [(a, s) for a in [*tmp, ump] for s in both]:
        yield from ((0, "fedavg", attack, p, 10, scoring) for p in (0.1, 0.2))
        yield from ((seed, "fedavg", attack, 0.3, 10, scoring) for seed in range(3))
        yield from ((0, "fedavg", attack, 0.3, a, scoring) for a in (0.1, 1, 100))
    for algorithm in ("fedprox", "feddyn", "fedrs", "fedsam", "fedspeed", "fedavg"):
        for attack, scoring in [(a, s) for a in [tmp[2], ump, honest] for s in both]:
            p = 0 if attack == honest else 0.3
            yield 0, algorithm, attack, p, 10, scoring
    for defense in ("krum", "trimmed-mean", "fang-union"):
        for attack in [*tmp, ump, honest]:
            yield 0, "fedavg", attack, 0 if attack == honest else 0.3, 10, defense


def test_laptop_grid_has_every_cell_that_the_results_page_needs():
    """Each demanded cell stands in it once; FedAvg without attack comes first."""
    cells = grids.read_grid(APP / "grids" / "laptop.toml").cells
    found = [
        (c.seed, c.algorithm, (c.attack, c.labels), c.fraction, c.alpha, way)
        for c in cells
        for way in [c.scoring or c.defense.replace("none", "")]
        if c.num_malicious != AUTO
    ]
    assert set(list_demanded()) <= set(found)
    assert len(found) == len(set(found))
    assert found[0] == (0, "fedavg", ("none", "clean"), 0, 10, "")
    assigned = {c.num_malicious for c in cells if c.defense != "none"}
    assert assigned == {1, 2, 3, AUTO}


@pytest.mark.parametrize("profile", ["laptop", "paper"])
def test_grid_names_what_the_app_has(profile):
    """Settings are keys of the run config; algorithms, attacks and rules exist."""
    from bloodmnist.algorithms import ALGORITHMS
    from bloodmnist.attacks import ATTACKS
    from bloodmnist.baselines import BASELINES

    grid = grids.read_grid(APP / "grids" / f"{profile}.toml")
    pyproject = tomllib.loads((APP / "pyproject.toml").read_text())
    defaults = pyproject["tool"]["flwr"]["app"]["config"]
    assert grid.shared.keys() <= defaults.keys()
    assert all(cell.run_config.keys() <= defaults.keys() for cell in grid.cells)
    assert {cell.algorithm for cell in grid.cells} == set(ALGORITHMS)
    assert {cell.attack for cell in grid.cells} <= set(ATTACKS)
    assert {c.defense for c in grid.cells} <= {"none", "vdcs", *BASELINES}


# --- the table ------------------------------------------------------------------------


def test_drop_decisions_are_rated_by_hand():
    """Three poisoned, two of them and one honest client kept out: 2/3, 2/3, 1."""
    verdicts = ["dropped", "quarantined", "kept", "banned", "kept"]
    decisions = [
        {"poisoned": client < 3, "verdict": v} for client, v in enumerate(verdicts)
    ]
    rated = rows_.rate_decisions(decisions)
    assert rated == {"recall": 2 / 3, "precision": 2 / 3, "false_drops": 1}


def test_what_cannot_be_rated_is_left_empty():
    """No judgement, nobody poisoned, nobody dropped: no number, rather than 0 or 1."""
    nothing = {"recall": None, "precision": None, "false_drops": None}
    kept = {"verdict": "kept", "poisoned": False}
    assert rows_.rate_decisions([]) == nothing
    assert rows_.rate_decisions([kept]) == nothing | {"false_drops": 0}
    assert rows_.rate_decisions([kept | {"poisoned": True}])["recall"] == 0


def make_rows(grid, cell, numbers):
    """Make a row for each of the given rounds."""
    measured = rows_.Measured(
        accuracy=0.5,
        loss=None,
        seconds=1.5,
        recall=1 / 3,
        precision=None,
        false_drops=2,
    )
    return [
        rows_.Row(
            settings=grid.settings,
            cell=cell,
            num_rounds=grid.num_rounds,
            number=number,
            measured=measured,
        )
        for number in numbers
    ]


def test_rows_are_read_as_they_were_written(tmp_path):
    """Numbers, counts and what is missing come back equal."""
    grid = read_grid(tmp_path, attacks("tmp-paper", "ump-paper"))
    rows = [row for cell in grid.cells for row in make_rows(grid, cell, range(4))]
    table = rows_.Table(tmp_path / "results.csv", grid)
    for row in rows:
        table.append(row)
    assert rows_.read_rows(table.path) == rows
    assert rows_.Table(table.path, grid).finished == set(grid.cells)
    assert rows_.read_rows(table.path) == rows


@given(num_bytes=st.integers(0, 2000))
def test_table_cut_anywhere_is_gone_on_with(tmp_path_factory, num_bytes):
    """Whatever its writer was doing when it died, whole finished cells are kept."""
    folder = tmp_path_factory.mktemp("cut")
    grid = read_grid(folder, attacks("none", "tmp-paper", "ump-paper"))
    table = rows_.Table(folder / "results.csv", grid)
    header = len(table.path.read_bytes())
    for cell in grid.cells:
        for row in make_rows(grid, cell, range(NUM_ROUNDS + 1)):
            table.append(row)
    whole = table.path.read_bytes()
    cut = whole[: header + num_bytes]
    table.path.write_bytes(cut)

    again = rows_.Table(table.path, grid)

    num_whole_rows = cut.count(b"\n") - 1
    num_finished = num_whole_rows // (NUM_ROUNDS + 1)
    assert again.finished == set(grid.cells[:num_finished])
    kept = whole.splitlines(keepends=True)[: 1 + num_finished * (NUM_ROUNDS + 1)]
    assert table.path.read_bytes() == b"".join(kept)


@pytest.mark.parametrize("numbers", [[0, 1, 2], [0, 1, 1, 3], [0, 1, 2, 3, 3]])
def test_cell_without_exactly_its_rounds_is_not_finished(tmp_path, numbers):
    """A missing or doubled round sends a cell back; its rows are taken out."""
    grid = read_grid(tmp_path, attacks("ump-paper"))
    table = rows_.Table(tmp_path / "results.csv", grid)
    for row in make_rows(grid, grid.cells[0], numbers):
        table.append(row)
    assert not rows_.Table(table.path, grid).finished
    assert rows_.read_rows(table.path) == []


def test_other_profiles_stay_and_other_settings_are_refused(tmp_path):
    """One file holds several profiles, but never one profile with two settings."""
    grid = read_grid(tmp_path, attacks("ump-paper"))
    other = read_grid(tmp_path, attacks("ump-paper"), GRID.replace("test", "other"))
    changed = read_grid(tmp_path, attacks("ump-paper"), mu=0.5)
    rows = make_rows(grid, grid.cells[0], range(2))
    table = rows_.Table(tmp_path / "results.csv", grid)
    for row in rows:
        table.append(row)

    rows_.Table(table.path, other)
    assert rows_.read_rows(table.path) == rows
    with pytest.raises(grids.GridError, match=r"with other settings .* another name"):
        rows_.Table(table.path, changed)


def test_file_that_is_no_table_is_not_touched(tmp_path):
    """An output that names the wrong file is refused."""
    path = tmp_path / "notes.txt"
    path.write_text("my notes")
    with pytest.raises(grids.GridError, match="not a table of results"):
        rows_.Table(path, read_grid(tmp_path, attacks("ump-paper")))
    assert path.read_text() == "my notes"


# --- the runner -----------------------------------------------------------------------


def test_every_round_becomes_a_row(folder):
    """Two cells at once, four rows each, rated, and everybody watching is told."""
    cells = (
        "[[cells]]\nfraction = 0.3\nattack = 'ump-paper'\ndefense = ['none', 'vdcs']"
    )
    grid = read_grid(folder, cells)
    failures, told = run(folder, grid, num_jobs=2)

    assert not failures
    rows = rows_.read_rows(folder / "results.csv")
    plain, checked = ([row for row in rows if row.cell == cell] for cell in grid.cells)
    assert [row.number for row in plain] == [row.number for row in checked]
    assert [row.measured.accuracy for row in plain] == [0, 0.1, 0.2, 0.3]
    assert {row.measured.recall for row in plain} == {None}
    assert [row.measured.recall for row in checked] == [None, *[2 / 3] * 3]
    assert {row.measured.false_drops for row in checked[1:]} == {1}
    assert told.count(("started", "ump-paper")) == 2
    assert told.count(("ended", "ump-paper", False)) == 2
    assert len(told) == 2 + 8 + 2


def test_finished_cell_is_never_run_again(folder):
    """The second time only the new cell is run, the third time nothing."""
    grid = read_grid(folder, attacks("one"))
    run(folder, grid)
    grid = read_grid(folder, attacks("one", "two"))
    assert run(folder, grid)[1][0] == ("started", "two")
    assert run(folder, grid) == ([], [])
    assert count_starts(folder) == 2
    assert len(rows_.finished_cells(rows_.read_rows(folder / "results.csv"))) == 2


@pytest.mark.parametrize(
    ("attack", "problem"),
    [
        ("raise", "ended with exit code 1"),
        ("die", "ended with exit code -9"),
        ("stop", "1 of 3 rounds were finished"),
        ("garbage", "its results cannot be read"),
        ("raise-at-the-end", "ended with exit code 1"),
        ("hang", "no round in 1 seconds"),
    ],
)
def test_failed_cell_is_reported_and_the_others_go_on(folder, attack, problem):
    """It is reported with the end of its log, and run again the next time."""
    grid = read_grid(folder, attacks(attack, "fine"))
    (failure,), told = run(
        folder, grid, max_silent_seconds=1 if attack == "hang" else 60
    )

    assert failure.cell.attack == attack
    assert problem in str(failure)
    assert f"fake engine, attack {attack}" in str(failure)
    assert ("something is wrong" in str(failure)) == (attack == "raise")
    assert told[-1] == ("ended", "fine", False)
    table = rows_.Table(folder / "results.csv", grid)
    assert {cell.attack for cell in table.finished} == {"fine"}


def test_no_more_cells_than_asked_for_run_at_once(folder):
    """With two at a time, the third is started when one of them has ended."""
    told = run(folder, read_grid(folder, attacks("a", "b", "c", "d")), num_jobs=2)[1]
    running = []
    for what, *_ in told:
        step = {"started": 1, "ended": -1}.get(what, 0)
        running.append((running[-1] if running else 0) + step)
    assert max(running) == 2


def test_error_here_ends_what_was_started(folder):
    """Whatever goes wrong while cells run, their processes end."""

    class Broken(Watcher):
        def measured(self, row):
            raise ZeroDivisionError

    grid = read_grid(folder, attacks("hang"))
    table = rows_.Table(folder / "results.csv", grid)
    runner = runners.Runner(grid, table, folder, engine="fake_engine")
    with pytest.raises(ZeroDivisionError):
        runner.run(grid.cells, [Broken()])
    assert not find_engines(folder)


def test_second_runner_of_a_grid_is_refused(tmp_path):
    """Two that write to one table would take each other's rows out."""
    with (
        runners.lock(tmp_path),
        pytest.raises(grids.GridError, match="another process"),
    ):
        runners.lock(tmp_path).__enter__()
    with runners.lock(tmp_path):
        pass


# --- the command ----------------------------------------------------------------------


def start_command(folder, *options):
    """Start the command on the grid that was written last."""
    return subprocess.Popen(
        [
            *(sys.executable, str(APP / "run_grid.py"), str(folder / "grid.toml")),
            *("--output", str(folder / "out" / "results.csv")),
            *("--engine", "fake_engine", "--jobs", "2", *options),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=dict(os.environ) | {"COLUMNS": "200"},
    )


def run_command(folder, *options):
    """Run the command and return its exit code and what it printed."""
    process = start_command(folder, *options)
    output, _ = process.communicate(timeout=60)
    return process.returncode, output


def find_engines(folder):
    """Find the fake engines that are still running, by the ids they wrote down."""
    started = folder / "started.txt"
    lines = started.read_text().splitlines() if started.exists() else []
    return [pid for pid in (int(line.split()[1]) for line in lines) if is_alive(pid)]


def is_alive(pid):
    """Say whether a process runs, rather than waits to be taken note of."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_until(happened):
    """Wait for something to happen, at most twenty seconds."""
    deadline = time.monotonic() + 20
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_command_reports_failures_at_the_end_and_with_its_exit_code(folder):
    """One of two cells fails: exit code 1, its log's end, then a second try."""
    read_grid(folder, attacks("raise", "fine"))
    code, output = run_command(folder)
    assert code == 1
    assert "fedavg, raise clean at 0.3, no defense, alpha 10, seed 0: FAILED" in output
    assert "RuntimeError: something is wrong" in output
    assert "1 of 2 cells failed" in output

    read_grid(folder, attacks("fine"))
    assert run_command(folder)[0] == 0
    assert count_starts(folder) == 2
    code, output = run_command(folder, "--list")
    assert (code, output.count("finished  fedavg, fine")) == (0, 1)


@pytest.mark.parametrize(
    "number",
    [signal.SIGTERM, signal.SIGINT, signal.SIGKILL],
    ids=lambda each: each.name,
)
def test_killed_command_leaves_no_process_and_goes_on_where_it_was(folder, number):
    """Two cells are finished, two are running when it is killed: two are left to do."""
    grid = read_grid(
        folder, attacks("a", "b", "hang", seed="0") + attacks("hang", seed="1")
    )
    process = start_command(folder)
    results = folder / "out" / "results.csv"
    wait_until(
        lambda: results.exists() and len(rows_.read_rows(results)) == 2 * 4 + 2 * 2
    )
    assert len(find_engines(folder)) == 2
    process.send_signal(number)
    output, _ = process.communicate(timeout=20)
    assert process.returncode != 0
    assert ("goes on from here" in output) == (number == signal.SIGINT)
    wait_until(lambda: not find_engines(folder))

    (folder / "go").touch()
    assert run_command(folder)[0] == 0
    rows = rows_.read_rows(results)
    assert rows_.finished_cells(rows) == set(grid.cells)
    assert len(rows) == 4 * 4
    assert count_starts(folder) == 4 + 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--set", "mu"], "write key=value"),
        (["--set", "seed=1"], "vary by cell"),
        (["--tensorboard", "x"], "pip install tensorboard"),
    ],
)
def test_wrong_options_are_explained(folder, options, message):
    """Exit code 2 and a sentence; nothing is run."""
    (folder / "tensorboard.py").write_text("raise ImportError")
    read_grid(folder, attacks("fine"))
    code, output = run_command(folder, *options)
    assert (code, message in output) == (2, True), output
    assert count_starts(folder) == 0


def test_settings_are_read_as_toml_or_else_as_they_are():
    """Numbers and truth values keep their type; a path needs no quotes."""
    texts = ["mu=0.5", "a=3", "b=true", "c=/data/x.npz", 'd="q"', "e=k=v"]
    assert dict(map(run_grid.parse_setting, texts)) == {
        "mu": 0.5,
        "a": 3,
        "b": True,
        "c": "/data/x.npz",
        "d": "q",
        "e": "k=v",
    }


def test_scalars_are_written_for_what_was_measured(tmp_path, monkeypatch):
    """One run a cell, one scalar a number, at the round's step; nothing for None."""
    written = []

    class Writer:
        def __init__(self, folder, purge_step):
            self.folder = folder

        def add_scalar(self, *scalar):
            written.append((self.folder.name, *scalar))

        def flush(self): ...

        def close(self):
            written.append("closed")

    module = ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = Writer
    monkeypatch.setitem(sys.modules, module.__name__, module)
    grid = read_grid(tmp_path, attacks("ump-paper"))
    (row,) = make_rows(grid, grid.cells[0], [2])
    watcher = scalars.Scalars(tmp_path)
    watcher.started(row.cell)
    watcher.measured(row)
    watcher.ended(row.cell, None)

    name = row.cell.file_name
    assert written[0] == (name, "accuracy", 0.5, 2)
    assert [each[1] for each in written[1:-1]] == ["seconds", "recall", "false_drops"]
    assert written[-1] == "closed"


def test_cores_are_counted_where_the_system_cannot_tell_which(monkeypatch):
    """There is at least one core, also without Linux's affinity."""
    assert runners.count_cores() >= 1
    monkeypatch.setattr(runners, "os", SimpleNamespace(cpu_count=lambda: None))
    assert runners.count_cores() == 1


def test_engine_understands_the_runner(tmp_path):
    """One real round on digits: two rows with accuracies, and a rating."""
    cells = "[[cells]]\nfraction = 0.3\nattack = 'ump-paper'\ndefense = 'vdcs'"
    head = GRID.replace(f"= {NUM_ROUNDS}", "= 1").replace("= 10", "= 4")
    settings = {"data-path": "digits", "images-min": 8, "images-max": 8}
    settings |= {"batch-size": 8, "num-virtual-samples": 2}
    grid = read_grid(tmp_path, cells, head, **settings)
    table = rows_.Table(tmp_path / "results.csv", grid)
    runner = runners.Runner(grid, table, tmp_path)
    failures = runner.run(grid.cells, [])

    assert not failures, failures[0]
    rows = rows_.read_rows(table.path)
    assert [row.number for row in rows] == [0, 1]
    assert all(0 <= row.measured.accuracy <= 1 for row in rows)
    assert rows[1].measured.recall in {0, 1}
    assert rows[1].cell == replace(grid.cells[0], num_malicious=1)
