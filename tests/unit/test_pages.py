"""The first HTML: true, escaped, light, and not one word about being live."""

from __future__ import annotations

import gzip
import json
import re
import shlex
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import flask
import pytest

from statecast.access.records import AccessRecord, AuditEntry
from statecast.broadcast.last_hour import LastHour
from statecast.broadcast.unserved import Unserved
from statecast.commands.life import Command
from statecast.errors import StatecastError, StoreUnavailable, StoreUnusable
from statecast.model import Cause, HistoryRow, Position, Quarantined, Update
from statecast.problems import Problems
from statecast.server.static_files import static_files
from statecast.settings import Settings
from statecast.stores.changes import Changes, ReadCursor
from statecast.stores.contract import DamagedRow
from statecast.stores.limits import Sizes
from statecast.stores.open_commands import OpenCommands
from statecast.stores.totals import Totals
from statecast.web import (
    formatting,
    page_templates,
    pages,
    picture_rules,
    pictures,
    view_models,
)
from tests.fakes.fake_access import rights

NOW = 1_769_868_131_000  # 2026-01-31 14:02:11 UTC
STATIC = Path(pages.__file__).parent / "static"
PILLOW = {
    "mood": "happy", "battery": 82, "hugged": False, "hugs": 14, "color": "#ff8fb0",
    "position": {"room": "living room", "x": 3.2, "y": 1.05},
}  # fmt: skip


@dataclass
class FakeStore:
    """Holds what a test puts in; answers the questions that pages ask."""

    updates: list[Update] = field(default_factory=list)
    rows: dict[str, list[HistoryRow]] = field(default_factory=dict)
    bad: list[Quarantined] = field(default_factory=list)
    asked: list[Command] = field(default_factory=list)

    def damaged(self) -> list[DamagedRow]:
        return []

    def open_commands(self, limit: int) -> OpenCommands:
        return OpenCommands()

    def audit_rows(self, *, limit: int) -> list[AuditEntry]:
        return []

    def access_records(self, kind: str) -> list[AccessRecord]:
        return []

    def commands(self, device: str, *, limit: int) -> list[Command]:
        asked = [one for one in self.asked if one.device == device]
        return sorted(asked, key=lambda one: -one.number)[:limit]

    def put(
        self,
        device: str,
        state: dict[str, Any] | None,
        *,
        age: float = 2,
        deadline: float | None = 30,
    ) -> None:
        raw = None if state is None else json.dumps(state, ensure_ascii=False).encode()
        at = NOW - int(age * 1000)
        offset = len(self.updates) + 1
        cause = Cause("queue", str(offset), "device")
        times = dict.fromkeys(state or {}, at)
        self.updates.append(Update(device, 7, offset, raw, at, at, cause, deadline, "queue", times))

    def remember(self, device: str, *changes: dict[str, Any]) -> None:
        """Versions 1, 2, 3 ... a minute apart, the last one now."""
        self.rows[device] = [
            HistoryRow(NOW - (len(changes) - version) * 60_000, version,
                json.dumps(change).encode(),
                       Cause("queue", str(version), "device"))
            for version, change in enumerate(changes, 1)
        ][::-1]  # fmt: skip

    def read(self, after: ReadCursor, limit: int | None = None) -> Changes:
        return Changes(
            Position("epoch1", len(self.updates)),
            ReadCursor(len(self.updates)),
            tuple(self.updates[:limit]),
        )

    def get(self, device: str) -> Update | None:
        return next((one for one in self.updates if one.device == device), None)

    def devices(self, **_: object) -> list[Update]:
        return sorted(
            (one for one in self.updates if one.state is not None), key=lambda one: one.device
        )

    def neighbours(self, device: str, limit: int) -> list[str]:
        return [one.device for one in self.devices()]

    def history(
        self, device: str, *, before: int | None = None, limit: int = 50
    ) -> list[HistoryRow]:
        return self.rows.get(device, [])[:limit]

    def reports(self) -> dict[str, dict[str, Any]]:
        health = {
            "status": "connected",
            "received_at": "2026-01-31T14:02:09.000Z",
            "lag": 0.1,
            "waiting": 4,
        }
        return {
            "p1": {"sources": {"queue": health}, "viewers": 3},
            "p2": {"sources": {}, "viewers": 2},
        }

    def quarantined(
        self,
        *,
        after: int = 0,
        limit: int = 100,
        device: str | None = None,
        newest: bool = False,
    ) -> list[Quarantined]:
        found = [row for row in self.bad if device in (None, row.device)]
        return found[::-1] if newest else found

    def quarantine_count(self, device: str | None = None) -> int:
        return len(self.quarantined(device=device))

    def is_valid(self, position: Position) -> bool:
        return True

    def read_position(self) -> Position:
        return Position("epoch1", len(self.updates))

    def totals(self) -> dict[str, Totals]:
        return {"queue": Totals(messages=5)}

    def sizes(self) -> Sizes:
        return Sizes()

    def history_size(self, device: str) -> tuple[int, int | None]:
        rows = self.rows.get(device, [])
        return len(rows), rows[-1].at if rows else None


