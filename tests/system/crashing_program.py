"""``statecast`` that kills itself when a message reaches a point of the path.

    python crashing_program.py POINT run ...

POINT is one of ``received``, ``committed`` and ``acknowledged``. The hook is given to the pipeline
here, in the child process: the product knows no setting for it.
"""

from __future__ import annotations

import functools
import os
import signal
import sys

from statecast import runtime
from statecast.cli.main import main
from statecast.ingest.pipeline import Pipeline


def crash_at(point: str, reached: str) -> None:
    if reached == point:
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    hook = functools.partial(crash_at, sys.argv.pop(1))
    runtime.Pipeline = functools.partial(Pipeline, reach=hook)
    main(prog_name="statecast")
