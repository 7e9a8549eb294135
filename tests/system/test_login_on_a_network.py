"""The four commands of docs/how-to/who-may.md, from nothing to a page with login on a network.

They are read from the page and run as they stand, in an empty folder. Two things differ: passwords
come by the standard input, as there is no terminal, and the port is a free one.
"""

from __future__ import annotations

import re
import shlex
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from server_process import ServerProcess, statecast

from tests.waiting import wait_for

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "who-may.md"
PASSWORDS = {"ada": "correct horse battery staple", "grandma": "a blue cup of warm milk"}
OTHERS = {"Host": socket.gethostname()}
"""Of a request that asks for the machine by its name in the network, as other machines do: it is
none of this machine, whatever its address."""


def four_commands() -> list[list[str]]:
    [section] = re.findall(r"in four commands\n.*?```sh\n(.*?)```", PAGE.read_text(), re.DOTALL)
    lines = [shlex.split(line) for line in section.strip().splitlines()]
    assert [line[0] for line in lines] == ["statecast"] * 4
    return [line[1:] for line in lines]


class Network:
    """The server, and the key of the device."""

    def __init__(self, folder: Path) -> None:
        *before, run = four_commands()
        self.key = ""
        for words in before:
            password = PASSWORDS.get(words[2]) if words[0] == "user" else None
            more = [] if password is None else ["--password-stdin"]
            done = statecast(folder, *words, *more, given=password)
            assert done.returncode == 0, done.stderr
            if found := re.search(r"sk_\S+", done.stdout):
                self.key = found[0]
        assert run[0] == "run"
        self.server = ServerProcess(folder, *run[1:], "--port", "0")
        self.address = f"http://127.0.0.1:{self.server.port}"

    def sign_in(self, name: str) -> requests.Session:
        """The browser of a person, who was led to the form and has filled it in."""
        browser = requests.Session()
        browser.headers.update(OTHERS)
        form = browser.get(f"{self.address}/")
        [token] = re.findall(r'name="token" value="([^"]+)"', form.text)
        [target] = re.findall(r'name="next" value="([^"]*)"', form.text)
        given = {"token": token, "next": target, "user": name, "password": PASSWORDS[name]}
        origin = f"http://{OTHERS['Host']}"
        page = browser.post(
            f"{self.address}/statecast/sign-in",
            given,
            headers={"Origin": origin, "Sec-Fetch-Site": "same-origin"},
            allow_redirects=False,
        )
        assert page.status_code == 303, page.text
        return browser


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    made = Network(tmp_path_factory.mktemp("network"))
    yield made
    made.server.kill()


def test_without_any_of_them_the_last_is_refused(tmp_path: Path) -> None:
    done = statecast(tmp_path, *four_commands()[-1], "--port", "0")
    assert done.returncode == 2
    for words in ("user add ada --role operator", "key create pillow-1 --send pillow"):
        assert words in done.stderr
    assert "--allow-public" in done.stderr and "Traceback" not in done.stderr


def test_a_stranger_is_led_to_the_form(network: Network) -> None:
    page = requests.get(f"{network.address}/", headers=OTHERS, timeout=20)
    assert page.history[0].status_code == 303
    assert "<h1>Sign in</h1>" in page.text
    rest = requests.get(f"{network.address}/api/devices", headers=OTHERS, timeout=20)
    assert rest.status_code == 401


def test_people_see_what_the_device_sends(network: Network) -> None:
    # given two people who have signed in, and a device with its key
    ada, grandma = network.sign_in("ada"), network.sign_in("grandma")
    bearer = OTHERS | {"Authorization": f"Bearer {network.key}"}
    # when the device sends, and tries to send for another one
    messages = f"{network.address}/api/messages"
    body = {"device": "pillow", "state": {"mood": "happy"}}
    assert requests.post(messages, json=body, headers=bearer, timeout=20).status_code == 202
    wrong = body | {"device": "lamp"}
    assert requests.post(messages, json=wrong, headers=bearer, timeout=20).status_code == 403
    # then both see it on the page
    for browser in (ada, grandma):
        wait_for(lambda: "happy" in browser.get(f"{network.address}/").text)  # noqa: B023
    # and one may do everything, and the other only look
    pillow = f"{network.address}/api/devices/pillow"
    own = {"Origin": f"http://{OTHERS['Host']}", "Sec-Fetch-Site": "same-origin"}
    statuses = [
        browser.put(pillow, json={"mood": "calm"}, headers=own).status_code
        for browser in (grandma, ada)
    ]
    assert statuses == [403, 200]
    assert [one.get(f"{network.address}/operator").status_code for one in (grandma, ada)] == [
        403,
        200,
    ]
