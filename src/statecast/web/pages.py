"""The blueprint of our own pages: where all of them are."""

from __future__ import annotations

import flask

from statecast.web.late_views import LateViews
from statecast.web.live_address import ENDPOINT, Elsewhere
from statecast.web.operator_views import OperatorViews
from statecast.web.page_guard import PageGuard
from statecast.web.page_renderer import PageRenderer, PageRuntime


class PagesBlueprint(flask.Blueprint):
    """Its static files are asked for again by each page, whatever the app says of its own.

    Their addresses have no version: from a cache, a page would run the scripts of an older release.
    """

    def get_send_file_max_age(self, filename: str | None) -> int:
        return 0


def pages(live: PageRuntime, below: str = "") -> flask.Blueprint:
    """The blueprint of our own pages, at ``below``.

    The static files are always at ``/statecast``.
    """
    blueprint = PagesBlueprint(
        "statecast_pages", __name__, static_folder="static", static_url_path="/statecast"
    )
    renderer = PageRenderer(live)
    views = LateViews(renderer)
    guard = PageGuard(renderer, views.missing)
    operator = OperatorViews(renderer, guard)
    blueprint.add_url_rule("/statecast/live-address.js", "live_address", views.live_address)
    elsewhere = Elsewhere(live)
    blueprint.add_url_rule(ENDPOINT, "elsewhere", elsewhere, methods=["GET", "POST"])
    blueprint.add_url_rule(ENDPOINT, "elsewhere", elsewhere, websocket=True)
    blueprint.add_url_rule(f"{below}/", "front", views.front)
    blueprint.add_url_rule(f"{below}/devices/<path:name>", "device", views.device)
    blueprint.add_url_rule(f"{below}/operator", "operator", operator.show)
    blueprint.add_url_rule(f"{below}/operator", "operate", operator.act, methods=["POST"])
    blueprint.add_url_rule(f"{below}/pictures", "pictures", views.pictures)
    guard.watch(blueprint)
    blueprint.after_request(guard.allow_origins)
    return blueprint
