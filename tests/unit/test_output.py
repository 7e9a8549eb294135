"""What was printed is written, or dropped with an error; it never waits for the interpreter's
end."""

from __future__ import annotations

import errno
import io
import os
from pathlib import Path

import pytest

from statecast.program import output

FULL = Path("/dev/full")


def test_what_is_buffered_is_written(tmp_path: Path) -> None:
    with open(tmp_path / "out", "w") as stream:
        stream.write("said")
        output.flush(stream)
        assert (tmp_path / "out").read_text() == "said"


def test_what_cannot_be_written_is_dropped_and_what_comes_later_is_not(tmp_path: Path) -> None:
    # Given a stream whose disk is full, with something in its buffer
    with open(tmp_path / "out", "w") as stream:
        file = os.dup(stream.fileno())
        full = os.open(FULL, os.O_WRONLY)
        os.dup2(full, stream.fileno())
        stream.write("lost")
        # When it is flushed, then it says so once
        with pytest.raises(OSError) as raised:
            output.flush(stream)
        assert raised.value.errno == errno.ENOSPC
        # And when there is room again, what is printed arrives
        os.dup2(file, stream.fileno())
        stream.write("said")
        output.flush(stream)
        os.close(file)
        os.close(full)
    assert (tmp_path / "out").read_text() == "said"


@pytest.mark.parametrize("stream", [None, io.StringIO()])
def test_a_stream_that_is_no_file_is_left_alone(stream: io.StringIO | None) -> None:
    output.flush(stream)


if not FULL.exists():
    pytestmark = pytest.mark.skip(reason="this system has no device that is always full")
