"""Follow devices without a Socket.IO library.

python follow.py http://127.0.0.1:8000 pillow 'floor2/*'
"""

import json
import random
import sys
import time

from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

ENDPOINT = "/socket.io/?EIO=4&transport=websocket"


def follow(address, devices, show):
    states, offsets, position = {}, {}, None
    while True:
        try:
            with connect("ws" + address.removeprefix("http") + ENDPOINT) as socket:
                timeout = 10
                while True:
                    # A longer silence means that the connection is dead.
                    packet = socket.recv(timeout=timeout)
                    if packet.startswith("0"):  # opened: join the namespace
                        terms = json.loads(packet[1:])
                        timeout = (terms["pingInterval"] + terms["pingTimeout"]) / 1000
                        socket.send("40")
                    elif packet == "2":  # a ping
                        socket.send("3")
                    elif packet.startswith("40"):  # joined: watch, from the position that we have
                        request = {"devices": devices, "protocol": 1}
                        if position:
                            request["since"] = position
                        socket.send("421" + json.dumps(["watch", request]))
                    elif packet.startswith(("44", '431[{"error"')):  # refused, with a sentence
                        sys.exit(packet[2:])
                    elif packet.startswith('42["states",'):
                        event = json.loads(packet[2:])[1]
                        if event.get("reset"):  # our states belong to another history
                            states, offsets, position = {}, {}, None
                        for item in event["states"]:
                            device = item["device"]
                            if item.get("gone"):  # we may not read it any more
                                offsets.pop(device, None)
                                states.pop(device, None)
                            elif item["offset"] > offsets.get(device, 0):
                                offsets[device] = item["offset"]
                                states[device] = item["state"]
                        place = {name: event[name] for name in ("epoch", "offset", "scope")}
                        same = position and position["scope"] == place["scope"]
                        if not same or place["offset"] > position["offset"]:
                            position = place
                        show({name: state for name, state in states.items() if state is not None})
        except (OSError, WebSocketException):
            # A random pause: after a restart of the server all its clients reconnect.
            time.sleep(random.uniform(0.5, 2))


if __name__ == "__main__":
    follow(sys.argv[1], sys.argv[2:], lambda states: print(json.dumps(states), flush=True))
