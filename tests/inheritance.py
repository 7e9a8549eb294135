"""What a process under test inherits: nothing that belongs to the person or program that runs the
tests.

Applied once, when pytest starts, to the process of the tests itself. Whatever a test starts, in
whatever way, inherits from there. A test that needs a variable says so where it starts the process.
"""

from __future__ import annotations

import os
import signal

KEPT = {"PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "CI", "CHROMIUM"}
"""Where programs are found and where files may lie; which browser; whether a skip is a failure."""

KEPT_BEGINNINGS = (
    *("TEST_STATECAST_", "PYTEST_", "COVERAGE_"),  # how much is tested, and how
    *("PIP_", "UV_", "NPM_CONFIG_", "SSL_", "NODE_EXTRA_"),  # how packages are reached
)
NO_PROXY = "localhost,127.0.0.1,::1"

INHERITED_SIGNALS = (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM)


def is_kept(name: str) -> bool:
    upper = name.upper()
    return (
        upper in KEPT or upper.startswith(KEPT_BEGINNINGS) or upper.endswith(("_PROXY", "_BUNDLE"))
    )


def clean() -> None:
    """Forget the variables and the signals of the shell, of ``nohup`` and of a job in the
    background.
    """
    for name in [name for name in os.environ if not is_kept(name)]:
        del os.environ[name]
    for name in ("no_proxy", "NO_PROXY"):  # a proxy for packages is none for servers under test
        os.environ[name] = ",".join(filter(None, (os.environ.get(name), NO_PROXY)))
    os.environ["NODE_DISABLE_COMPILE_CACHE"] = "1"  # which Node would leave in the temporary folder
    for number in INHERITED_SIGNALS:
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, _ignore)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    os.umask(0o022)


def _ignore(number: int, frame: object) -> None:
    """Ignores it here; SIG_IGN itself would be inherited, a handler is not."""
