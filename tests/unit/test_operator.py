"""The operator's page: what it shows, and whose forms it takes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from statecast import strict_json
from statecast.access.credentials import Credentials
from statecast.broadcast.last_hour import LastHour, Sample
from statecast.commands.request import new_command
from statecast.flask import create_app
from statecast.model import Delivery, Message, Refusal
from statecast.runtime import Runtime
from statecast.settings import Settings
from statecast.web import formatting, operator

NOW = 1_769_868_131_000
BAD = b'{"device":"pillow","state":5}'


class Scene:
    """An app with a store that has two messages in quarantine for one reason, and one more."""

    def __init__(self, folder: Path) -> None:
        self.app = create_app(Settings(store=f"sqlite:///{folder / 'secret-place.db'}"))
        self.runtime: Runtime = self.app.extensions["statecast"]
        self.runtime.clock = lambda: NOW
        for number, reason in enumerate(("It is a number.", "It is a number.", "No <b>name</b>.")):
            delivery = Delivery(f"id{number}", BAD, NOW - 60_000)
            message = Message(delivery, refusals=(Refusal(reason, BAD),))
            self.runtime.store.commit("queue", 1, [message])

    def page(self, query: str = "") -> str:
        answer = self.app.test_client().get(f"/operator{query}")
        assert answer.status_code == 200
        return answer.get_data(as_text=True)

    def post(self, headers: dict[str, str] | None = None, **form: Any) -> Any:
        own = {"Origin": "http://localhost", "Sec-Fetch-Site": "same-origin"}
        given = own if headers is None else headers
        return self.app.test_client().post("/operator", data=form, headers=given)

    @property
    def numbers(self) -> list[int]:
        return [row.number for row in self.runtime.store.quarantined()]


@pytest.fixture
def scene(tmp_path: Path) -> Any:
    made = Scene(tmp_path)
    yield made
    made.runtime.stop()


def words(html: str) -> str:
    """The text of a page without its tags."""
    return " ".join(re.sub(r"<[^>]*>", " ", html).split())


# What it shows


def test_sources_have_a_mark_an_age_and_their_consumer(scene: Scene) -> None:
    # given three sources in two processes
    def report(pid: int, **sources: Any) -> None:
        scene.runtime.store.announce(
            f"p{pid}",
            {"pid": pid, "viewers": 3, "lagging": 1, "dropped_events": 7, "sources": sources},
        )

    received = {"received_at": "2026-01-31T14:02:06.000Z", "waiting": 4, "sentence": None}
    report(11, queue=received | {"status": "connected", "lag": 0.01})
    report(
        12,
        late=received | {"status": "connected", "lag": 128.0},
        gone=received | {"status": "away", "lag": 0.0, "sentence": "It does not answer."},
    )
    # then each has the mark of its own state, and what else an operator asks for
    html = scene.page()
    marks = re.findall(r'<tr data-health="(\w+)">.*?data-mark="(\w+)"', html, re.DOTALL)
    assert marks == [("gone", "away"), ("late", "late"), ("queue", "live")]
    text = words(html)
    assert "It does not answer. 5 s ago 4 under 0.1 s" in text
    assert "5 s ago 4 128.0 s not known yet process 12" in text
    assert "2 of 3 connected" in text and "128.0 s 12 waiting" in text
    assert "6 2 behind" in text
    assert "process 11 3 1 7" in text


def test_the_quarantine_is_grouped_by_reason(scene: Scene) -> None:
    html = scene.page()
    reasons = re.findall(r"<h3>(.*?) <span>(.*?)</span>", html)
    assert reasons == [
        ("It is a number.", "2 messages"),
        ("No &lt;b&gt;name&lt;/b&gt;.", "1 message"),
    ]
    assert BAD.decode() in words(html).replace("&#34;", '"')
    assert html.count("Replay all 2") == 1 and html.count(">Replay<") == 3


def test_counts_since_the_store_was_made_are_shown_per_source(scene: Scene) -> None:
    scene.runtime.store.count_refused("api")
    text = words(scene.page())
    assert "api 0 0 0 0 0 0 1" in text
    assert "queue 3 0 0 0 3 0 0" in text


def test_the_store_has_sizes_and_no_path(scene: Scene, tmp_path: Path) -> None:
    html = scene.page()
    assert "secret-place" not in html and str(tmp_path) not in html
    assert re.search(r"Database [\d.]+.kB Log [\d.]+.kB Free disk [\d.]+.[TGM]B", words(html))


def test_a_store_in_memory_has_no_files() -> None:
    app = create_app(Settings(store="memory:"))
    assert "Database not known" in words(app.test_client().get("/operator").text)


def test_without_a_process_it_says_so(scene: Scene) -> None:
    text = words(scene.page())
    assert "No serving process has reported a source within 10 s." in text
    assert "No process serves this store now." in text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "not known"), (0.0, "under 0.1 s"), (0.1, "0.1 s"), (1234.56, "1,234.6 s")],
)
def test_a_lag_is_never_nothing(seconds: float | None, text: str) -> None:
    assert formatting.lag(seconds).replace("\u00a0", " ") == text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (None, "not known"), (0, "0 B"), (999, "999 B"), (1_000, "1 kB"), (4_096, "4.1 kB"),
        (123_456_789, "123 MB"), (1_000_000_000, "1 GB"), (2_500_000_000_000, "2.5 TB"),
    ],
)  # fmt: skip
def test_sizes_have_units(count: int | None, text: str) -> None:
    assert formatting.size(count).replace("\u00a0", " ") == text


def test_an_age_is_never_negative() -> None:
    assert formatting.ago(NOW + 60_000, NOW) == formatting.ago(NOW, NOW) == "just now"
    assert formatting.ago(NOW - 300_000, NOW) == "5 min ago"


@pytest.mark.parametrize(
    ("lag", "waiting", "expected"),
    [(None, 0, 0.0), (None, None, None), (None, 5, None), (0.2, 0, 0.2)],
)
def test_where_nothing_waits_there_is_no_lag(
    scene: Scene, lag: float | None, waiting: int | None, expected: float | None
) -> None:
    reports = {"p": {"sources": {"queue": {"status": "connected", "lag": lag, "waiting": waiting}}}}
    (row,) = operator.source_rows(reports, {}, scene.runtime, NOW)
    assert (row.lag, row.mark) == (expected, "live")


# Charts


def test_a_chart_has_a_bar_for_each_minute_with_something() -> None:
    chart = operator.Chart("Messages", [None, None, 0, 5, 10])
    assert chart.bars == [(3, 12.0), (4, 24.0)]
    assert chart.unknown == 2 and chart.highest == 10


def test_a_small_number_beside_a_large_one_is_still_seen() -> None:
    assert operator.Chart("Messages", [1, 1_000_000]).bars[0] == (0, 1.0)


def test_what_this_process_announced_before_is_not_how_it_is_now(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk takes no announcement: the one before it said that all is well."""
    runtime = scene.runtime
    received = {"received_at": "2026-01-31T14:02:06.000Z", "waiting": 4, "lag": 0.0}
    blocked = received | {"status": "blocked", "sentence": "The disk is full."}
    well = received | {"status": "connected", "sentence": None}
    runtime.store.announce(runtime.process_reports.process, {"sources": {"queue": well}})
    monkeypatch.setattr(runtime, "own_report", lambda: {"pid": 1, "sources": {"queue": blocked}})
    assert 'data-mark="live">connected' in scene.page()
    monkeypatch.setattr(runtime, "_serving", True)
    html = scene.page()
    assert 'data-mark="away">blocked' in html and "The disk is full." in html


