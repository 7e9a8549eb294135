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


class States:
    """What the server has sent: the newest entry of each device, and the position."""

    def __init__(self):
        self.entries, self.position, self.lost = {}, None, False

    def request(self, devices):
        """What `watch` takes: continue from the position that we have."""
        request = {"devices": devices, "protocol": 2}
        if self.position:
            request["since"] = self.position
        if self.lost:
            request["reset"] = True
        return request

    def apply(self, event):
        if event.get("reset"):  # our states belong to another history
            self.entries, self.position, self.lost = {}, None, False
        for item in event["states"]:
            self.apply_item(item)
        before = self.position
        named = {name: event[name] for name in ("epoch", "offset", "scope") if name in event}
        place = {**(before or {}), **named}  # what is not named is as before
        same = before and before["scope"] == place["scope"]
        if self.lost:  # no position holds until the event with `reset` comes
            self.position = None
        elif not same or place["offset"] > before["offset"]:
            self.position = place

    def apply_item(self, item):
        device = item["device"]
        held = self.entries.get(device, {"offset": 0, "version": None})
        if item.get("gone"):  # we may not read it any more
            self.entries.pop(device, None)
        elif item["offset"] <= held["offset"]:
            pass  # a newer one has overtaken it
        elif "from" not in item:
            self.entries[device] = item
        elif item["from"] == held["version"]:
            self.entries[device] = {**item, "state": merge(held["state"], item["patch"])}
        else:  # a patch of a version that we do not have
            self.lost = True

    def present(self):
        return {
            device: item["state"]
            for device, item in self.entries.items()
            if item["state"] is not None
        }


def merge(target, patch):
    """RFC 7396."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge(merged.get(name), value)
    return merged


def follow(address, devices, show):
    states = States()

    def watch(socket):
        socket.send("421" + json.dumps(["watch", states.request(devices)]))

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
                    elif packet.startswith("40"):  # joined
                        watch(socket)
                    elif packet.startswith(("44", '431[{"error"')):  # refused, with a sentence
                        sys.exit(packet[2:])
                    elif packet.startswith('42["states",'):
                        was_lost = states.lost
                        states.apply(json.loads(packet[2:])[1])
                        if states.lost and not was_lost:
                            watch(socket)
                        show(states.present())
        except (OSError, WebSocketException):
            # A random pause: after a restart of the server all its clients reconnect.
            time.sleep(random.uniform(0.5, 2))


if __name__ == "__main__":
    follow(sys.argv[1], sys.argv[2:], lambda states: print(json.dumps(states), flush=True))
