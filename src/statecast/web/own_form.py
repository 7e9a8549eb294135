"""Whether a form was sent by a page of ours."""

from __future__ import annotations

import flask

from statecast.http.origin import origin_allowed


def own_form() -> bool:
    """Whether a form was sent by a page of ours. Browsers say so; a form cannot hide it.

    Unlike JSON, a form may come from a page of any site. So the origin must be there and be ours.
    """
    headers = flask.request.headers
    origin = headers.get("Origin")
    site = headers.get("Sec-Fetch-Site", "same-origin")
    return bool(origin) and site == "same-origin" and origin_allowed(origin, flask.request.host)