def test_a_chart_of_nothing_is_empty() -> None:
    chart = operator.Chart("Lag", [None] * 60)
    assert chart.bars == [] and chart.unknown == 60 and chart.highest == 0
    assert not chart.is_known and operator.Chart("Lag", [None] * 59 + [0]).is_known


def test_what_is_not_known_yet_is_not_called_nothing(scene: Scene) -> None:
    assert "Messages not known yet" in words(scene.page())


def test_the_last_hour_is_drawn_and_told(scene: Scene) -> None:
    hour: LastHour = scene.runtime.last_hour
    hour.add(Sample(NOW - 60_000, {"queue": 100}, 0.0, 2))
    hour.add(Sample(NOW - 1_000, {"queue": 142}, 3.25, 5))
    html = scene.page()
    text = words(html)
    assert "Messages 42 a minute at most" in text
    assert "Longest lag 3.25 s at most" in text and "Viewers 5 at most" in text


# Forms

OWN = {"Origin": "http://localhost"}
FOREIGN = [
    {},
    {"Origin": "null"},
    {"Origin": "http://evil.example"},
    {"Origin": "http://localhost:8080"},
    {"Origin": "http://localhost.evil.example"},
    {"Origin": "http://localhost", "Sec-Fetch-Site": "cross-site"},
    {"Origin": "http://localhost", "Sec-Fetch-Site": "same-site"},
    {"Origin": "http://localhost", "Sec-Fetch-Site": "none"},
    {"Sec-Fetch-Site": "same-origin"},
]


@pytest.mark.parametrize("headers", FOREIGN, ids=lambda headers: json.dumps(headers))
def test_a_form_of_another_site_changes_nothing(scene: Scene, headers: dict[str, str]) -> None:
    before = scene.numbers
    answer = scene.post(headers, action="drop", number=before[0])
    assert answer.status_code == 403 and "came from another site" in answer.text
    assert scene.numbers == before


