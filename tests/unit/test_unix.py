"""The parts of Unix, and systems that lack them: one sentence, and never a defect of its own.

Windows is played in a process of its own: what it lacks is taken away before anything is imported.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import weakref
from pathlib import Path

import pytest

from statecast.program.unix import in_children

pytestmark = pytest.mark.bare

SENTENCE = "Statecast needs Linux or another Unix; on Windows use WSL."
WINDOWS = """
import json, os, select, signal, sys
import asyncio, shutil, socketserver, subprocess, tempfile, uuid  # made for the system that is here
for name in ("fcntl", "resource", "pwd", "grp", "termios"):
    sys.modules[name] = None
for module, names in {
    os: ("fork", "pread", "pwrite", "register_at_fork", "geteuid", "getuid", "killpg", "WNOHANG"),
    signal: ("SIGHUP", "SIGKILL", "SIGQUIT", "pthread_sigmask"),
    select: ("poll", "epoll"),
}.items():
    for name in names:
        if hasattr(module, name):
            delattr(module, name)
"""
COMMAND = "\nfrom statecast.cli.main import main\nmain(prog_name='statecast')\n"


def on_windows(script: str, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", WINDOWS + script, *words],
        cwd=folder, capture_output=True, text=True, timeout=60,
    )  # fmt: skip


@pytest.mark.parametrize(
    "words",
    ["run --port 0", "run --demo --port 0", "send pillow n=1", "run --store memory: --port 0"],
)
def test_a_command_ends_with_the_sentence(tmp_path: Path, words: str) -> None:
    ended = on_windows(COMMAND, tmp_path, *words.split())
    assert (ended.stdout, ended.stderr) == ("", f"Error: {SENTENCE}\n")
    assert ended.returncode == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("words", ["get pillow", "devices", "watch", "quarantine list"])
def test_a_command_that_reads_a_store_ends_with_the_sentence(tmp_path: Path, words: str) -> None:
    (tmp_path / "statecast.db").touch()
    ended = on_windows(COMMAND, tmp_path, *words.split())
    assert (ended.returncode, ended.stderr) == (1, f"Error: {SENTENCE}\n")


def test_what_needs_nothing_of_the_system_works(tmp_path: Path) -> None:
    assert on_windows(COMMAND, tmp_path, "--version").stdout.startswith("statecast ")
    assert on_windows(COMMAND, tmp_path, "run", "--help").stdout.startswith("Usage: statecast run")
    ended = on_windows(COMMAND, tmp_path, "get", "pillow")
    assert ended.returncode == 1 and "There is no store" in ended.stderr


@pytest.mark.parametrize(
    "call", ["live.set('pillow', {'n': 1})", "live.get('pillow')", "live.run(app)"]
)
def test_a_program_gets_an_error_of_ours(tmp_path: Path, call: str) -> None:
    script = f"""
from flask import Flask
import statecast
app = Flask("app")
live = statecast.Statecast(app, port=0)
try:
    {call}
except statecast.StatecastError as error:
    print(json.dumps([type(error).__name__, str(error)]))
"""
    ended = on_windows(script, tmp_path)
    assert ended.stderr == ""
    assert json.loads(ended.stdout) == ["UnsupportedSystem", SENTENCE]


# Forks


class Owner:
    forked = False

    def after_fork(self) -> None:
        self.forked = True


def test_a_forked_child_calls_its_hook_and_the_parent_does_not() -> None:
    owner = Owner()
    in_children(owner, Owner.after_fork)
    child = os.fork()
    if child == 0:
        os._exit(0 if owner.forked else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert not owner.forked


def test_a_hook_does_not_keep_its_owner_alive() -> None:
    # given an object with a hook that the program has dropped
    owner = Owner()
    in_children(owner, Owner.after_fork)
    gone = weakref.ref(owner)
    del owner
    assert gone() is None
    # then forks go on without it
    child = os.fork()
    if child == 0:
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
