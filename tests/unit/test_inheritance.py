"""What the processes of the tests inherit is the same on every machine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import inheritance

pytestmark = pytest.mark.bare

TESTS = Path(inheritance.__file__).parent

# A process that cleans itself as pytest does, and then starts a child that says what it has.
PARENT = """
import inheritance, subprocess, sys
inheritance.clean()
sys.exit(subprocess.run([sys.executable, "-c", sys.argv[1]]).returncode)
"""
CHILD = """
import json, os, signal
ignored = [s.name for s in signal.Signals if signal.getsignal(s) is signal.SIG_IGN]
blocked = [s.name for s in signal.pthread_sigmask(signal.SIG_BLOCK, ())]
print(json.dumps([dict(os.environ), ignored, blocked]))
"""


def of_a_child(before: str = "", **variables: str) -> tuple[dict[str, str], set[str], set[str]]:
    """The variables, the ignored and the blocked signals of a test's child.

    ``before`` runs in the process that becomes the parent, as ``nohup`` would.
    """
    ran = subprocess.run(
        [sys.executable, "-c", f"import signal; {before}\n{PARENT}", CHILD],
        env=os.environ | variables, cwd=TESTS, capture_output=True, text=True, check=True,
    )  # fmt: skip
    environment, ignored, blocked = json.loads(ran.stdout)
    return environment, set(ignored), set(blocked)


def test_variables_of_a_shell_do_not_reach_it() -> None:
    builders = ("PYTHONUNBUFFERED", "STATECAST_STORE", "COLUMNS", "LC_ALL", "TERM", "FLASK_APP")
    environment, _, _ = of_a_child(**dict.fromkeys(builders, "1"))
    assert not set(builders) & set(environment)


def test_what_packages_need_reaches_it() -> None:
    environment, _, _ = of_a_child(https_proxy="http://proxy.test", PIP_CERT="x", no_proxy="a.test")
    assert environment["PATH"] == os.environ["PATH"]
    assert (environment["https_proxy"], environment["PIP_CERT"]) == ("http://proxy.test", "x")
    assert environment["no_proxy"].split(",")[0] == "a.test"
    assert "127.0.0.1" in environment["no_proxy"].split(",")


@pytest.mark.parametrize("number", inheritance.INHERITED_SIGNALS, ids=lambda one: one.name)
def test_an_ignored_signal_is_not_ignored_by_it(number: signal.Signals) -> None:
    _, ignored, _ = of_a_child(f"signal.signal({int(number)}, signal.SIG_IGN)")
    assert number.name not in ignored


def test_a_blocked_signal_is_not_blocked_in_it() -> None:
    _, _, blocked = of_a_child("signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])")
    assert not blocked
