"""The server and the page script answer alike:

``tests/js/shared.test.mjs`` reads the same cases.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from statecast.web import formatting, pictures, tables

SAMPLES = Path(__file__).resolve().parent.parent / "js" / "words_and_pictures.json"
CASES = json.loads(SAMPLES.read_text("utf-8"))


@pytest.mark.parametrize("case", CASES["values"], ids=lambda case: f"{case['name']}={case['card']}")
def test_a_value_is_written_alike(case: dict[str, Any]) -> None:
    assert formatting.value(case["name"], case["value"]) == case["card"]
    assert formatting.value(case["name"], case["value"], None) == case["exact"]


@pytest.mark.parametrize("case", CASES["states"], ids=lambda case: json.dumps(case["state"])[:60])
def test_a_state_is_shown_alike(case: dict[str, Any]) -> None:
    state = case["state"]
    picture, field = pictures.choose(state)
    scene = pictures.Scene(state, field)
    results = {name: scene.result(*source.split(":")) for name, source in CASES["bindings"].items()}

    assert {
        "state": state,
        "picture": picture.name,
        "field": field,
        "order": formatting.in_order(state),
        "main": formatting.main_fields(state),
        "rows": [path for _, path, _ in formatting.rows(state)],
        "bindings": {name: result for name, result in results.items() if result is not None},
    } == case


def test_every_picture_every_icon_and_every_predicate_has_a_case() -> None:
    shown = {case["picture"] for case in CASES["states"]}
    icons = {case["bindings"].get("icon", "").removeprefix("#i-") for case in CASES["states"]}
    assert shown == {picture.name for picture in pictures.PICTURES}
    assert icons >= {icon.name for icon in pictures.ICONS}
    used = {rule.is_ for picture in pictures.PICTURES for rule in picture.when}
    assert used == set(pictures.PREDICATES)


def test_the_tables_are_json_that_browsers_can_import() -> None:
    text = (Path(tables.__file__).parent / "static" / "tables.js").read_text("utf-8")
    comment, _, body = text.partition("export default ")
    assert all(line.startswith("//") for line in comment.splitlines())
    assert json.loads(body.rstrip().removesuffix(";")) == tables.TABLES
