"""Programs: started with a log, found with all they start, and ended with them."""

import os
import signal
import socket
import subprocess
import sys
import time
from itertools import count
from pathlib import Path

import psutil
import pytest
from deployment.certificates import write_certificates
from deployment.errors import FederationError
from deployment.federation import Federation
from deployment.lines import read_lines
from deployment.memory import PeakMemory
from deployment.ports import HOST, free_ports
from deployment.program import Program, find_marked, runs
from deployment.programs import answers
from deployment.signals import undisturbed
from deployment.waiting import wait_until

DETACHING = """
import subprocess, sys, time
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"],
                 start_new_session=True)
print("started", flush=True)
time.sleep(60)
"""
STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("started", flush=True)
time.sleep(60)
"""


def python(folder, code):
    """Describe a Python program."""
    command = [sys.executable, "-c", code]
    return Program("the program", command, dict(os.environ), folder / "program.log")


def wait_for(is_so):
    """Wait until something is so."""
    deadline = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.05)


@pytest.fixture
def launch(tmp_path):
    """Lend a function that starts a Python program, and kill it at the end."""
    launched = []

    def start(code):
        program = python(tmp_path, code)
        launched.append(program)
        program.start()
        wait_for(lambda: "started" in program.log.read_text())
        return program

    yield start
    for program in launched:
        program.kill()


def test_family_includes_what_has_left_the_session(launch):
    """A child in a session of its own belongs to the program that started it."""
    program = launch(DETACHING)
    wait_for(lambda: len(program.family()) == 2)
    assert program.process.pid in {process.pid for process in program.family()}


def test_orphans_are_found_and_killed(launch):
    """A child whose parent was killed is known by its environment."""
    program = launch(DETACHING)
    wait_for(lambda: len(program.family()) == 2)
    psutil.Process(program.process.pid).kill()
    program.process.wait()
    assert len(program.family()) == 1
    program.kill()
    wait_for(lambda: not program.family())


def test_what_shows_no_environment_yet_is_killed(launch, monkeypatch):
    """Right after its start a command is known by its number alone."""
    program = launch(STUBBORN)
    monkeypatch.setattr("deployment.program.find_marked", lambda _is_wanted: [])
    program.kill()
    assert not program.is_running
    assert program.family() == []


def test_stop_ends_the_whole_family(launch):
    """Nothing of the program is left when stop returns."""
    program = launch(DETACHING)
    wait_for(lambda: len(program.family()) == 2)
    program.stop()
    assert not program.family()
    assert not program.is_running


def test_who_does_not_listen_is_killed(launch, monkeypatch):
    """A program that ignores the request to end is ended all the same."""
    monkeypatch.setattr("deployment.program.SECONDS_TO_END", 1)
    program = launch(STUBBORN)
    program.stop()
    assert not program.is_running
    assert not program.family()


def test_paused_program_stands_still_and_goes_on(launch):
    """A paused program is stopped by the system, and neither ended nor forgotten."""
    program = launch(STUBBORN)
    program.pause()
    [process] = program.family()
    wait_for(lambda: process.status() == psutil.STATUS_STOPPED)
    assert program.is_running
    program.resume()
    wait_for(lambda: process.status() != psutil.STATUS_STOPPED)


def test_restart_starts_the_same_command_anew(launch):
    """The process is another one, and the log goes on."""
    program = launch(STUBBORN)
    before = program.process.pid
    program.restart()
    wait_for(lambda: program.log.read_text().count("started") == 2)
    assert program.process.pid != before


def test_commands_are_found_by_their_name(launch):
    """The interpreter is found, a command that does not run is not."""
    program = launch(STUBBORN)
    [found] = program.find(Path(sys.executable).name)
    assert found.pid == program.process.pid
    assert program.find("flwr-clientapp") == []


def test_ended_process_runs_nothing(launch):
    """A process that has ended since it was found is none that runs the command."""
    program = launch(DETACHING)
    found = program.find(Path(sys.executable).name)[0]
    program.kill()
    assert not runs(found, Path(sys.executable).name)


def test_other_programs_are_none_of_the_family(launch, tmp_path):
    """A mark is found by those who look for it only."""
    program = launch(STUBBORN)
    assert find_marked(lambda log: log == tmp_path / "other.log") == []
    assert os.getpid() not in {process.pid for process in program.family()}


def test_folder_in_use_is_refused(tmp_path):
    """Two federations in one folder would end each other's processes."""
    federation = Federation(tmp_path)
    federation.layout.make()
    program = python(federation.layout.logs, "import time; time.sleep(60)")
    program.start()
    try:
        wait_for(federation.processes)
        with pytest.raises(FederationError, match=f"process {program.process.pid}"):
            federation.__enter__()
        assert program.is_running
    finally:
        program.kill()


