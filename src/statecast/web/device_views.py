"""The page of one device, and of one that is missing."""

from __future__ import annotations

import difflib
import json
from typing import Any

from flask.typing import ResponseReturnValue

from statecast import names
from statecast.access.actions import Action
from statecast.access.patterns import scope
from statecast.errors import Malformed
from statecast.model import Position, Update
from statecast.program.commands import ask_command, send_command, send_words
from statecast.web import (
    command_words,
    formatting,
    listing,
    picture_rules,
    pictures,
    view_models,
)
from statecast.web.page_reader import PageReader
from statecast.web.page_renderer import PageRenderer, origin
from statecast.web.view_models import DeviceSummary

COMMANDS_READ = 20
"""The newest commands of a device, of which the page shows what waits and what came last."""
EXAMPLE_LENGTH = 40
"""Characters of the change that the form of a device suggests."""


class DeviceViews:
    """The views of a device. They read the store; no request leaves anything here."""

    def __init__(self, renderer: PageRenderer, reader: PageReader) -> None:
        self.live = renderer.live
        self.renderer = renderer
        self.reader = reader

    def view(self, name: str) -> ResponseReturnValue:
        """The page of a device.

        The position is read first, so that the script receives every later change.
        """
        position, find = self.reader.begin()
        update = self.live.store.get(name)
        if update is None:
            return self.missing(name)
        return self.show(update, position, find=find)

    def show(
        self, update: Update, position: Position, *, only: bool = False, find: bool = False
    ) -> ResponseReturnValue:
        rights = self.renderer.rights
        rows = self.live.store.history(update.device, limit=60)
        device = self.reader.shown(update, rows=rows)
        lanes = view_models.lanes(device.state, rows)
        rows_json, known_from = view_models.embedded(rows)
        commands = self.live.store.commands(update.device, limit=COMMANDS_READ)
        total, since = self.live.store.history_size(update.device)
        takes = self.live.settings.commands_of(update) or ()
        now = self.live.clock()
        view = DeviceOnPage(device, (total, since))
        word = device.main_word
        title = f"{formatting.cut(word, 40)} · {device.label}" if word else device.label
        return self.renderer.render(
            "device",
            position,
            410 if view.gone else 200,
            title=title,
            find=find,
            hop="removed" if view.gone else "unknown",
            only=only,
            device=view,
            scope=scope(rights.readable if only else (update.device,)),
            takes=takes,
            simulated=self.live.settings.demo and update.device == "pillow",
            may_command=rights.allows(Action.COMMAND, update.device),
            may_edit=rights.allows(Action.WRITE, update.device),
            send=rights.allows(Action.WRITE, update.device) and not takes,
            asked=command_words.lines(commands, device.label, now),
            asked_json=command_words.embedded(commands[: view_models.HISTORY_SHOWN]),
            history=view_models.history(rows, commands, now),
            more_history=total + len(commands) > view_models.HISTORY_SHOWN,
            lanes=lanes,
            lanes_height=view_models.lanes_height(lanes),
            rows_json=rows_json,
            known_from=known_from,
            send_words=send_words(origin(), device.name),
            ask_command=ask_command(origin(), device.name, "NAME"),
            set_aside=self.reader.set_aside(device.name),
            hatch=True,
            **listing.art([device]),
        )

    def missing(self, name: str) -> ResponseReturnValue:
        """The page of a device that does not exist, or that may not be read."""
        position, find = self.reader.begin()
        known, rights = self.reader.neighbours(name), self.renderer.rights
        nearest = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
        facts: dict[str, Any] = {
            "missing": name,
            "nearest": nearest,
            "sendable": is_name(name),
            "known": len(known),
            "hop": f"{len(known):,} known" if known else "none yet",
            "find": find,
            "first_message": send_command(origin(), name, {"mood": "happy", "battery": 82}),
            "set_aside": self.reader.set_aside(name),
            "may_send": is_name(name) and rights.allows(Action.SEND, name),
        }
        title = f"No device called “{name[:80]}”"
        return self.renderer.render("missing", position, 404, title=title, **facts)


class DeviceOnPage:
    """A device on its own page: what a card shows, and all the rest."""

    def __init__(self, device: DeviceSummary, size: tuple[int, int | None]) -> None:
        self._device = device
        self.total, self.since = size
        self.gone = device.update.state is None
        self.offset = device.update.offset
        self.version = device.update.version
        self.source = device.update.source
        self.at = device.changed if self.gone else device.seen or device.changed
        self.rows = list(view_models.state_rows(device))
        self.pretty = json.dumps(device.state, indent=2, ensure_ascii=False)
        self.description = pictures.description(device.label, device.scene)
        self.foreign_image = picture_rules.is_foreign_image(device.state)
        seconds = device.silent_after
        self.deadline = "" if seconds is None else f"{formatting.number(seconds)} s"

    @property
    def example(self) -> str:
        """A change that this device can apply, for the form: short, and without a blank."""
        for one in self._device.fields:
            value = self._device.state[one.name] if one else None
            if one and not isinstance(value, (dict, list)):
                example = f"{one.name}={json.dumps(value, ensure_ascii=False)}"
                if len(example) <= EXAMPLE_LENGTH and not any(map(str.isspace, example)):
                    return example
        return "on=true"

    def __getattr__(self, name: str) -> Any:
        return getattr(self._device, name)


def is_name(name: str) -> bool:
    try:
        names.check(name)
    except Malformed:
        return False
    return True
