"""A transport that keeps what is written to it."""

from __future__ import annotations

from typing import Any


class FakeTransport:
    """A test sets how many bytes of it the client has not taken."""

    def __init__(self) -> None:
        self.written = bytearray()
        self.held = 0
        self.calls: list[str] = []
        self.high = 0
        self.peer: tuple[str, int] | None = ("192.0.2.1", 5)

    def write(self, data: bytes) -> None:
        self.written += data

    def set_protocol(self, protocol: Any) -> None:
        self.calls.append("set_protocol")

    def set_write_buffer_limits(self, high: int) -> None:
        self.high = high

    def get_write_buffer_size(self) -> int:
        return self.held

    def get_extra_info(self, name: str) -> Any:
        return self.peer if name == "peername" else None

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.calls.append("write_eof")

    def pause_reading(self) -> None:
        self.calls.append("pause_reading")

    def resume_reading(self) -> None:
        self.calls.append("resume_reading")

    def is_closing(self) -> bool:
        return "close" in self.calls

    def close(self) -> None:
        self.calls.append("close")

    def abort(self) -> None:
        self.calls.append("abort")