def test_ended_program_is_an_error_with_the_end_of_its_log(tmp_path):
    """The error names the code and the log, and quotes the last lines of many."""
    program = python(tmp_path, "for n in range(99): print('line', n)\nexit(3)")
    program.check()
    program.start()
    program.process.wait()
    with pytest.raises(FederationError, match="the program has ended with code 3") as e:
        program.check()
    assert str(program.log) in str(e.value)
    assert str(e.value).endswith("line 98")
    assert "line 70" not in str(e.value)


def test_missing_log_is_an_empty_one(tmp_path):
    """An error can be told before anything was logged."""
    assert str(FederationError("no", tmp_path / "log")).endswith("  (empty)")


def test_waiting_ends_with_the_event(monkeypatch):
    """What is so at the third look is waited for."""
    monkeypatch.setattr("deployment.waiting.SECONDS_BETWEEN_LOOKS", 0)
    looks = count(1)
    wait_until("it is so", lambda: next(looks) == 3, 60, [])
    assert next(looks) == 4


def test_waiting_in_vain_says_for_what_and_names_the_log(tmp_path):
    """Time that has run out is an error that a reader can act on."""
    program = python(tmp_path, "")
    with pytest.raises(FederationError, match="waited 0 s in vain until pigs fly") as e:
        wait_until("pigs fly", lambda: False, 0, [program])
    assert e.value.log == program.log


def test_waiting_ends_when_a_program_does(tmp_path):
    """There is no point in waiting for a program that has ended."""
    program = python(tmp_path, "exit(1)")
    program.start()
    program.process.wait()
    with pytest.raises(FederationError, match="has ended with code 1"):
        wait_until("it answers", lambda: False, 60, [program])


def test_ports_are_free_and_all_different():
    """Each can be bound."""
    ports = free_ports(5)
    assert len(set(ports)) == 5
    for port in ports:
        with socket.socket() as probe:
            probe.bind((HOST, port))


def test_silent_port_is_no_answer(tmp_path):
    """Where nobody listens nobody answers."""
    certificates = write_certificates(tmp_path, [HOST])
    [port] = free_ports(1)
    assert not answers(f"{HOST}:{port}", certificates.authority)


def test_growing_file_is_read_up_to_its_last_whole_line(tmp_path):
    """A missing file has no lines, a torn line is left for later."""
    path = tmp_path / "lines.jsonl"
    assert read_lines(path) == []
    path.write_text('{"round": 1}\n{"rou')
    assert read_lines(path) == [{"round": 1}]


def test_peak_memory_never_falls(launch):
    """The most that was seen stays, also when the process has ended."""
    program, memory = launch(STUBBORN), PeakMemory()
    processes = program.family()
    memory.look("program", processes)
    peak = memory.bytes["program"]
    program.kill()
    memory.look("program", processes)
    assert memory.bytes == {"program": peak}
    assert peak > 2**20


def test_requests_to_end_are_ignored_while_cleaning_up():
    """A second Ctrl-C changes nothing, and afterwards it counts again."""
    with undisturbed():
        signal.raise_signal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_request_to_end_unwinds_the_program(tmp_path):
    """A program that is asked to end runs its last words, and says by which signal."""
    code = (
        "import signal\n"
        "from deployment.signals import exit_on_signals\n"
        "exit_on_signals()\n"
        "try: signal.raise_signal(signal.SIGTERM)\n"
        "finally: print('cleaned up')"
    )
    environment = dict(os.environ) | {"PYTHONPATH": os.pathsep.join(sys.path)}
    ended = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )
    assert (ended.returncode, ended.stdout) == (128 + 15, "cleaned up\n")
