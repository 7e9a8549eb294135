"""nchan in nginx: a channel whose subscribers are WebSockets, published to over HTTP.

Only nginx counts. A publisher that is a request over a connection kept open stands for the
application, whose cost is not in it; in Statecast it is. Argument: a folder.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil

from benchmarks import client_frames
from benchmarks.nats_servers import free_ports
from benchmarks.processes import BenchmarkError, answer, raise_file_limit

INSTALL = "nchan is not here: apt-get install nginx-light libnginx-mod-nchan"
CONFIGURATION = """
load_module {module};
{user}
daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/log crit;
events {{ worker_connections 20000; }}
http {{
    access_log off;
    keepalive_requests 1000000;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    nchan_shared_memory_size 128M;
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location = /socket.io/ {{
            nchan_subscriber websocket; nchan_channel_id all;
            nchan_subscriber_first_message newest;
        }}
        location = /publish {{
            nchan_publisher http; nchan_channel_id all;
            nchan_message_buffer_length 1000; nchan_message_timeout 60s;
        }}
    }}
}}
"""


def program() -> str | None:
    return shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


def module() -> Path | None:
    """The module, where this nginx looks for its modules."""
    nginx = program()
    if nginx is None:
        return None
    said = subprocess.run([nginx, "-V"], capture_output=True, text=True, check=False).stderr
    folders = [one.partition("=")[2] for one in said.split() if one.startswith("--modules-path=")]
    found = [Path(folder) / "ngx_nchan_module.so" for folder in folders]
    return next((one for one in found if one.exists()), None)


def main(folder: Path) -> None:
    raise_file_limit()
    nginx, found = program(), module()
    if nginx is None or found is None:
        answer(error=INSTALL)
        return
    (port,) = free_ports(1)
    user = "user root;" if os.geteuid() == 0 else ""
    text = CONFIGURATION.format(module=found, user=user, folder=folder, port=port)
    file = folder / "nginx.conf"
    file.write_text(text)
    with subprocess.Popen([nginx, "-p", str(folder), "-c", str(file)]) as running:
        try:
            wait_for(port, running)
            pids = [running.pid, *(one.pid for one in psutil.Process(running.pid).children())]
            opening = [[client_frames.upgrade(port).decode(), "\r\n\r\n"]]
            answer(port=port, pids=pids, opening=opening)
            publish(port)
        finally:
            running.terminate()


def wait_for(port: int, running: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and running.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.02)
    raise BenchmarkError("nginx with nchan did not start")


def publish(port: int) -> None:
    publisher = http.client.HTTPConnection("127.0.0.1", port)
    for line in sys.stdin:
        command = json.loads(line)
        packet = client_frames.packet(command["data"])
        for _ in range(command["rounds"]):
            publisher.request("POST", "/publish", packet, {"Content-Type": "text/plain"})
            publisher.getresponse().read()
            time.sleep(command.get("pause", 0))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
