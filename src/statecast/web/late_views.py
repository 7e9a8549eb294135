"""The views of our pages, which the first request for a page imports.

With them come the templates and all that words and draws a state: 0.6 MB that a server does not
have until then.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from flask.typing import ResponseReturnValue

from statecast.web.page_renderer import PageRenderer

if TYPE_CHECKING:
    from statecast.web.device_views import DeviceViews
    from statecast.web.page_views import PageViews


class LateViews:
    """The views as Flask calls them."""

    def __init__(self, renderer: PageRenderer) -> None:
        self._renderer = renderer

    @cached_property
    def _device(self) -> DeviceViews:
        from statecast.web.device_views import DeviceViews
        from statecast.web.page_reader import PageReader

        return DeviceViews(self._renderer, PageReader(self._renderer.live))

    @cached_property
    def _pages(self) -> PageViews:
        from statecast.web.page_views import PageViews

        return PageViews(self._renderer, self._device.reader, self._device)

    def front(self) -> ResponseReturnValue:
        return self._pages.front()

    def device(self, name: str) -> ResponseReturnValue:
        return self._device.view(name)

    def missing(self, name: str) -> ResponseReturnValue:
        return self._device.missing(name)

    def pictures(self) -> ResponseReturnValue:
        return self._pages.pictures()

    def live_address(self) -> ResponseReturnValue:
        return self._pages.live_address()
