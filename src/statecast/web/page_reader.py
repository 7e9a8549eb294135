"""What a page reads of the store, as far as the client of the current request may."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import replace

import flask

from statecast.model import HistoryRow, Position, Update
from statecast.stores.changes import ReadCursor
from statecast.web import request_rights, view_models
from statecast.web.known_devices import KnownDevices
from statecast.web.page_renderer import PageRuntime
from statecast.web.view_models import DeviceSummary

SEARCH_FROM = 8
NEIGHBOURS = 100
"""Devices before and after an unknown name that are compared with it: to compare all of many
thousands takes seconds."""


class PageReader:
    """Reads for the current request. Any thread."""

    def __init__(self, live: PageRuntime) -> None:
        self.live = live
        self.known_devices = KnownDevices()

    def readable(self) -> tuple[Sequence[Update], Position]:
        """The present devices that may be read, by name, and their position."""
        present, position = self.known_devices.read(self.live.store)
        rights = request_rights.or_none(self.live)
        if rights.reads_everything:
            return present, position
        return [one for one in present if rights.may_read(one.device)], position

    def begin(self) -> tuple[Position, bool]:
        """The position with which a page begins, and whether there are many devices to find."""
        if not request_rights.or_none(self.live).reads_everything:
            present, position = self.readable()
            return position, len(present) >= SEARCH_FROM
        changes = self.live.store.read(ReadCursor(), SEARCH_FROM)
        present = [one for one in changes.updates if one.state is not None]
        return changes.position, len(present) >= SEARCH_FROM

    def neighbours(self, name: str) -> Sequence[str]:
        """Readable names around this one; what may not be read changes nothing about them."""
        if request_rights.or_none(self.live).reads_everything:
            return self.live.store.neighbours(name, NEIGHBOURS)
        known = [one.device for one in self.readable()[0]]
        place = bisect_left(known, name)
        return known[max(0, place - NEIGHBOURS) : place + NEIGHBOURS]

    def set_aside(self, device: str | None) -> view_models.SetAside:
        """What a page says of the quarantine: how many there are in all to who reads all."""
        rights = request_rights.or_none(self.live)
        if not (rights.reads_everything or (device is not None and rights.may_read(device))):
            return view_models.SetAside(0, "", 0)
        found = view_models.set_aside(self.live.store, device)
        return found if rights.reads_everything else found._replace(in_all=found.messages)

    def shown(
        self, update: Update, rows: Sequence[HistoryRow] | None = None, sparks: bool = False
    ) -> DeviceSummary:
        settings = self.live.settings
        silent_after = settings.deadline(update)
        first = view_models.show(
            update,
            wanted=settings.card_fields,
            silent_after=silent_after,
            root=flask.request.script_root,
        )
        field = first.scene.field
        if first.picture.name != "number" or field is None or (rows is None and not sparks):
            return first
        known = self.live.store.history(update.device, limit=40) if rows is None else rows
        past = view_models.past_values(known, field, first.state.get(field))
        return replace(first, scene=replace(first.scene, past=past))
