"""The steps of a Containerfile as a script: what is run, in which order, and what is left out."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tools import container

TEXT = """\
ARG BASE=somewhere/else
FROM ${BASE} AS build
WORKDIR {folder}/src
ENV GREETING=hello \\
    OTHER=1
# A comment between them.
COPY folder folder
COPY one.txt two.txt ./
RUN cd / \\
    && echo "$GREETING" > {folder}/said
RUN pwd > {folder}/where

FROM ${BASE}
COPY --from=build /nothing /nothing
ENV PATH=/opt/x/bin:$PATH
USER 7:8
VOLUME /var/lib/x
HEALTHCHECK --interval=30s CMD ["python3", "-c", "print('ok')"]
ENTRYPOINT ["program"]
CMD ["run", "--flag"]
"""


def test_the_steps_run_as_an_engine_would_run_them(
    tmp_path: Path,
) -> None:
    # given a clone, and a Containerfile that copies from it
    clone = tmp_path / "clone"
    (clone / "folder" / "inner").mkdir(parents=True)
    for name in ("folder/inner/deep.txt", "one.txt", "two.txt"):
        (clone / name).write_text(name)
    text = TEXT.replace("{folder}", str(tmp_path))
    # when its steps run
    script = container.steps(text).replace(container.CLONE, str(clone))
    subprocess.run(["sh", "-c", script], check=True)
    # then each file is where the instruction puts it
    held = {str(path.relative_to(tmp_path / "src")) for path in (tmp_path / "src").rglob("*.txt")}
    assert held == {"folder/inner/deep.txt", "one.txt", "two.txt"}
    # and each command had the variables, and the folder, whatever the one before did
    assert (tmp_path / "said").read_text() == "hello\n"
    assert (tmp_path / "where").read_text() == f"{tmp_path / 'src'}\n"


def test_a_step_that_fails_ends_the_script(tmp_path: Path) -> None:
    script = container.steps(f"RUN false\nRUN touch {tmp_path}/later\n")
    assert subprocess.run(["sh", "-c", script]).returncode != 0
    assert not (tmp_path / "later").exists()


def test_the_server_runs_as_the_last_stage_says() -> None:
    script = container.server(TEXT)
    assert "chroot --userspec=7:8 /image env --chdir=/var/lib/x" in script
    assert "$inside program run --flag &" in script
    assert "until $inside python3 -c" in script
    assert "export PATH=/opt/x/bin:$PATH" in script
