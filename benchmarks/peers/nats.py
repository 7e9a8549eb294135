"""nats-server and its WebSocket: viewers are NATS clients that subscribe to one subject.

Only nats-server counts; see ``nchan.py``. A message has a head of NATS's own in its frame.
Argument: a folder.
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

from benchmarks import client_frames
from benchmarks.nats_servers import free_ports
from benchmarks.peers.nchan import wait_for
from benchmarks.processes import answer, raise_file_limit

INSTALL = "nats-server is not here: apt-get install nats-server"
CONFIGURATION = """
listen: "127.0.0.1:{clients}"
ping_interval: "10h"
websocket {{ listen: "127.0.0.1:{viewers}", no_tls: true }}
"""
CONNECT = "\r\n".join(['CONNECT {"verbose":false,"pedantic":false}', "SUB states 1", "PING", ""])
HEAD_BYTES = len(f"MSG states 1 {client_frames.PACKET_BYTES}\r\n\r\n")


def main(folder: Path) -> None:
    raise_file_limit()
    program = shutil.which("nats-server")
    if program is None:
        answer(error=INSTALL)
        return
    clients, viewers = free_ports(2)
    file = folder / "nats.conf"
    file.write_text(CONFIGURATION.format(clients=clients, viewers=viewers))
    with (
        (folder / "nats.log").open("wb") as log,
        subprocess.Popen([program, "-c", str(file)], stdout=log, stderr=log) as running,
    ):
        try:
            wait_for(viewers, running)
            opening = [
                [client_frames.upgrade(viewers).decode(), "INFO"],
                [client_frames.text_frame(CONNECT).decode("latin-1"), "PONG"],
            ]
            packet_bytes = client_frames.PACKET_BYTES + HEAD_BYTES
            answer(port=viewers, pids=[running.pid], opening=opening, packet_bytes=packet_bytes)
            publish(clients)
        finally:
            running.terminate()


def publish(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as publisher:
        publisher.recv(65_536)  # INFO
        publisher.sendall(b'CONNECT {"verbose":false,"pedantic":false}\r\n')
        for line in sys.stdin:
            command = json.loads(line)
            packet = client_frames.packet(command["data"])
            message = b"PUB states %d\r\n%b\r\n" % (len(packet), packet)
            for _ in range(command["rounds"]):
                publisher.sendall(message)
                time.sleep(command.get("pause", 0))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
