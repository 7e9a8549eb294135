"""Messages of public projects: each gives the device, the state and the time of its sample.

The samples are written by us, in the shape that each project documents.
"""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import parse_qsl

import pytest

from statecast import timestamps
from statecast.decoders import open_decoder
from statecast.decoders.named_values import are_named_values, state_of
from statecast.model import Delivery
from tools import devices

SENT_AT = timestamps.parse_time("2025-11-25T16:40:05Z")
SAMPLES: list[tuple[str, dict[str, Any]]] = [
    (f"{project['project']}: {sample['what']}", sample)
    for project in devices.projects()
    for sample in project["samples"]
]


def text_of(sample: dict[str, Any]) -> str:
    return sample["text"] if "text" in sample else json.dumps(sample["message"])


@pytest.mark.parametrize("url", ["azure-queue:home", "embedded:queue"])
@pytest.mark.parametrize("sample", [row[1] for row in SAMPLES], ids=[row[0] for row in SAMPLES])
def test_a_sample_gives_its_device_state_and_time(sample: dict[str, Any], url: str) -> None:
    # given a source with the options of the sample
    decode = open_decoder(dict(parse_qsl(sample["options"])), f"{url}?{sample['options']}")
    # when its message is read, as text or in Base64
    for body in (text_of(sample).encode(), base64.b64encode(text_of(sample).encode())):
        message = decode(Delivery("m1", body, SENT_AT))
        # then each change is that of the sample
        assert message.refusals == ()
        changes = [
            {
                "device": change.device,
                "state": change.state,
                "time": None if change.time is None else timestamps.iso(change.time),
            }
            for change in message.changes
        ]
        assert changes == sample["changes"]


def test_the_corpus_is_large() -> None:
    assert len(SAMPLES) >= 60 and len({row[0] for row in SAMPLES}) == len(SAMPLES)
    assert len(list(devices.projects())) >= 30


def test_the_table_of_the_docs_is_that_of_the_samples() -> None:
    page = devices.PAGE.read_text("utf-8")
    assert page == devices.render(page), "it is stale: run `python -m tools.devices`"
    assert page.count("\n| ") == len(SAMPLES) + 2


@pytest.mark.parametrize(
    ("items", "state"),
    [
        ([{"name": "a", "value": 1}], {"a": 1}),
        ([{"name": "a", "value": 1}, {"name": "a", "value": 2}], {"a": 2}),
        ([{"name": "a", "value": None}], {"a": None}),
        (
            [{"name": "a", "value": 1, "component": "c"}, {"name": "b", "value": 2}],
            {"c": {"a": 1}, "b": 2},
        ),
        (
            [{"name": n, "value": 1, "component": "c"} for n in ("a", "b")],
            {"c": {"a": 1, "b": 1}},
        ),
        ([], None),
        ([{"name": "a"}], None),
        ([{"name": 5, "value": 1}], None),
        ([{"name": "a", "value": 1, "temp": 3}], None),  # a reading that has a name
        ([{"name": "a", "value": 1}, 5], None),
        ({"name": "a", "value": 1}, None),
    ],
)
def test_a_list_of_names_and_values_is_a_state(items: Any, state: Any) -> None:
    assert are_named_values(items) is (state is not None)
    if state is not None:
        assert state_of(items) == state
