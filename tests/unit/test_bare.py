"""The lane on a bare machine: what gets in, what is left, and which skips it accepts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tools import bare, skips
from tools.commands import Trouble

pytestmark = pytest.mark.bare

ROOT = Path(__file__).resolve().parent.parent.parent

# make


@pytest.mark.parametrize(
    ("given", "options"),
    [
        ("", "--"),
        ("AS=user SHORT=1", "--as user --short --"),
        ("AS= SUITE=sid ARGS=-x", "--suite sid -- -x"),
    ],
)
def test_make_passes_on_what_is_given_and_nothing_else(given: str, options: str) -> None:
    """``AS`` is also a variable that make itself has: the assembler."""
    command = ["make", "--dry-run", "--no-print-directory", "test-bare", *given.split()]
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    words = shown.replace("\\\n", " ").split("tools.bootstrap test-bare ")[1].split()
    assert words == options.split()


# Skips

LISTED = """
# a comment
both  tests/unit/test_names.py    needs a name
user  tests/system/test_page.py   needs Chromium: `make system-deps` installs it
"""
REPORT = """<testsuites><testsuite>
<testcase classname="tests.unit.test_names" name="a"><skipped message="needs a name"/></testcase>
<testcase classname="tests.unit.test_names" name="b"><skipped message="needs a name"/></testcase>
<testcase classname="tests.unit.test_names.TestMore" name="c"><skipped message="other"/></testcase>
<testcase classname="tests.unit.test_names" name="d"/>
</testsuite></testsuites>"""


def test_skips_are_told_apart_by_module_and_reason() -> None:
    assert skips.found(REPORT) == {
        "tests/unit/test_names.py: needs a name",
        "tests/unit/test_names.py: other",
    }


def test_who_runs_the_tests_decides_what_may_be_skipped() -> None:
    assert skips.expected(LISTED, "root") == {"tests/unit/test_names.py: needs a name"}
    assert len(skips.expected(LISTED, "user")) == 2
    with pytest.raises(ValueError, match="not a line"):
        skips.expected("nobody tests/unit/test_names.py a reason", "root")


@pytest.mark.parametrize("who", ["root", "user"])
def test_the_list_can_be_read_and_names_what_is_there(who: str) -> None:
    for skip in skips.expected((ROOT / "tools" / "bare_skips.txt").read_text(), who):
        module, _, reason = skip.partition(": ")
        assert (ROOT / module).exists() and reason.startswith("needs "), skip


def test_a_skip_that_is_not_listed_is_a_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # given a list and the report of a run
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools" / "bare_skips.txt").write_text(LISTED)
    report = tmp_path / "report.xml"
    report.write_text(REPORT)
    monkeypatch.setattr(bare, "ROOT", tmp_path)
    # when all tests ran, then both a skip too many and one too few are named
    assert bare.compare_skips(report, "user", whole=True).startswith("2 skips differ")
    told = capsys.readouterr().err
    assert "not expected: tests/unit/test_names.py: other" in told
    assert "but ran: tests/system/test_page.py: needs Chromium" in told
    # of some tests, only one too many counts
    assert bare.compare_skips(report, "user", whole=False).startswith("1 skips differ")


# What gets in


def test_only_the_ways_to_the_registries_get_in() -> None:
    found = bare.kept(
        {
            "PIP_INDEX_URL": "a", "npm_config_registry": "b", "HTTPS_PROXY": "c", "no_proxy": "d",
            "SSL_CERT_FILE": "e", "NODE_EXTRA_CA_CERTS": "f",
            "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1", "CI": "true", "LANG": "C",
            "CHROMIUM": "/x", "PIPX_HOME": "/x", "MAKEFLAGS": "-k",
        }
    )  # fmt: skip
    assert "".join(found.values()) == "abcdef"


def test_certificates_that_a_variable_names_come_along(tmp_path: Path) -> None:
    bundle = tmp_path / "bundle.pem"
    bundle.touch()
    assert list(bare.certificates({"PIP_CERT": str(bundle), "PIP_INDEX_URL": "x"})) == [str(bundle)]
    # and lie in the machine under the same name
    root = tmp_path / "root"
    bare.copy_into(root, bundle, bundle)
    assert (root / bundle.relative_to("/")).exists()


def test_the_mirror_is_the_one_of_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    # without apt, debootstrap's own default
    assert bare.debian_mirror() is None
    # with apt, the first that carries Debian itself
    apt = tmp_path / "apt-get"
    apt.write_text(
        "#!/bin/sh\n"
        "echo 'main http://mirror.invalid/debian-security/'\n"
        "echo 'contrib http://contrib.invalid/debian/'\n"
        "echo 'main http://mirror.invalid/debian/'\n"
    )
    apt.chmod(0o755)
    assert bare.debian_mirror() == "http://mirror.invalid/debian/"


# What is left


def test_without_root_rights_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(Trouble, match=r"needs root rights: `sudo make test-bare`\.$"):
        bare.main([])


def test_mounts_and_processes_end_with_it(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root rights, as `make test-bare` does")
    # given a run with a mount and with a process that outlives its parent
    script = 'mount -t tmpfs inside "$1"; (sleep infinity &) ; echo ready; sleep infinity'
    command = [*bare.ALONE, "sh", "-c", script, "sh", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout and process.stdout.readline() == "ready\n"
        # when its first process is killed
        process.kill()
        # then all that had its output open is gone, and the mount was never seen out here
        assert process.stdout.read() == ""
    assert str(tmp_path) not in Path("/proc/self/mounts").read_text()


def test_nothing_is_left_when_its_owner_is_killed(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root rights, as `make test-bare` does")
    # given a Python that waits for such a run
    code = f"import subprocess; subprocess.run({[*bare.ALONE]} + ['sh', '-c', 'echo ready; cat'])"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout and owner.stdout.readline() == "ready\n"
        # when it is killed, then the run ends too
        owner.kill()
        assert owner.stdout.read() == ""
