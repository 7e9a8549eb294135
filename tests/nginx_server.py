"""A real nginx before a server of the tests, with the configuration that the documents show."""

from __future__ import annotations

import re
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from azurite_server import free_port
from child_process import started

ROOT = Path(__file__).resolve().parent.parent
FILE = ROOT / "contrib" / "nginx.conf"
SEVERAL_HOSTS = ROOT / "contrib" / "nginx-several-hosts.conf"
PAGE = ROOT / "docs" / "how-to" / "proxy.md"

MAIN = """
daemon off;
master_process off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr notice;
events {{ worker_connections {connections}; }}
http {{
    access_log off;
    default_type text/plain;
    {paths}
{site}
}}
"""
PATHS = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


def documented_blocks() -> dict[str, str]:
    """The ``location`` blocks of the how-to, by their path."""
    found = re.findall(r"^```nginx\n(location (\S+) \{\n.*?)^```", PAGE.read_text(), re.M | re.S)
    return {path: block for block, path in found}


def site(location: str = "", *, port: int, backend: str, more: str = "") -> str:
    """The site file of ``contrib``, at another port, before another server.

    ``location`` replaces the one of the file; ``more`` is put beside it.
    """
    text = FILE.read_text()
    if location:
        text = re.sub(r"    location / \{.*?^    \}\n", lambda _: location, text, flags=re.M | re.S)
        assert location in text
    for old, new in {
        "server statecast:8000;": f"server {backend.removeprefix('http://')};",
        "listen 80;": f"listen 127.0.0.1:{port};{more}",
    }.items():
        assert old in text
        text = text.replace(old, new)
    return text


@contextmanager
def running(
    program: str,
    folder: Path,
    backend: str,
    location: str = "",
    *,
    more: str = "",
    certificate: tuple[Path, Path] | None = None,
) -> Iterator[str]:
    """nginx before the server at ``backend``; yields its address, once it listens."""
    port = free_port()
    text = site(location, port=port, backend=backend, more=more)
    if certificate:
        files = "ssl_certificate {}; ssl_certificate_key {};".format(*certificate)
        text = text.replace(f":{port};", f":{port} ssl; {files}")
    with serving(program, folder, text):
        yield f"http{'s' if certificate else ''}://127.0.0.1:{port}"


@contextmanager
def before_several(program: str, folder: Path, backends: Sequence[str]) -> Iterator[str]:
    """nginx before several servers, with the file of ``contrib`` for them; yields its address."""
    port = free_port()
    text = SEVERAL_HOSTS.read_text()
    for number, backend in enumerate(backends, 1):
        name = f"statecast-{number}:8000"
        assert name in text
        text = text.replace(name, backend.removeprefix("http://"))
    assert "server statecast" not in text and "listen 80;" in text
    with serving(program, folder, text.replace("listen 80;", f"listen 127.0.0.1:{port};")):
        yield f"http://127.0.0.1:{port}"


def all_are_up(folder: Path) -> bool:
    """nginx takes no server out, so a new one needs no time."""
    return True


@contextmanager
def serving(
    program: str, folder: Path, text: str, prefix: Sequence[str] = (), connections: int = 256
) -> Iterator[None]:
    """nginx with this site file, from when it listens until the end of the block.

    ``prefix`` stands before its command, as that of a host that the test made.
    """
    paths = " ".join(f"{name}_temp_path {folder / name};" for name in PATHS)
    configuration = folder / "nginx.conf"
    configuration.write_text(
        MAIN.format(folder=folder, paths=paths, site=text, connections=connections)
    )
    command = [*prefix, program, "-p", str(folder), "-c", str(configuration), "-e", "stderr"]
    with started(command, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        lines = []
        for line in process.stderr:
            lines.append(line)
            if "using the" in line:  # its sockets were opened before
                break
        else:
            raise AssertionError("nginx ended:\n" + "".join(lines))
        # It would stand still once the pipe is full of what it says.
        reader = threading.Thread(target=process.stderr.read, name="nginx log")
        reader.start()
        try:
            yield
            process.terminate()
            process.wait(20)
        finally:
            process.kill()
            reader.join(20)
