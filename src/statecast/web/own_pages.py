"""The functions of an app's own templates: ``live_state``, ``live_text``, ``live_script``, and
``live_allows``.

What a template shows of a device is what the script begins with. The position is read before the
states, so that the script receives every later change.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import flask
import jinja2
from markupsafe import Markup

from statecast import names, strict_json
from statecast.access.patterns import scope
from statecast.broadcast import encoding
from statecast.model import Position, Update
from statecast.settings import Settings
from statecast.stores.contract import Store
from statecast.web import formatting, request_rights, scripts
from statecast.web.request_rights import RightsRuntime
from statecast.web.view_models import script_json

SCRIPT = "bind.js"
_FIRST_STATES = "_statecast_first_states"

# As `parseName` in binding.js: the field begins at the first dot after the last slash.
_NAME = re.compile(r"((?:.*/)?[^.]*)\.?(.*)", re.DOTALL)


class OwnPageRuntime(RightsRuntime, Protocol):
    """The parts of ``Runtime`` that the functions of a template need."""

    @property
    def store(self) -> Store: ...
    @property
    def clock(self) -> Callable[[], int]: ...


class TemplateState:
    """A state, or an object in it, as a template reads it: ``state.mood``.

    A field that is missing is empty at any depth, since a device may leave out or remove each of
    its fields at any time. It has no public methods, because fields may be called ``items`` or
    ``update``.
    """

    __slots__ = ("__fields",)

    def __init__(self, fields: dict[str, Any]) -> None:
        self.__fields = fields

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # Python and Jinja ask for protocols such as `__html__`
            raise AttributeError(name)
        return self[name]

    def __getitem__(self, name: str) -> Any:
        if name not in self.__fields:
            return jinja2.ChainableUndefined(f"the device has no field {name!r}", name=name)
        return _for_template(self.__fields[name])

    def __contains__(self, name: object) -> bool:
        return name in self.__fields

    def __iter__(self) -> Iterator[str]:
        return iter(self.__fields)

    def __len__(self) -> int:
        return len(self.__fields)

    def __str__(self) -> str:
        return json.dumps(self.__fields, ensure_ascii=False)


def _for_template(value: Any) -> Any:
    if isinstance(value, dict):
        return TemplateState(value)
    return [_for_template(item) for item in value] if isinstance(value, list) else value


class FirstStates:
    """What one request has read of the store, each device once."""

    def __init__(
        self, store: Store, may_read: Callable[[str], bool], asked: flask.Request | None
    ) -> None:
        self.asked = asked
        """The request; an application context may outlive it."""
        self._store = store
        self._may_read = may_read
        self.position: Position = store.read_position()
        self.updates: dict[str, Update | None] = {}

    def state_of(self, device: str) -> dict[str, Any]:
        """The state of a device; empty if there is no such device, or it may not be read."""
        if device not in self.updates:
            names.check(device)
            self.updates[device] = self._store.get(device) if self._may_read(device) else None
        update = self.updates[device]
        if update is None or update.state is None:
            return {}
        state: dict[str, Any] = strict_json.decode(update.state)
        return state

    def encode(self, settings: Settings, now: int) -> str:
        """A ``states`` event with the clock of the server."""
        items = [
            strict_json.encode({"device": device, "state": None, "offset": 0})
            if update is None
            else encoding.item(update, settings)
            for device, update in self.updates.items()
        ]
        of = scope(device for device in self.updates if self._may_read(device))
        event = encoding.states(*self.position, items, scope=of).decode()
        return f'{{"now":{now},{event[1:]}'


class OwnPages:
    """The functions, for the templates of one app."""

    def __init__(self, runtime: OwnPageRuntime) -> None:
        self._runtime = runtime

    def add_to(self, environment: jinja2.Environment) -> None:
        """Add the functions to an app's templates; names that the app uses itself stay its own."""
        for function in (self.live_state, self.live_text, self.live_script, self.live_allows):
            environment.globals.setdefault(function.__name__, function)

    def _first_states(self) -> FirstStates:
        asked = request_rights.current_request()
        found: FirstStates | None = flask.g.get(_FIRST_STATES)
        if found is None or found.asked is not asked:
            # A template that no request asks for is the application's own, like a mail.
            rights = None if asked is None else request_rights.or_none(self._runtime)
            may_read = always if rights is None else rights.may_read
            found = FirstStates(self._runtime.store, may_read, asked)
            setattr(flask.g, _FIRST_STATES, found)
        return found

    def live_allows(self, action: str, device: str | None = None) -> bool:
        """Whether the request that the template answers may do this; see ``live.allows``."""
        return request_rights.allows(self._runtime, action, device)

    def live_state(self, device: str) -> TemplateState:
        """The state of a device. It is empty, and false, if the request may see no such device.

        Raises Malformed or Unavailable.
        """
        return TemplateState(self._first_states().state_of(device))

    def live_text(self, name: str, field: str | None = None) -> str:
        """The text that ``bind.js`` will show for ``data-live`` and ``data-field``."""
        device, path = parse_name(name, field)
        value: Any = self._first_states().state_of(device)
        for part in path:
            value = _part_of(value, part)
        return formatting.value(path[-1], value) if path else ""

    @jinja2.pass_context
    def live_script(
        self, context: jinja2.runtime.Context, *devices: str, nonce: str | None = None
    ) -> Markup:
        """The script of live pages, with the states that the template has read, and ``devices``.

        The nonce of the app's content security policy is ``nonce``, or ``csp_nonce`` of the
        template's context.
        """
        given = context.get("csp_nonce") if nonce is None else nonce
        value = given() if callable(given) else given
        allowed = Markup(' nonce="{}"').format(value) if value else ""
        lines = [self._first_states_element(devices)]
        for name in scripts.reached(SCRIPT):
            lines.append(_PRELOAD.format(_address(name), allowed))
        lines.append(_MODULE.format(_address(SCRIPT), allowed))
        return Markup("\n").join(line for line in lines if line)

    def _first_states_element(self, devices: tuple[str, ...]) -> Markup:
        first = self._first_states()
        for device in devices:
            first.state_of(device)
        if not first.updates:
            return Markup()
        text = first.encode(self._runtime.settings, self._runtime.clock())
        return _STATES.format(script_json(text))


def always(device: str) -> bool:
    return True


_STATES = Markup('<script type="application/json" data-first-states>{}</script>')
_PRELOAD = Markup('<link rel="modulepreload" href="{}"{}>')
_MODULE = Markup('<script type="module" src="{}"{}></script>')


def _address(name: str) -> str:
    return flask.url_for("statecast_pages.static", filename=name)


def parse_name(name: str, field: str | None = None) -> tuple[str, list[str]]:
    """The device and the path of ``data-live`` and ``data-field``, as ``binding.js`` reads them."""
    name = name.strip()
    if field and field.startswith("/"):
        parts = field[1:].split("/")
        return name, [part.replace("~1", "/").replace("~0", "~") for part in parts]
    if field:
        return name, [field]
    match = _NAME.fullmatch(name)
    assert match, "each text matches"
    device, path = match.groups()
    return device, path.split(".") if path else []


def _part_of(value: Any, part: str) -> Any:
    if isinstance(value, dict):
        return value.get(part)
    # As in JavaScript: an index in its shortest form.
    if isinstance(value, list) and re.fullmatch("0|[1-9][0-9]{0,8}", part):
        return value[int(part)] if int(part) < len(value) else None
    return None
