"""Follow devices without a Socket.IO library: python follow.py http://127.0.0.1:8000 pillow 'floor2/*'"""

import json
import random
import sys
import time

from websockets.exceptions import WebSocketException
from websockets.sync.client import connect


def follow(address, devices, show):
    states, offsets, place = {}, {}, None
    while True:
        try:
            with connect(
                "ws" + address.removeprefix("http") + "/socket.io/?EIO=4&transport=websocket"
            ) as socket:
                patience = 10
                while True:
                    packet = socket.recv(
                        timeout=patience
                    )  # silence for longer means that the connection is dead
                    if packet.startswith("0"):  # opened: join the namespace
                        terms = json.loads(packet[1:])
                        patience = (terms["pingInterval"] + terms["pingTimeout"]) / 1000
                        socket.send("40")
                    elif packet == "2":  # a ping
                        socket.send("3")
                    elif packet.startswith(
                        "40"
                    ):  # joined: say what to watch, and what is here already
                        wish = {"devices": devices, "protocol": 1} | (
                            {"since": place} if place else {}
                        )
                        socket.send("421" + json.dumps(["watch", wish]))
                    elif packet.startswith(("44", '431[{"error"')):  # refused, in a sentence
                        sys.exit(packet[2:])
                    elif packet.startswith('42["states",'):
                        news = json.loads(packet[2:])[1]
                        if news.get("reset"):  # what is here is of another history
                            states, offsets, place = {}, {}, None
                        for item in news["states"]:
                            if item["offset"] > offsets.get(item["device"], 0):
                                offsets[item["device"]] = item["offset"]
                                states[item["device"]] = item["state"]
                        if place is None or news["offset"] > place["offset"]:
                            place = {"epoch": news["epoch"], "offset": news["offset"]}
                        show(
                            {device: state for device, state in states.items() if state is not None}
                        )
        except (OSError, WebSocketException):
            time.sleep(
                random.uniform(0.5, 2)
            )  # not all at once: a restarted server has many to greet


if __name__ == "__main__":
    follow(sys.argv[1], sys.argv[2:], lambda states: print(json.dumps(states), flush=True))
