"""How writers encode messages: the table that every way in is tested with."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

MESSAGE: dict[str, Any] = {
    "device": "pillow",
    "state": {"mood": "glücklich 🛏", "note": "a state that is long enough for more than one line"},
}
TEXT = json.dumps(MESSAGE, ensure_ascii=False).encode()
ASCII = json.dumps(MESSAGE).encode()
PLAIN = base64.b64encode(TEXT)


def broken(width: int, end: str = "\n", text: bytes = PLAIN) -> bytes:
    """Base64 in lines of this width, each with its end."""
    lines = (text[at : at + width].decode() for at in range(0, len(text), width))
    return "".join(line + end for line in lines).encode()


def quoted(text: bytes, *, ascii_only: bool = True) -> bytes:
    return json.dumps(text.decode(), ensure_ascii=ascii_only).encode()


def layers(count: int) -> bytes:
    return base64.b64encode(layers(count - 1)) if count else TEXT


def array(items: list[bytes]) -> bytes:
    return b"[" + b",".join(items) + b"]"


def marked(charset: str) -> bytes:
    return ("\ufeff" + TEXT.decode()).encode(charset)


READ: list[tuple[str, bytes]] = [
    ("JSON", TEXT),
    ("JSON with space around", b" \r\n\t" + TEXT + b"\n"),
    ("JSON over many lines", json.dumps(MESSAGE, indent=2).encode()),
    ("JSON with CRLF", json.dumps(MESSAGE, indent=2).replace("\n", "\r\n").encode()),
    ("UTF-8 with a byte order mark", marked("utf-8")),
    ("two byte order marks", marked("utf-8-sig")),
    ("UTF-16LE with a mark", marked("utf-16-le")),
    ("UTF-16BE with a mark", marked("utf-16-be")),
    ("UTF-16LE without a mark", TEXT.decode().encode("utf-16-le")),
    ("UTF-16BE without a mark", TEXT.decode().encode("utf-16-be")),
    ("UTF-16LE with space around", f" {TEXT.decode()}\r\n".encode("utf-16-le")),
    ("UTF-16BE with space around", f"\n{TEXT.decode()}\r\n".encode("utf-16-be")),
    ("UTF-32LE with a mark", marked("utf-32-le")),
    ("UTF-32BE without a mark", TEXT.decode().encode("utf-32-be")),
    ("Base64", PLAIN),
    ("Base64 with a line end", PLAIN + b"\r\n"),
    ("Base64 in lines of 60, as Ruby writes it", broken(60)),
    ("Base64 in lines of 64, as OpenSSL writes it", broken(64)),
    ("Base64 in lines of 76, as base64 and Python write it", base64.encodebytes(TEXT)),
    ("Base64 in lines of 76 with CRLF, as in a mail", broken(76, "\r\n")),
    ("Base64 in lines of 76 with CR", broken(76, "\r")),
    ("Base64 without padding", PLAIN.rstrip(b"=")),
    ("Base64 for URLs", base64.urlsafe_b64encode(TEXT)),
    ("Base64 for URLs without padding", base64.urlsafe_b64encode(TEXT).rstrip(b"=")),
    ("Base64 for URLs in lines", broken(60, text=base64.urlsafe_b64encode(TEXT))),
    ("Base64 twice", base64.b64encode(PLAIN)),
    ("Base64 twice, both in lines", base64.encodebytes(base64.encodebytes(TEXT))),
    ("Base64 three times", base64.b64encode(base64.b64encode(PLAIN))),
    ("Base64 of UTF-8 with a mark", base64.b64encode(marked("utf-8"))),
    ("Base64 of UTF-16, as of PowerShell", base64.b64encode(TEXT.decode().encode("utf-16-le"))),
    ("Base64 of UTF-16 with a mark", base64.b64encode(marked("utf-16"))),
    ("UTF-16 of Base64", PLAIN.decode().encode("utf-16")),
    ("JSON in a JSON string", quoted(TEXT)),
    ("JSON in a JSON string, not escaped", quoted(TEXT, ascii_only=False)),
    ("JSON in a JSON string, twice", quoted(quoted(TEXT))),
    ("JSON in a JSON string in Base64", base64.b64encode(quoted(TEXT))),
    ("Base64 in a JSON string", quoted(PLAIN)),
    ("Base64 in lines in a JSON string", quoted(base64.encodebytes(TEXT))),
    ("a JSON string in UTF-16", quoted(TEXT).decode().encode("utf-16")),
    ("Python's text of bytes", repr(TEXT).encode()),
    ("Python's text of bytes with escapes", repr(TEXT + b"\n\t ").encode()),
    ("Python's text of Base64", str(PLAIN).encode()),
    ("Python's text of Base64 in lines", str(base64.encodebytes(TEXT)).encode()),
    ("Base64 of Python's text of Base64", base64.b64encode(str(PLAIN).encode())),
]  # fmt: skip
"""What a writer sends, which is ``MESSAGE`` in each row."""

STATES: list[tuple[str, Any]] = [
    ("an object", MESSAGE["state"]),
    ("JSON as text", json.dumps(MESSAGE["state"])),
    ("JSON as text, twice", json.dumps(json.dumps(MESSAGE["state"]))),
    ("Base64", base64.b64encode(json.dumps(MESSAGE["state"]).encode()).decode()),
    ("Base64 in lines", base64.encodebytes(json.dumps(MESSAGE["state"]).encode()).decode()),
    ("Python's text of bytes", str(json.dumps(MESSAGE["state"]).encode())),
]
"""How ``state`` may be given, which is the state of ``MESSAGE`` in each row."""

SEVERAL: list[tuple[str, Callable[[list[bytes]], bytes]]] = [
    ("an array", array),
    ("JSON lines", b"\n".join),
    ("JSON lines with a line end", lambda items: b"\n".join(items) + b"\n"),
    ("JSON lines with CRLF", b"\r\n".join),
    ("JSON lines with empty lines", b"\n\n \n".join),
    ("JSON lines with a mark", lambda items: b"\xef\xbb\xbf" + b"\n".join(items)),
    ("JSON lines in UTF-16", lambda items: b"\n".join(items).decode().encode("utf-16")),
    ("JSON lines in Base64", lambda items: base64.b64encode(b"\n".join(items))),
    ("an array in Base64 in lines", lambda items: base64.encodebytes(array(items))),
    ("an array in a JSON string", lambda items: quoted(array(items))),
]  # fmt: skip

NAMED: list[tuple[str, bytes, str]] = [
    ("nothing", b"", "It is empty."),
    ("space", b" \n", "It is empty."),
    ("a byte order mark", b"\xef\xbb\xbf", "It is empty."),
    ("a byte order mark in UTF-16", b"\xff\xfe", "It is empty."),
    ("an empty string", b'""', "It is empty."),
    ("a word", b"happy", "neither JSON (an object or an array) nor Base64"),
    ("words", b"hello world!", "neither JSON (an object or an array) nor Base64"),
    ("a field", b"mood=happy", '{"mood": "happy"}'),
    ("a form", b"device=pillow&mood=happy", '{"mood": "happy"}'),
    ("curly quotes", "{“device”: “p”, “state”: {}}".encode(), "Its quotes are typographic"),
    ("low curly quotes", "[{„device“: „p“}]".encode(), "Its quotes are typographic"),
    ("single curly quotes", "{\u2018device\u2019: 1}".encode(), "Its quotes are typographic"),
    ("guillemets", "{ «device»: «p»}".encode(), "Its quotes are typographic"),
    ("JSON in curly quotes", "“{}”".encode(), "Its quotes are typographic"),
    ("a field in curly quotes", "“mood”=1".encode(), "Its quotes are typographic"),
    ("percent-encoded in small letters", b"%7b%22device%22%3a1%7d", "It is percent-encoded"),
    ("a percent-encoded form", b"payload=%7B%22device%22%3A1%7D", "It is percent-encoded"),
    ("YAML", b"device: pillow\nstate:\n  mood: happy", "It is YAML, not JSON; send an object"),
    ("YAML with its mark", b"---\ndevice: pillow", "It is YAML, not JSON"),
    ("a list in YAML", b"- device: pillow\n  state: {}", "It is YAML, not JSON"),
    ("a line of YAML", b"state:", "It is YAML, not JSON"),
    ("TOML", b'mood = "happy"', '{"mood": "happy"}'),
    ("a line of events", b'data: {"device": "p"}', "a line of server-sent events"),
    ("a comment", b'// the pillow\n{"device": "p"}', "It begins with a comment"),
    ("a long comment", b'/* the pillow */ {"device": "p"}', "It begins with a comment"),
    ("a comment of a shell", b'# the pillow\n{"device": "p"}', "It begins with a comment"),
    ("true", b"true", "A message is a JSON object"),
    ("null", b"null", "A message is a JSON object"),
    ("a number", b"-12345678.5", "A message is a JSON object"),
    ("a cut Base64", b"eyJkZXZpY2UiOiJwIn0x"[:-3], "17 characters are no multiple of 4"),
    ("a wrong padding", b"YQ=", "3 characters are no multiple of 4"),
    ("two Base64 in a row", b"YWI=YWI=", "neither JSON (an object or an array) nor Base64"),
    ("padding alone", b"====", "neither JSON (an object or an array) nor Base64"),
    ("both alphabets", b"eyJ-_SI6+/==", "two alphabets at once"),
    ("Base64 of bytes", base64.b64encode(b"\xff\xfd\xfd"), "not text in UTF-8 (byte 1)"),
    ("Base64 of gzip", base64.b64encode(b"\x1f\x8b\x08\0\0"), "compressed (gzip"),
    ("gzip", b"\x1f\x8b\x08\0\0", "compressed (gzip"),
    ("zip", b"PK\x03\x04\n", "compressed (gzip"),
    ("Avro", b"Obj\x01\x04", "a file of Avro"),
    ("XML", b"<state>on</state>", "XML or HTML"),
    ("HTML", b"<!DOCTYPE html>", "XML or HTML"),
    ("single quotes of a shell", b"'{\"device\":\"p\"}'", "single quotes"),
    ("Python's text of a dict", b"{'device': 'p', 'state': {}}", "json.dumps(message)"),
    ("Python's text of a list", b"[{'device': 'p'}]", "json.dumps(message)"),
    ("JavaScript's text of an object", b"[object Object]", "JSON.stringify(message)"),
    ("PowerShell's text of a table", b"System.Collections.Hashtable", "ConvertTo-Json"),
    ("PowerShell's object", b"@{device=p; state=}", "ConvertTo-Json"),
    ("quotes that a shell took", b"{device:pillow,state:{mood:happy}}", "lack their double quotes"),
    ("escaped for HTML", b"{&quot;device&quot;:&quot;p&quot;}", "&quot;"),
    ("escaped quotes", b'{\\"device\\":\\"p\\"}', "escaped with backslashes"),
    ("percent-encoded", b"%7B%22device%22%3A%22p%22%7D", "percent-encoded"),
    ("percent-encoded twice", b"%257B%2522device", "percent-encoded"),
    ("a data URL", b"data:application/json;base64,e30=", "a data: URL"),
    ("a cut text of bytes", b"b'eyJk", "Python's b'...'"),
    ("Python that is no text of bytes", b"b'e30=' + b''", "Python's b'...'"),
    ("bytes with an escape that is not repr's", b"b'\\N{DASH}'", "Python's b'...'"),
    ("half a character of UTF-16", b"\xff\xfe{\0}", "not text in UTF-16"),
    ("CBOR", b"\xa1fdevicefpillow", "CBOR, MessagePack and Protobuf are not read"),
    ("MessagePack", b"\x81\xa6device\xa6pillow", "CBOR, MessagePack and Protobuf are not read"),
    ("CBOR in Base64", base64.b64encode(b"\xa1fdevicefpillow"), "CBOR, MessagePack and Protobuf"),
    ("a word of another language", "glücklich".encode(), "neither JSON (an object or an array)"),
    ("Latin-1", '{"device":"küche","state":{}}'.encode("latin-1"), "not text in UTF-8"),
    ("a string that does not end", b'"unfinished', "not JSON"),
    ("half a character", b'"\\ud800"', "half a character"),
    ("two strings", b'"a" "b"', "not JSON"),
    ("two objects in a line", TEXT + TEXT, "in an array, or one per line"),
    ("two arrays", b"[" + TEXT + b"]\n[" + TEXT + b"]", "after the end of the JSON array"),
    ("four layers of Base64", layers(4), "more than 3 times"),
    ("Base64 of a number", base64.b64encode(b"21.5"), "this is a number"),
    ("a word of four letters", b"mood", "It is a word, or Base64 of something that is not text"),
    ("what Tasmota says of itself", b"Online", "It is a word, or Base64 of something"),
    ("the number of a device", b"0x1F2e3d4c5b", "It is a word, or Base64 of something"),
    ("an object in hexadecimal digits", TEXT.hex().encode(), "It is JSON in hexadecimal digits"),
    ("an array in capital hexadecimal digits", b"5B7B7D5D", "It is JSON in hexadecimal digits"),
    ("very many byte order marks", b"\xef\xbb\xbf" * 2_000, "It is empty."),
    ("very many byte order marks in UTF-16", b"\xff\xfe" * 2_000, "It is empty."),
    ("far too much Base64", b"A" * 1_048_580, "at most 1048576"),
]  # fmt: skip
"""What is refused, with what the sentence must say."""