class Tree(HTMLParser):
    """Every start tag with its attributes, and all text: what a browser would see."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, **wanted: str) -> list[dict[str, str | None]]:
        names = {key.replace("_", "-"): value for key, value in wanted.items()}
        return [
            attrs
            for _, attrs in self.tags
            if all(attrs.get(key) == value for key, value in names.items())
        ]

    def one(self, **wanted: str) -> dict[str, str | None]:
        (found,) = self.all(**wanted)
        return found


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


def browse(
    store: FakeStore,
    path: str,
    settings: Settings | None = None,
    headers: dict[str, str] | None = None,
    below: str = "",
    **options: Any,
) -> Any:
    """``below`` is the path of a site below which the app is."""
    app = flask.Flask("host", static_folder=None)
    settings = settings or Settings()
    live = SimpleNamespace(
        rights=rights(settings, NOW),
        store=store,
        settings=settings,
        clock=lambda: NOW,
        last_hour=LastHour(),
        problems=Problems(lambda: NOW),
        unserved=Unserved(lambda: store, list),
        allows_page=lambda address: True,
        current_reports=lambda: store.reports(),
    )
    app.register_blueprint(pages.pages(live, **options))
    return app.test_client().get(path, base_url=f"http://localhost{below}/", headers=headers)


def page(store: FakeStore, path: str = "/", **options: Any) -> Tree:
    return Tree(browse(store, path, **options).get_data(as_text=True))


def demo(store: FakeStore) -> FakeStore:
    store.put("pillow", PILLOW)
    store.updates[-1] = replace(store.updates[-1], commands=("hug",))
    moods = [
        {"mood": mood, "battery": 95 - position}
        for position, mood in enumerate(("sleepy", "calm", "sad", "happy") * 4)
    ]
    store.remember("pillow", PILLOW, *moods, {"hugged": True}, {"hugs": 14}, {"hugged": False})
    return store


def twelve(store: FakeStore) -> FakeStore:
    store.put("pillow", {"mood": "happy", "battery": 82, "hugs": 14})
    store.put("nursery/pillow", {"mood": "sleepy", "battery": 46, "hugs": 203, "color": "#b8a5ff"})
    store.put("office/pillow", {"mood": "sad", "battery": 9, "hugs": 0, "color": "#9db8d8"})
    store.put("lobby/pillow", {"mood": "happy", "hugged": True, "battery": 64})
    store.put(
        "greenhouse/temperature", {"kind": "temperature", "temperature_c": 21.4, "humidity": 58}
    )
    store.put("greenhouse/tank", {"level": 62, "pump": "off", "flow": 0})
    store.put("hall/light", {"kind": "light", "on": True, "brightness": 70, "color": "warm"})
    store.put("front-door", {"open": False, "locked": True, "battery": 91})
    store.put("garage/lock", {"locked": True, "battery": 30}, age=840, deadline=60)
    store.put("roof/power", {"power_kw": 1.28, "today_kwh": 9.6})
    store.put("stairs/motion", {"motion": False, "battery": 71})
    store.put("warehouse/parcel", {"position": {"x": 1, "y": 2}}, deadline=None)
    for name, one in (("greenhouse/temperature", "temperature_c"), ("roof/power", "power_kw")):
        store.remember(name, *({one: 21 + (position * 7 % 10) / 10} for position in range(40)))
    return store


# Numbers, ages, fields


def test_the_unit_leaves_the_name() -> None:
    assert formatting.split_unit("temperature_c", 21.4) == ("temperature", "°C")
    assert formatting.split_unit("_c", 1) == ("_c", "")
    assert formatting.split_unit("temperature_c", "n/a") == ("temperature_c", "")


def test_main_fields_are_the_known_then_by_name_and_battery_last() -> None:
    state = {
        "battery": 82,
        "zeta": 1,
        "mood": "calm",
        "hugged": False,
        "label": "Pillow",
        "alpha": 2,
    }

    assert formatting.main_fields(state) == ["mood", "hugged", "alpha"]
    assert formatting.in_order(state)[-2:] == ["battery", "label"]
    assert formatting.main_fields(state, ("battery", "missing")) == ["battery"]


def test_objects_open_two_levels() -> None:
    state = {"a": {"b": {"c": {"d": 1}}}, "empty": {}}

    assert [path for _, path, _ in formatting.rows(state)] == ["a.b.c", "empty"]


# Pictures: which one is chosen is tested in test_shared_tables.py

X, NOTHING = picture_rules.choose({"x": 5}), picture_rules.choose({})


@pytest.mark.parametrize(
    "color", ["#ff8fb0", "pink", "rgb(1, 2, 3)", "hsl(120 50% 50% / .5)", "#abc"]
)
def test_colours_pass(color: str) -> None:
    assert pictures.Scene({"color": color}, NOTHING).result("color", "color") == color


@pytest.mark.parametrize(
    "color", ["url(//x)", "red;x:y", "var(--a)", "#12", "", 'red" onload="x', 5, None]
)
def test_what_is_no_colour_stays_white(color: Any) -> None:
    assert pictures.Scene({"color": color}, NOTHING).result("color", "color") is None


def test_a_sparkline_holds_raw_values() -> None:
    scene = pictures.Scene({"x": 5}, X, (3, 4, 5))

    assert scene.result("$", "bounds") == "37 3 2 2"
    assert scene.result("$", "spark") == "36 1 37 3 38 4 39 5 40 1"
    assert pictures.Scene({"x": 5}, X, (5,)).result("$", "spark") is None


def test_a_flat_or_huge_line_is_drawn_too() -> None:
    assert pictures.Scene({}, X, (2, 2)).result("$", "bounds") == "38 1.5 1 1"
    huge = pictures.Scene({}, X, (-1.7e308, 1.7e308))
    assert "nan" not in (huge.result("$", "bounds") or "") and "inf" not in (
        huge.result("$", "bounds") or ""
    )


def test_the_big_picture_says_what_it_shows(store: FakeStore) -> None:
    store.put("pillow", {"mood": "sad", "hugged": True, "battery": 82})

    assert page(store).one(role="img")["aria-label"] == "Cloud pillow: hugged, battery 82 percent"


# The first HTML


def test_nothing_yet(store: FakeStore) -> None:
    tree = page(store)

    assert "No device has sent anything yet" in tree.text
    assert "statecast send --server http://localhost pillow mood=happy battery=82" in tree.text
    assert tree.one(data_page="empty")["data-epoch"] == "epoch1"


def test_exactly_one_device_is_the_page(store: FakeStore) -> None:
    tree = page(demo(store))

    assert tree.one(id="device")["data-device"] == "pillow"
    assert "data-only" in tree.one(data_page="device")
    assert tree.one(id="others")
    assert page(store, "/?all").one(data_device="pillow", **{"class": "card"})


def test_the_first_html_is_true_and_says_as_of(store: FakeStore) -> None:
    # Given a pillow whose last message is 2 s old
    tree = page(demo(store), "/devices/pillow")

    # Then state, place and time are in it, and nothing says live
    body = tree.one(data_page="device")
    assert (body["data-epoch"], body["data-offset"], body["data-now"]) == ("epoch1", "1", str(NOW))
    assert "as of 14:02:11 UTC" in tree.text
    assert "14:02:09 UTC, silent after 30 s" in tree.text
    assert not tree.all(data_mark="live")
    assert not re.search(
        r"\blive\b", re.sub(r"(?s)<noscript>.*?</noscript>", "", tree.text), re.IGNORECASE
    )
    assert (
        json.loads(tree.text[tree.text.index('{\n  "mood"') : tree.text.index("\n}") + 2]) == PILLOW
    )


@pytest.mark.parametrize(
    ("device", "state", "title"),
    [
        ("pillow", {"mood": "happy", "battery": 82}, "happy · pillow"),
        ("hall/light", {"on": False, "brightness": 70}, "off · hall/light"),
        ("door", {"open": True, "label": "Front door"}, "open · Front door"),
        ("meter", {"energy_kwh": 12345.678}, "12,345.678 kWh · meter"),
        ("box", {}, "box"),
    ],
)
def test_the_title_says_what_the_picture_says(
    store: FakeStore, device: str, state: dict[str, Any], title: str
) -> None:
    store.put(device, state)
    html = browse(store, f"/devices/{device}").get_data(as_text=True)
    expected = title.replace(" kWh", "\N{NO-BREAK SPACE}kWh")
    assert f"<title>{expected} \N{EM DASH} Statecast</title>" in html


def test_history_shows_what_a_field_was(store: FakeStore) -> None:
    store.put("pillow", {"mood": "happy", "position": {"x": 2}})
    store.remember(
        "pillow", {"mood": "calm", "position": {"x": 1}}, {"position": {"x": 2}}, {"mood": "happy"}
    )

    html = browse(store, "/devices/pillow").get_data(as_text=True)

    assert "mood <s>calm</s> → <b>happy</b>" in html
    assert "position.x <s>1</s> → <b>2</b>" in html
    assert "3 versions since 31 Jan" in html


def test_a_version_that_arrived_later_says_so(store: FakeStore) -> None:
    # Given a reading of six hours ago that arrived now, and one that took half a minute
    store.put("pillow", {"mood": "happy"}, age=6 * 3600)
    store.updates[0] = replace(store.updates[0], arrived_at=NOW)
    store.remember("pillow", {"mood": "calm"}, {"mood": "happy"})
    late, prompt = store.rows["pillow"]
    store.rows["pillow"] = [
        replace(late, at=NOW - 6 * 3_600_000, arrived_at=NOW),
        replace(prompt, arrived_at=prompt.at + 30_000),
    ]
    # Then the heading and one row of the history say it, and the script starts from it
    html = browse(store, "/devices/pillow").get_data(as_text=True)
    assert '<dd data-show="version">7, arrived later</div>' in html
    assert html.count(" · arrived later</code>") == 1
    assert f"data-arrived={NOW}" in html


def test_lanes_are_what_changed_and_their_height_is_reserved(store: FakeStore) -> None:
    lanes = page(demo(store)).one(id="lanes")

    assert json.loads(lanes["data-lanes"] or "") == [
        ["mood", "band"], ["hugged", "band"], ["hugs", "number"], ["battery", "number"],
    ]  # fmt: skip
    assert lanes["height"] == str(2 * 54 + 2 * 82 + 26)


def test_two_devices_are_cards_in_the_order_of_their_names(store: FakeStore) -> None:
    tree = page(twelve(store))

    names = [
        attrs["data-device"] for attrs in tree.all(**{"class": "card"}) if "data-device" in attrs
    ]
    assert names == sorted(names) and len(names) == 12
    assert tree.one(id="search") and "12 devices" in tree.text


def test_over_sixty_devices_are_rows_by_prefix(store: FakeStore) -> None:
    for position in range(61):
        store.put(f"floor{position % 2}/desk-{position:02}", {"mood": "calm"})

    tree = page(store)

    assert [attrs["data-group"] for attrs in tree.all() if attrs.get("data-group")] == [
        "floor0/",
        "floor1/",
    ]
    assert len([attrs for attrs in tree.all(**{"class": "row"}) if "data-device" in attrs]) == 61


def test_search_and_filter_work_without_script(store: FakeStore) -> None:
    twelve(store)

    shown_names = [
        attrs["data-device"] for attrs in page(store, "/?q=SAD").all(**{"class": "card"})
        if "hidden" not in attrs and "data-device" in attrs
    ]  # fmt: skip
    silent = [
        attrs["data-device"] for attrs in page(store, "/?show=silent").all(**{"class": "card"})
        if "hidden" not in attrs and "data-device" in attrs
    ]  # fmt: skip

    assert (shown_names, silent) == (["office/pillow"], ["garage/lock"])
    assert "hidden" not in page(store, "/?q=nothing-like-it").one(id="nothing")


def test_the_setting_card_chooses_fields(store: FakeStore) -> None:
    twelve(store)
    tree = page(store, settings=Settings(card_fields=("battery",)))

    fields = {attrs["data-field"] for attrs in tree.all() if attrs.get("data-field")}
    assert "battery" in fields and "hugs" not in fields


def test_a_deadline_comes_from_the_message_or_the_settings(store: FakeStore) -> None:
    store.put("floor2/a", {"on": True}, deadline=None)

    tree = page(store, settings=Settings(deadlines={"floor2/*": 90}))

    assert tree.one(id="device")["data-silent-after"] == "90"


def test_a_label_is_shown_as_the_name(store: FakeStore) -> None:
    store.put("p1", {"label": "سحابة", "mood": "calm"})
    tree = page(store, "/?all")

    assert "سحابة" in tree.text
    assert tree.one(data_show="name", href="/devices/p1")["dir"] == "auto"


def test_a_removed_device_says_when(store: FakeStore) -> None:
    store.put("pillow", None)
    answer = browse(store, "/devices/pillow")

    assert answer.status_code == 410
    assert Tree(answer.get_data(as_text=True)).one(
        data_mark="gone"
    ) and "14:02:09 UTC" in answer.get_data(as_text=True)


def test_an_unknown_device_names_the_nearest_and_the_command(store: FakeStore) -> None:
    demo(store)
    answer = browse(store, "/devices/pilow")
    tree = Tree(answer.get_data(as_text=True))

    assert answer.status_code == 404
    assert "No device called “pilow” has sent anything" in tree.text
    assert "statecast send --server http://localhost pilow mood=happy battery=82" in tree.text
    assert tree.one(href="/devices/pillow") and tree.one(data_missing="pilow")


def test_a_name_that_no_device_can_have_gets_no_command(store: FakeStore) -> None:
    tree = page(store, "/devices/a;rm%20-rf")

    assert "statecast send" not in tree.text and "1 to 128" in tree.text


OTHER = {"Host": "192.0.2.1:8000"}
"""Of a request that does not ask for this machine by its loopback name."""


@pytest.mark.parametrize(
    ("headers", "others_may", "offered"),
    [
        ({}, (), True),
        (OTHER, ("command", "operate"), False),
        (OTHER, ("send", "write"), True),
    ],
)
def test_a_page_offers_to_send_only_to_who_may(
    store: FakeStore, headers: dict[str, str], others_may: tuple[str, ...], offered: bool
) -> None:
    # given a device that can be sent changes, and a place for one that sent nothing yet
    store.put("hall/light", {"on": True})
    settings = Settings(allow_public=True, others_may=others_may)
    # when a client looks at their pages
    device = page(store, settings=settings, headers=headers)
    missing = page(store, "/devices/hall/lamp", settings=settings, headers=headers)
    empty = page(FakeStore(), settings=settings, headers=headers)
    # then there is a form, which edits, and the commands that send, where they are not refused
    assert bool(device.all(id="send")) == offered
    for tree in (device, missing, empty):
        assert ("statecast send" in tree.text) == offered
    assert bool(empty.all(id="curl")) == offered


@pytest.mark.parametrize(
    ("headers", "others_may", "offered"),
    [({}, (), True), (OTHER, ("command", "send", "write"), False), (OTHER, ("operate",), True)],
)
def test_a_page_leads_to_the_operator_only_who_may(
    store: FakeStore, headers: dict[str, str], others_may: tuple[str, ...], offered: bool
) -> None:
    # given a message in quarantine, with what it says in the reason
    demo(store)
    store.bad.append(
        Quarantined(9, "queue", "17", None, "“state” is 5", b"", NOW, 1, 2, NOW, device="pillow")
    )
    # when a client looks at the pages
    settings = Settings(allow_public=True, others_may=others_may)
    paths = ("/", "/?all", "/devices/pilow", "/pictures")
    shown = [browse(store, path, settings, headers).get_data(as_text=True) for path in paths]
    # then links lead to the operator's page, and the reason is told, where that is not refused
    assert all(("/operator" in html) == offered for html in shown)
    assert all((">Details<" in html) == offered for html in shown)
    assert ("“state” is 5" in shown[0]) == offered
    assert "could not be read or applied" in shown[0]


def test_other_devices_get_a_form_with_the_command_line(store: FakeStore) -> None:
    store.put("hall/light", {"on": True})
    tree = page(store)

    assert (
        tree.one(id="send")
        and "statecast send --server http://localhost hall/light on=true" in tree.text
    )


def test_only_pictures_in_use_are_on_the_page(store: FakeStore) -> None:
    demo(store)
    html = browse(store, "/").get_data(as_text=True)
    everything = browse(store, "/pictures").get_data(as_text=True)

    assert 'id="i-' not in html and "gallery.css" not in html
    assert all(f"i-{icon.name}" in everything for icon in picture_rules.ICONS)
    assert len(re.findall("<template", everything)) == len(picture_rules.PICTURES)


def test_instances_have_the_elements_of_their_template(store: FakeStore) -> None:
    """The script binds by position: a picture and its template must agree element by element."""
    template = page_templates.environment().get_template("picture.html").module
    for picture in picture_rules.PICTURES:
        scene = pictures.Scene({"mood": "sad", "x": 1, "image": "/a.png"}, X)
        drawn, blank = (Tree(str(template.drawing(picture.name, one))) for one in (scene, None))  # type: ignore[attr-defined]
        assert [tag for tag, _ in drawn.tags] == [tag for tag, _ in blank.tags]


def test_the_operator_sees_sources_quarantine_and_viewers(store: FakeStore) -> None:
    body = b'{"device":"pillow","state":5}<b>'
    store.bad.append(
        Quarantined(9, "queue", "17", None, "“state” must be an object", body, NOW, 1, 2, NOW)
    )

    tree = page(store, "/operator")

    assert "connected" in tree.text and "4 waiting" in tree.text
    assert "“state” must be an object" in tree.text and body.decode() in tree.text
    assert "statecast quarantine replay 9" in tree.text


def test_who_is_no_operator_is_told(store: FakeStore) -> None:
    answer = browse(store, "/operator", Settings(allow_public=True), OTHER)

    assert answer.status_code == 403
    assert "start the server with --others-may command,operate." in answer.get_data(as_text=True)


# Safety


@pytest.mark.parametrize(
    "text",
    [
        "<img src=x onerror=alert(1)>", "</script><script>alert(1)</script>",
        '"><svg onload=alert(1)>', "' onx='1",
        "{{ 7*7 }}", "javascript:alert(1)", "\u2028</pre>", "مرحبا", "\x01\x1b[31m", "x" * 60_000,
    ],
)  # fmt: skip
def test_names_fields_and_values_are_data(store: FakeStore, text: str) -> None:
    # Given the same naughty text as value, field, label, colour, mood and history
    state = {
        "v": text,
        text[:64]: 1,
        "label": text,
        "color": text,
        "mood": text,
        "kind": text,
        "deep": {text[:64]: text},
    }
    store.put("a", state)
    store.put("b", {"x": 1})
    store.remember("a", state, {"v": text})

    for path in ("/", "/devices/a", f"/?q={text[:50]}", "/devices/%3Cimg%20src=x%3E"):
        tree = page(store, path)

        # Then no tag or attribute came of it
        assert {tag for tag, _ in tree.tags if tag == "img"} == set()
        scripts = {
            attrs.get("src") for tag, attrs in tree.tags if tag == "script" and "id" not in attrs
        }
        assert scripts <= {f"/statecast/{name}-page.js" for name in ("device", "list", "waiting")}
        for _, attrs in tree.tags:
            assert not {name for name in attrs if name.startswith("on") or name == "style"}


def test_no_page_has_inline_style_or_script(store: FakeStore) -> None:
    twelve(store)
    for path in ("/", "/devices/pillow", "/devices/roof/power", "/devices/none", "/pictures"):
        html = browse(store, path).get_data(as_text=True)
        assert not re.search(r"\sstyle=|<style|\son[a-z]+=|javascript:", html)
        assert "https://" not in html


def test_json_is_safe_where_it_is_embedded() -> None:
    naughty = {"a": "</script>'<!--\u2028&"}

    text = str(view_models.script_json(naughty))

    assert not set(text) & set("<>&'\u2028")
    assert json.loads(text) == naughty


@pytest.mark.parametrize(
    ("value", "expected"), [("pillow", "pillow"), ("a/b", '"a/b"'), ('"x', '"&#34;x"'), ("", '""')]
)
def test_attributes_are_quoted_where_html_needs_it(value: str, expected: str) -> None:
    assert str(view_models.attribute(value)) == expected


@pytest.mark.parametrize("path", ["/", "/devices/pillow", "/devices/nobody", "/pictures"])
def test_headers(store: FakeStore, path: str) -> None:
    demo(store)
    headers = browse(store, path).headers

    assert headers["Content-Security-Policy"] == (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'"
    )
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cache-Control"] == "private, no-store"


@pytest.mark.parametrize(
    ("path", "accepted", "packed"),
    [
        ("/", "gzip, br", True),
        ("/devices/pillow", "gzip;q=0.5", True),
        ("/", "gzip;q=0", False),
        ("/", "br", False),
        ("/", None, False),
        ("/?q=pillow", "gzip", False),  # its length would tell what else the page says
    ],
)
def test_a_page_is_compressed_where_that_is_wanted_and_safe(
    store: FakeStore, path: str, accepted: str | None, packed: bool
) -> None:
    demo(store)
    headers = {} if accepted is None else {"Accept-Encoding": accepted}
    answer = browse(store, path, headers=headers)

    assert answer.headers.get("Content-Encoding") == ("gzip" if packed else None)
    assert "Accept-Encoding" in answer.headers["Vary"]
    body = gzip.decompress(answer.data) if packed else answer.data
    assert b"<!doctype html>" in body and int(answer.headers["Content-Length"]) == len(answer.data)


def test_the_policy_stays_off_the_hosts_own_pages(store: FakeStore) -> None:
    app = flask.Flask("host", static_folder=None)
    live = SimpleNamespace(
        rights=rights(Settings()),
        store=store,
        settings=Settings(),
        clock=lambda: NOW,
        unserved=Unserved(lambda: store, list),
        allows_page=lambda address: True,
    )
    app.register_blueprint(pages.pages(live), url_prefix="/devices-of-ours")
    app.add_url_rule("/", "own", lambda: "mine")

    assert "Content-Security-Policy" not in app.test_client().get("/").headers
    assert 'href="/devices-of-ours/statecast/page.css"' in app.test_client().get(
        "/devices-of-ours/"
    ).get_data(as_text=True)


@pytest.mark.parametrize("path", ["/", "/devices/pillow", "/devices/missing", "/operator"])
@pytest.mark.parametrize(
    ("error", "shown", "retry_after"),
    [
        (StoreUnavailable("/var/lib/pillow.db: the disk is full."), "cannot use its store", "1"),
        (StoreUnusable("/var/lib/pillow.db was removed."), "cannot use its store", "30"),
        (
            StoreUnusable("/var/lib/pillow.db was removed.", public="The store was removed."),
            "The store was removed.",
            "30",
        ),
    ],
)
def test_a_store_that_is_away_is_a_sentence(
    store: FakeStore,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    path: str,
    error: StatecastError,
    shown: str,
    retry_after: str,
) -> None:
    def fail(*args: object) -> Changes:
        raise error

    for question in ("read", "read_position"):
        monkeypatch.setattr(store, question, fail)
    answer = browse(store, path)

    # where the file lies is for the log, not for clients
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, retry_after)
    page = answer.get_data(as_text=True)
    assert shown in page and "/var/lib" not in page and "Traceback" not in page
    assert str(error) in caplog.text and "Traceback" not in caplog.text


# Weight


def size(answer: Any) -> int:
    return len(answer.get_data())


def until_live(answer: Any) -> int:
    """The bytes of a page until it is live, it and its files packed as the server sends them."""
    html = answer.get_data()
    names = re.findall(r'(?:src|href)="(/statecast/[\w.-]+)"', html.decode())
    assert len(names) > 5
    files = static_files()
    return len(gzip.compress(html, 9, mtime=0)) + sum(len(files[name].packed) for name in names)


@pytest.mark.parametrize("path", ["/", "/devices/pillow"])
def test_the_demo_weighs_what_it_may(store: FakeStore, path: str) -> None:
    """The budget until live; a browser counts all of it in tests/browser/test_page.py."""
    assert until_live(browse(demo(store), path)) < 45_000


def test_twelve_devices_weigh_what_they_may(store: FakeStore) -> None:
    """A dozen cards are 5 KB of HTML more than the page of one pillow."""
    answer = browse(twelve(store), "/")

    assert until_live(answer) < 45_000
    cards = re.findall(r"<li class=card data-device.*", answer.get_data(as_text=True))
    assert len(cards) == 12
    assert sum(len(card.encode()) for card in cards) / 12 <= 750


def test_a_page_names_every_module_that_it_needs_to_be_live(store: FakeStore) -> None:
    """They are fetched at once: no round trip finds the next one."""
    tree = page(demo(store), "/")

    preloaded = {(tag["href"] or "").rpartition("/")[2] for tag in tree.all(rel="modulepreload")}
    needed, found = {"device-page.js", "command-buttons.js"}, set[str]()
    while needed - found:
        name = (needed - found).pop()
        found.add(name)
        text = (STATIC / name).read_text()
        needed |= set(
            re.findall(r'^(?:import|export|\}) .*?"\./([\w-]+\.js)";$', text, re.MULTILINE)
        )
    assert preloaded == needed - {"device-page.js"} and "board.js" in preloaded
    # What tells of trouble is here before the server can go.
    assert {"notice.js", "page-title.js", "announcer.js"} <= preloaded


def test_a_row_is_light(store: FakeStore) -> None:
    for position in range(61):
        store.put(f"floor2/desk-{position:02}", {"temperature_c": 21.4, "on": True})

    rows = re.findall(r"<li class=row data-device.*", browse(store, "/").get_data(as_text=True))

    assert max(len(row.encode()) for row in rows) <= 560


def test_a_large_state_does_not_double_the_page(store: FakeStore) -> None:
    store.put("a", {"text": "x" * 60_000})
    store.put("b", {"text": "x"})

    assert size(browse(store, "/")) < 20_000


def test_an_update_without_a_sign_of_life_was_set(store: FakeStore) -> None:
    store.put("a", {"on": True})
    store.updates[0] = replace(store.updates[0], seen_at=None)

    assert "Set" in page(store).text and "never" in page(store).text


@pytest.mark.parametrize(
    ("path", "devices", "said"),
    [
        ("/", (), "1 message could not be read or applied: It brings no state. All of them"),
        (
            "/devices/pillow",
            (),
            "1 message that may be about this device could not be read or applied: "
            "It brings no state. All of them",
        ),
        (
            "/devices/pillow",
            ("pillow",),
            "1 message that may be about this device could not be read or applied: "
            "It brings no state. All of them",
        ),
        ("/devices/chair", ("pillow",), ""),
        ("/devices/chair", ("chair",), ""),
    ],
)
def test_a_page_says_what_was_set_aside(
    store: FakeStore, path: str, devices: tuple[str, ...], said: str
) -> None:
    # Given a message in quarantine that names the device pillow
    row = Quarantined(1, "queue", "a", None, "It brings no state.", b"{}", 0, 1, 1, 0, "pillow")
    store.bad.append(row)
    for device in devices:
        store.put(device, {"on": True})
    # Then the pages of that device, and the page of a server without devices, say so
    tree = page(store, path)
    html = browse(store, path).get_data(as_text=True)
    assert html.count('data-set-aside="1"') == 1
    assert ('data-set-aside="1" hidden' in html) == (not said)
    assert said in " ".join(tree.text.split())


@pytest.mark.parametrize("value", ["two words", "x" * 60, "it's $HOME"])
def test_the_command_of_a_page_is_one_for_a_shell(store: FakeStore, value: str) -> None:
    store.put("hall/light", {"note": value})
    tree = page(store)
    words = shlex.split(tree.text.split("statecast ")[1].split("\n")[0])
    assert words[:4] == ["send", "--server", "http://localhost", "hall/light"]
    assert words[4] in (f"note={json.dumps(value)}", "on=true")


def test_an_address_that_asks_for_too_many_pages_is_refused(store: FakeStore) -> None:
    app = flask.Flask("host", static_folder=None)
    live = SimpleNamespace(
        rights=rights(Settings()),
        store=demo(store),
        settings=Settings(),
        clock=lambda: NOW,
        unserved=Unserved(lambda: store, list),
        allows_page=lambda address: address != "203.0.113.7",
    )
    app.register_blueprint(pages.pages(live))
    client = app.test_client()

    for path in ("/", "/devices/pillow", "/devices/unknown", "/operator"):
        refused = client.get(path, environ_base={"REMOTE_ADDR": "203.0.113.7"})
        assert (refused.status_code, refused.headers["Retry-After"]) == (429, "1")
        assert "Reload this one in a moment." in refused.get_data(as_text=True)
    with client.get("/statecast/page.css", environ_base={"REMOTE_ADDR": "203.0.113.7"}) as file:
        assert file.status_code == 200


# Many devices


def many(store: FakeStore, count: int) -> FakeStore:
    for number in range(count):
        name = f"floor{number // 250:02}/sensor-{number % 250:03}"
        store.put(name, {"temperature_c": 15 + number / 100, "humidity_percent": number % 100},
                  deadline=3600, age=7200 if number % 1000 == 7 else 2)  # fmt: skip
    return store


def shown_rows(tree: Tree) -> list[str | None]:
    return [attrs["data-device"] for tag, attrs in tree.tags if "data-device" in attrs]


def test_of_ten_thousand_devices_the_html_has_the_first_rows(store: FakeStore) -> None:
    html = browse(many(store, 10_000), "/").get_data(as_text=True)

    tree = Tree(html)
    assert len(html.encode()) < 200_000
    assert shown_rows(tree) == [f"floor00/sensor-{number:03}" for number in range(200)]
    assert "10,000 devices" in tree.text and "1 to 200 of\n    10,000" in tree.text
    assert [attrs["href"] for _, attrs in tree.tags if attrs.get("href") == "/?page=2"]
    # the group says how many devices it has, not how many rows are here
    assert re.search(r'<span data-show="count">250</span>', html)
    # and the filters count all devices
    assert re.search(r'href="/\?show=silent"[^>]*>[^<]*<b>10</b>', html)


@pytest.mark.parametrize(
    ("query", "first", "rows", "pages"),
    [
        ("?page=2", "floor00/sensor-200", 200, "201 to 400"),
        ("?page=3", "floor01/sensor-150", 50, "401 to 450"),
        ("?page=4", None, 0, ""),
        ("?page=0", "floor00/sensor-000", 200, "1 to 200"),
        ("?page=x", "floor00/sensor-000", 200, "1 to 200"),
        ("?page=-1", "floor00/sensor-000", 200, "1 to 200"),
        ("?page=99999999", "floor00/sensor-000", 200, "1 to 200"),
        ("?q=sensor-21", "floor00/sensor-210", 10, None),
        ("?q=sensor-1&page=1", "floor00/sensor-100", 200, None),
        ("?show=silent", "floor00/sensor-007", 1, None),
        ("?q=nothing", None, 0, None),
    ],
)
def test_pages_of_rows(
    store: FakeStore, query: str, first: str | None, rows: int, pages: str | None
) -> None:
    tree = page(many(store, 450), f"/{query}")

    found = shown_rows(tree)
    assert (found[0] if found else None, len(found)) == (first, rows)
    if pages is None:
        assert not tree.all(id="pages")
    else:
        assert pages in " ".join(tree.text.split())


def test_the_links_to_other_pages_keep_the_search(store: FakeStore) -> None:
    html = browse(many(store, 900), "/?q=Sensor+%3C%22&page=1").get_data(as_text=True)
    assert "No device matches" in html and 'id="pages"' not in html
    html = browse(store, "/?q=floor").get_data(as_text=True)
    assert 'href="/?page=2&q=floor"' in html.replace("&amp;", "&")


def test_two_hundred_devices_are_on_one_page(store: FakeStore) -> None:
    tree = page(many(store, 200), "/")
    assert len(shown_rows(tree)) == 200 and not tree.all(id="pages")
    assert "data-partial" not in tree.one(id="devices")


@pytest.mark.parametrize(
    ("image", "root", "address"),
    [
        ("/x.png", "", "/x.png"),
        ("/x.png", "/app", "/app/x.png"),
        ("/app/x.png", "/app", "/app/x.png"),
        ("/application.png", "/app", "/app/application.png"),
        ("data:image/gif;base64,AA==", "/app", "data:image/gif;base64,AA=="),
    ],
)
def test_a_path_of_an_image_begins_at_the_root_of_the_app(
    image: str, root: str, address: str
) -> None:
    assert pictures.image_address(image, root) == address


def test_the_first_html_of_a_mounted_app_has_the_address_of_the_image(store: FakeStore) -> None:
    store.put("pillow", {"image": "/x.png"})
    html = browse(store, "/devices/pillow", below="/app").text
    assert 'src="/app/x.png"' in html