@pytest.mark.parametrize("headers", [OWN, OWN | {"Sec-Fetch-Site": "same-origin"}])
def test_a_form_of_our_page_drops_a_message(scene: Scene, headers: dict[str, str]) -> None:
    first, *others = scene.numbers
    answer = scene.post(headers, action="drop", number=first)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/operator?dropped=1")
    assert scene.numbers == others
    assert "Dropped: 1." in words(scene.page("?dropped=1"))


def test_replaying_applies_what_can_be_applied_and_says_what_was_refused_again(
    scene: Scene,
) -> None:
    # given a message that the decoder takes by now, among those that it does not
    good = strict_json.encode({"device": "lamp", "state": {"on": True}})
    delivery = Delivery("good", good, NOW)
    message = Message(delivery, refusals=(Refusal("A former version refused it.", good),))
    scene.runtime.store.commit("queue", 1, [message])
    # when all are replayed, with one that is gone
    answer = scene.post(action="replay", number=[*scene.numbers, 999])
    # then it is applied, the others stay with their reason, and the page says so
    assert answer.headers["Location"] == "/operator?replayed=1&refused=3&gone=1"
    assert scene.runtime.store.get("lamp") is not None
    assert len(scene.numbers) == 3
    text = words(scene.page("?replayed=1&refused=3&gone=1"))
    assert "Replayed: 1. Refused again, now with the newest reason: 3." in text
    assert "Not in quarantine any more: 1." in text


@pytest.mark.parametrize("number", ["", "x", "-1", "1.5", "٣", "9" * 40, "1; DROP"])
def test_a_number_that_is_none_is_left_out(scene: Scene, number: str) -> None:
    assert scene.post(action="drop", number=number).status_code == 303
    assert len(scene.numbers) == 3


@pytest.mark.parametrize("action", ["", "delete", "REPLAY"])
def test_an_action_that_does_not_exist_is_refused(scene: Scene, action: str) -> None:
    assert scene.post(action=action, number=scene.numbers[0]).status_code == 400
    assert len(scene.numbers) == 3


@pytest.mark.parametrize(
    "arguments", [{"replayed": "<b>"}, {"replayed": "9999"}, {"x": "1"}, {"dropped": ""}]
)
def test_an_outcome_that_no_form_had_is_not_shown(arguments: dict[str, str]) -> None:
    assert operator.outcome(arguments) == ""


def test_open_commands_are_counted_by_device(scene: Scene) -> None:
    assert "None: every command is at its end." in words(scene.page())
    for device in ("floor2/lamp", "pillow", "floor2/lamp"):
        scene.runtime.store.begin_command(new_command(device, "hug", expires=86_400))
    page = scene.page()
    assert '<a href="/devices/floor2/lamp">floor2/lamp</a>' in page
    assert "floor2/lamp 2" in words(page)
    for number in range(11):
        scene.runtime.store.begin_command(new_command(f"d{number:02}", "hug", expires=86_400))
    assert "14 commands in all" in words(scene.page())


def test_a_share_link_is_made_shown_once_and_revoked(scene: Scene) -> None:
    assert "A link shows devices to who has it" in words(scene.page())
    assert 'value="pillow"' in scene.page("?share=pillow")
    # when an operator makes a link
    made = scene.post(action="share", pattern=" floor2/* ", expires="1d")
    found = re.search(r"http://localhost/statecast/share#(sh_[\w-]+)", made.text)
    assert made.status_code == 200 and found is not None
    identity = scene.runtime.rights.policy.identify(Credentials(bearer=found[1]))
    assert identity.own.as_table() == {"floor2/*": "read"}
    # then the page lists it without its secret
    page = scene.page()
    assert "floor2/* local" in words(page)
    assert found[1][-43:] not in page
    assert "local share created" in words(page)
    # and it can be revoked there
    (link,) = scene.runtime.rights.shares.all()
    done = scene.post(action="unshare", id=link.id)
    assert done.status_code == 303
    assert "The link is revoked" in scene.page(done.headers["Location"].partition("operator")[2])
    again = scene.post(action="unshare", id=link.id)
    assert "absent" in again.headers["Location"]


@pytest.mark.parametrize(
    "form", [{"pattern": "a*", "expires": "1d"}, {"pattern": "a", "expires": "2y"}, {}]
)
def test_a_wrong_share_is_a_sentence(scene: Scene, form: dict[str, str]) -> None:
    made = scene.post(action="share", **form)
    assert made.status_code == 400
    assert scene.runtime.rights.shares.all() == []


def test_what_was_done_stands_on_the_page(scene: Scene) -> None:
    assert "Nothing yet: edits" in words(scene.page())
    scene.post(action="drop", number=scene.numbers[0])
    assert "local drop 1" in words(scene.page())
