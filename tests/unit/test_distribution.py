"""How Statecast is installed.

Every document and every sentence says what works today, and after publishing.
"""

from __future__ import annotations

import re
import shutil
import tomllib
from pathlib import Path

import pytest

from statecast.program import distribution
from tools import publish
from tools.commands import Trouble

ROOT = Path(__file__).resolve().parent.parent.parent
ADDRESS = "https://forge.example/somebody/statecast"

FROM_INDEX = re.compile(
    r"\b(?:pip|pipx|uv tool) install +(?:[\w.,=\[\]'-]+ +)*'?statecast\b"
    r"|'statecast\[|\b(?:uvx|pipx run) +statecast\b"
)
"""An install line that only the package index can answer."""
FROM_CLONE = re.compile(r"pip install '?\.(?:\[|\s|'|$)")

ABOUT_PUBLISHING = {"tools/publish.py", "src/statecast/program/distribution.py", "RELEASING.md"}
FOR_CONTRIBUTORS = {"CONTRIBUTING.md", "SECURITY.md"}
FOLDERS = ("src", "docs", "examples", "tools", "contrib", "benchmarks", ".github")


def texts(root: Path) -> dict[str, str]:
    """What users and contributors read: documents, sources with their docstrings, and examples."""
    files = [path for name in FOLDERS for path in (root / name).rglob("*") if path.is_file()]
    files += [path for path in root.iterdir() if path.suffix in (".md", ".toml", ".yaml")]
    files = [path for path in files if path.suffix not in (".pyc", ".png", ".db")]
    return {
        str(path.relative_to(root)): path.read_text("utf-8", "replace")
        for path in files
        if not {"__pycache__", "node_modules"} & set(path.parts)
    }


def wrong_lines(root: Path, *, published: bool) -> list[str]:
    """Install lines that do not work.

    The Containerfile and workflows may install a clone at any time.
    """
    pattern = FROM_CLONE if published else FROM_INDEX
    exempt = ABOUT_PUBLISHING | (FOR_CONTRIBUTORS if published else set())
    return [
        f"{name}: {line.strip()}"
        for name, text in sorted(texts(root).items())
        if name not in exempt and not (published and name.startswith(("contrib/", ".github/")))
        for line in text.splitlines()
        if pattern.search(line)
    ]


def test_every_install_line_works_today() -> None:
    assert wrong_lines(ROOT, published=distribution.PUBLISHED) == []


def test_a_line_that_does_not_work_is_found(tmp_path: Path) -> None:
    # given a document with every spelling that needs the package index, and three that need none
    (tmp_path / "README.md").write_text(
        "pip install statecast\npip install -U statecast\npip install 'statecast[azure]'\n"
        "uvx statecast run --demo\npipx run statecast\npipx install statecast\n"
        "uv tool install statecast\nuv pip install statecast\n"
        "pip install .\npip install '.[azure]'\npip install /opt/src/statecast\n"
    )
    # then each state refuses exactly the lines of the other
    assert len(wrong_lines(tmp_path, published=False)) == 8
    assert len(wrong_lines(tmp_path, published=True)) == 2


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A copy of what the tool of publishing reads and writes, unpublished."""
    for name in (*FOLDERS, *(path.name for path in ROOT.iterdir() if path.is_file())):
        source = ROOT / name
        if source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__", "node_modules")
            shutil.copytree(source, tmp_path / name, ignore=ignored)
        elif source.exists():
            shutil.copy(source, tmp_path / name)
    return tmp_path


@pytest.mark.skipif(distribution.PUBLISHED, reason="it was published; the step is done")
def test_publishing_turns_every_line(clone: Path) -> None:
    # when the one step of RELEASING.md is taken
    publish.publish(clone, ADDRESS)
    # then every line works that day
    assert wrong_lines(clone, published=True) == []
    assert "PUBLISHED = True\n" in (clone / publish.CONSTANT).read_text()
    # and README.md opens with the package, and the address is known
    readme = (clone / "README.md").read_text()
    block = re.search(r"^```sh\n(.*?)^```", readme, re.MULTILINE | re.DOTALL)
    assert block and "uvx statecast run --demo" in block[1] and "pip install statecast" in block[1]
    assert "pip install 'statecast[azure]'\n" in readme
    pyproject = (clone / "pyproject.toml").read_text()
    assert publish.UNKNOWN_ADDRESS not in pyproject and ADDRESS in pyproject
    # and a second time it says that it is done
    with pytest.raises(Trouble, match="published already"):
        publish.publish(clone, ADDRESS)


@pytest.mark.parametrize("address", ["", "github.com/a/b", publish.UNKNOWN_ADDRESS, "http://a/b"])
def test_publishing_needs_the_address(address: str, tmp_path: Path) -> None:
    with pytest.raises(Trouble, match="Name the repository"):
        publish.publish(tmp_path, address)


def test_the_address_stands_in_one_table() -> None:
    """The links of the package index begin with the address in [project.urls], whatever it is."""
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text())
    urls = pyproject["project"]["urls"]
    hook = pyproject["tool"]["hatch"]["metadata"]["hooks"]["fancy-pypi-readme"]
    inner = [re.search(r"https:.*", one["replacement"]) for one in hook["substitutions"]]
    assert all(found and found[0].startswith(urls["Source"] + "/") for found in inner)
    assert all(url.startswith(urls["Source"]) for url in urls.values())


@pytest.mark.parametrize(
    ("published", "hint"),
    [
        (False, "pip install '.[azure]' in a clone of Statecast"),
        (True, "pip install 'statecast[azure]'"),
    ],
)
def test_the_hint_of_error_sentences(
    published: bool, hint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distribution, "PUBLISHED", published)
    assert distribution.install_hint("azure") == hint
