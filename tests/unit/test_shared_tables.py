"""The server and the page script answer alike:

``tests/js/shared.test.mjs`` reads the same cases.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from statecast import strict_json, timestamps
from statecast.commands.life import Command
from statecast.web import (
    command_words,
    figures,
    formatting,
    gallery,
    picture_rules,
    pictures,
    tables,
    whole_value,
)

SAMPLES = Path(__file__).resolve().parent.parent / "js" / "words_and_pictures.json"
DOCUMENT = SAMPLES.parent.parent.parent / "docs" / "how-to" / "send-states.md"
CASES = json.loads(SAMPLES.read_text("utf-8"))


NOW = timestamps.parse_time("2026-01-31T14:02:20Z")


def command(said: Mapping[str, Any], place: int = 0) -> Command:
    """A command; its times in the table are relative to now. By itself a hug of 10 s ago."""

    def at(name: str, usual: int | None = None) -> int | None:
        ms = said.get(name, usual)
        return None if ms is None else NOW + ms

    return Command(
        number=place + 1,
        change=said.get("change", place + 1),
        id=str(place),
        device="pillow",
        name=said.get("name", "hug"),
        arguments=strict_json.encode(said.get("arguments", {})),
        by=said.get("by"),
        key=None,
        status=said.get("status", "waiting"),
        created_at=at("created", -10_000) or 0,
        expires_at=at("expires", 50_000) or 0,
        delivered_at=at("delivered"),
        ended_at=at("ended"),
        reason=said.get("reason"),
    )


def with_times(text: str) -> str:
    """The text of the table, with the times of the server."""
    return re.sub(
        r"\{clock (-\d+)\}", lambda found: formatting.clock(NOW + int(found[1]), NOW), text
    )


@pytest.mark.parametrize(("ms", "text"), CASES["commands"]["durations"])
def test_a_duration_changes_its_unit_alike(ms: int, text: str) -> None:
    assert timestamps.duration(ms) == text
    if ms >= 2_000:
        assert formatting.ago(NOW - ms, NOW) == f"{text} ago"


@pytest.mark.parametrize(("ms", "text"), CASES["commands"]["delays"])
def test_a_delay_changes_its_unit_alike(ms: int, text: str) -> None:
    assert command_words.delay(ms) == text


@pytest.mark.parametrize(("name", "device", "text"), CASES["commands"]["labels"])
def test_the_button_of_a_command_is_labelled_alike(name: str, device: str, text: str) -> None:
    assert command_words.button_label(name, device) == text


@pytest.mark.parametrize(("given", "by", "text"), CASES["commands"]["given"])
def test_what_a_command_was_given_with_is_told_alike(
    given: dict[str, Any], by: str | None, text: str
) -> None:
    assert command_words.given(command({"arguments": given, "by": by})) == text


@pytest.mark.parametrize(("said", "text"), CASES["commands"]["outcomes"])
def test_what_became_of_a_command_is_told_alike(said: dict[str, Any], text: str) -> None:
    word, rest = command_words.outcome(command(said), NOW)
    assert word + rest == with_times(text)


@pytest.mark.parametrize(
    "case", CASES["commands"]["lines"], ids=lambda case: "|".join(case["html"])
)
def test_the_lines_under_the_buttons_are_those_of_the_table(case: dict[str, Any]) -> None:
    given = [command(said, place) for place, said in enumerate(case["commands"])]
    found = command_words.lines(given[::-1], "pillow", NOW)
    assert [word + rest for word, rest in found if word] == list(map(with_times, case["html"]))
    assert len(found) == 2  # the page keeps the room of both


@pytest.mark.parametrize("case", CASES["values"], ids=lambda case: f"{case['name']}={case['text']}")
def test_a_value_is_written_alike(case: dict[str, Any]) -> None:
    assert formatting.value(case["name"], case["value"]) == case["text"]


def test_two_different_numbers_are_two_different_texts() -> None:
    numbers = [case["value"] for case in CASES["values"] if formatting.is_number(case["value"])]
    numbers += [math.nextafter(number, math.inf) for number in numbers]
    assert len({formatting.number(number) for number in numbers}) == len(set(numbers))


@pytest.mark.parametrize("case", CASES["times"], ids=lambda case: case["text"])
def test_a_time_is_recognised_alike(case: dict[str, Any]) -> None:
    assert formatting.time_of(case["text"]) == case["ms"]
    assert formatting.value("x", case["text"]) == case["shown"] or case["ms"] is None
    assert whole_value.hint(case["text"]) == (case["text"] if case["ms"] else None)


@pytest.mark.parametrize(("value", "large", "in_gauge"), CASES["figures"])
def test_a_figure_is_written_alike(value: float, large: str, in_gauge: str) -> None:
    assert figures.figure(value) == large
    assert figures.figure(value, figures.IN_GAUGE) == in_gauge


@pytest.mark.parametrize("case", CASES["apart"], ids=lambda case: case["texts"][0][:30])
def test_two_different_values_are_told_apart_alike(case: dict[str, Any]) -> None:
    old, new = whole_value.tell_apart(case["name"], case["was"], case["now"])
    assert [old, new] == case["texts"]
    assert old != new


@pytest.mark.parametrize("case", CASES["states"], ids=lambda case: json.dumps(case["state"])[:60])
def test_a_state_is_shown_alike(case: dict[str, Any]) -> None:
    state = case["state"]
    choice = picture_rules.choose(state, case.get("device", ""))
    scene = pictures.Scene(state, choice)
    results = {name: scene.result(*source.split(":")) for name, source in CASES["bindings"].items()}

    assert {
        **({"device": case["device"]} if "device" in case else {}),
        "state": state,
        "picture": choice.picture.name,
        "field": choice.field,
        "order": formatting.in_order(state),
        "main": formatting.main_fields(state),
        "rows": [path for _, path, _ in formatting.rows(state)],
        "bindings": {name: result for name, result in results.items() if result is not None},
    } == case


def test_every_picture_every_icon_and_every_predicate_has_a_case() -> None:
    shown = {case["picture"] for case in CASES["states"]}
    drawn = {case["bindings"].get("icon", "").removeprefix("#i-") for case in CASES["states"]}
    assert shown == {picture.name for picture in picture_rules.PICTURES}
    assert drawn >= {name for icon in picture_rules.ICONS for name in icon.drawings}
    rules = [rule["is"] for rule in tables.TABLES["picture_rules"]]
    used = {*rules, *tables.TABLES["kind_predicates"].values()}
    assert used == set(picture_rules.PREDICATES)


def test_no_two_answers_share_a_drawing() -> None:
    text = (Path(tables.__file__).parent / "templates" / "sprite.html").read_text("utf-8")
    paths = dict(re.findall(r"'([\w-]+)': '([^']+)'", text))
    names = [name for icon in picture_rules.ICONS for name in icon.drawings]
    assert set(names) == set(paths)
    assert len(set(paths.values())) == len(paths)


def test_the_documents_name_every_kind_and_the_fields_that_decide() -> None:
    text = DOCUMENT.read_text("utf-8")
    rows = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \| .* \| (.*) \|$", text, re.MULTILINE)
    documented = {
        tuple(re.findall(r"\w+", names)): re.findall(r"`(\w+)`", of) for names, of in rows[1:]
    }
    assert documented == {kind.names: list(kind.fields) for kind in picture_rules.KINDS}


def test_the_gallery_shows_every_kind_every_face_and_every_drawing() -> None:
    examples = [one for _, section in gallery.sections() for one in section]
    kinds = {name for one in examples for name in one.kinds.split(", ")} | {"cloud", "pillow", ""}
    assert kinds - {""} == {name for kind in picture_rules.KINDS for name in kind.names}
    shown = {one.picture for one in examples}
    assert shown == {picture.name for picture in picture_rules.PICTURES} - {"image"}
    drawn = {one.scene.result("$", "icon") for one in examples}
    assert drawn >= {f"#i-{name}" for icon in picture_rules.ICONS for name in icon.drawings}


def test_the_tables_are_json_that_browsers_can_import() -> None:
    text = (Path(tables.__file__).parent / "static" / "tables.js").read_text("utf-8")
    comment, _, body = text.partition("export default ")
    assert all(line.startswith("//") for line in comment.splitlines())
    assert json.loads(body.rstrip().removesuffix(";")) == tables.TABLES


@pytest.mark.parametrize(("value", "text"), CASES["brief"])
def test_a_number_in_a_list_is_written_alike(value: float, text: str) -> None:
    assert formatting.brief("x", value) == text
