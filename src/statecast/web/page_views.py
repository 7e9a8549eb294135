"""The views of our pages, except those of one device: the list, the pictures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import cast

import flask
from flask.typing import ResponseReturnValue

from statecast.model import Position, Update
from statecast.program.commands import send_command
from statecast.web import gallery, listing, picture_rules
from statecast.web.device_views import DeviceViews
from statecast.web.live_address import live_address
from statecast.web.page_reader import SEARCH_FROM, PageReader
from statecast.web.page_renderer import PageRenderer, origin

CARDS = 60
"""More devices than these are shown as rows."""


class PageViews:
    """The views. They read the store and render templates; no request leaves anything here."""

    def __init__(self, renderer: PageRenderer, reader: PageReader, device: DeviceViews) -> None:
        self.live = renderer.live
        self.renderer = renderer
        self.reader = reader
        self.device = device

    def front(self) -> ResponseReturnValue:
        """``/``: nothing yet, the one device, or the list of all, from one snapshot."""
        present, position = self.reader.readable()
        if not present:
            return self.renderer.render(
                "empty",
                position,
                title="No device yet",
                hop="none yet",
                origin=origin(),
                first_message=send_command(origin(), "pillow", {"mood": "happy", "battery": 82}),
                set_aside=self.reader.set_aside(None),
            )
        if len(present) == 1 and "all" not in flask.request.args:
            return self.device.show(present[0], position, only=True)
        return self._list(present, position)

    def _list(self, present: Sequence[Update], position: Position) -> ResponseReturnValue:
        query, show = flask.request.args.get("q", ""), flask.request.args.get("show", "")
        kind = "list" if len(present) <= CARDS else "rows"
        now = self.live.clock()
        deadlines = [self.live.settings.deadline(one) for one in present]
        kinds = [listing.filter_of(one, limit, now) for one, limit in zip(present, deadlines)]
        # With all devices in the HTML those that do not match are hidden, for the script to show.
        whole, shown = len(present) <= listing.ROWS, self.reader.shown
        views = {one.device: shown(one, sparks=kind == "list") for one in present if whole}
        matching = [
            one
            for one, kind_of in zip(present, kinds)
            if show in ("", kind_of)
            and (not query or listing.matches(views.get(one.device) or shown(one), query))
        ]
        page = listing.RowsPage(
            listing.page_number(flask.request.args.get("page", "")), len(matching)
        )
        if whole:
            names = {one.device for one in matching}
            devices = [replace(one, hidden=name not in names) for name, one in views.items()]
        else:
            devices = [shown(one) for one in matching[page.first : page.last]]
        return self.renderer.render(
            kind,
            position,
            template="list.html",
            title=f"{len(present):,} devices",
            hop=f"{len(present):,}",
            find=len(present) >= SEARCH_FROM,
            query=query,
            show=show,
            devices=devices,
            total=len(present),
            groups=listing.grouped(devices, present, matching),
            filters=listing.counted(kinds),
            shown=len(matching),
            rows_page=None if whole else page,
            rows_per_page=listing.ROWS,
            usual=listing.usual(present, deadlines),
            **listing.art(devices),
        )

    def pictures(self) -> ResponseReturnValue:
        """All pictures, to look at. A page fetches those that it did not need at first."""
        return self.renderer.render(
            "pictures",
            Position("", 0),
            title="Pictures",
            sections=gallery.sections(),
            pictures=picture_rules.PICTURES,
            icons=picture_rules.ICONS,
            arc=True,
        )

    def live_address(self) -> ResponseReturnValue:
        """The module ``live-address.js`` where the file of that name does not know the address.

        Our own server answers with the file at its root path. This view is asked in an app that is
        mounted in another app, and by another server: then the live endpoint is not beside us.
        """
        address = live_address(self.live)
        if not address:
            blueprint = flask.current_app.blueprints["statecast_pages"]
            return cast(flask.Blueprint, blueprint).send_static_file("live-address.js")
        text = f"export default new URL({json.dumps(address)}, import.meta.url).href;\n"
        headers = {"Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"}
        return flask.Response(text, headers=headers, mimetype="text/javascript")
