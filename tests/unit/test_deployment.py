"""The files that run Statecast elsewhere: they name settings, flags and directives that exist."""

from __future__ import annotations

import configparser
import json
import re
import shlex
import subprocess
import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click
import pytest
import yaml

from statecast import settings
from statecast.cli.main import main
from statecast.sources.azure_queue import account

ROOT = Path(__file__).resolve().parent.parent.parent
UNIT = ROOT / "contrib" / "statecast.service"
EXPOSURE = 3.0
"""What `systemd-analyze security` may say at most; 10 is the worst."""


def given_to_run(command: list[str]) -> dict[str, object]:
    """What ``statecast run`` makes of its flags. Fails for one that does not exist."""
    program, name, *flags = command
    assert program.rpartition("/")[2] == "statecast"
    run = main.commands[name]
    assert isinstance(run, click.Command)
    return dict(run.make_context(name, flags).params)


# systemd


def unit() -> dict[str, str]:
    """The section [Service]; of a key that occurs twice, the last."""
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read(UNIT)
    return dict(parser["Service"])


def test_the_unit_starts_a_server_that_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    service = unit()
    assert (service["Type"], service["WatchdogSec"]) == ("notify", "30")
    program, name, flag, file = shlex.split(service["ExecStart"])
    assert [program.rpartition("/")[2], name, flag] == ["statecast", "run", "--config"]
    # and it writes where it may
    text = UNIT.read_text()
    assert f"/var/lib/{service['StateDirectory']}/statecast.db" in text
    # and the how-to puts each file where the unit looks for it
    how_to = (ROOT / "docs" / "how-to" / "service.md").read_text()
    for path in (file, service["EnvironmentFile"].lstrip("-"), program.rpartition("/")[0]):
        assert path in how_to


def test_the_settings_of_the_service_can_be_read() -> None:
    text = (ROOT / "contrib" / "statecast.toml").read_text()
    uncommented = re.sub(r"^# (?=\w+ = )", "", text, flags=re.MULTILINE)
    given = tomllib.loads(uncommented)
    assert given
    settings.load(given)


def test_the_unit_is_hardened(systemd_analyze: str) -> None:
    command = [systemd_analyze, "security", "--offline=true", "--no-pager", str(UNIT)]
    finished = subprocess.run(command, capture_output=True, text=True)
    said = re.search(r"Overall exposure level for statecast.service: ([\d.]+)", finished.stdout)
    assert said, finished.stdout + finished.stderr
    assert float(said[1]) < EXPOSURE
    # and it has no key that systemd does not know; the program is not installed here
    verified = subprocess.run([systemd_analyze, "verify", UNIT], capture_output=True, text=True)
    unknown = [line for line in verified.stderr.splitlines() if UNIT.name in line]
    assert [line for line in unknown if "is not executable" not in line] == []


# A proxy


def test_the_page_about_proxies_shows_what_the_file_has() -> None:
    file = (ROOT / "contrib" / "nginx.conf").read_text()
    page = (ROOT / "docs" / "how-to" / "proxy.md").read_text()
    snippet = re.search(r"^```nginx\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    assert snippet
    directives = {line.strip() for line in snippet[1].splitlines()}
    assert "proxy_set_header Host $http_host;" in directives
    assert "proxy_buffering off;" in directives
    assert directives <= {line.partition("  #")[0].strip() for line in file.splitlines()}


# Containers


def container(word: str) -> list[str]:
    """The arguments of every such instruction in the Containerfile's last stage."""
    text = (ROOT / "Containerfile").read_text().replace("\\\n", " ")
    last = text.rpartition("\nFROM ")[2]
    return re.findall(rf"^{word} +(.+)$", last, re.MULTILINE)


def test_the_container_starts_a_server_that_can_be_reached() -> None:
    (entry,), (command,), (port,) = map(container, ("ENTRYPOINT", "CMD", "EXPOSE"))
    flags = given_to_run([*json.loads(entry), *json.loads(command)])
    assert flags["host"] == "0.0.0.0"
    assert int(port) == settings.Settings.port
    # and its health is asked there, of an address that exists
    (check,) = container("HEALTHCHECK")
    assert f"http://127.0.0.1:{port}/readyz" in check


def test_the_container_is_not_root_and_writes_in_one_place() -> None:
    (user,), (volume,), (environment,) = map(container, ("USER", "VOLUME", "ENV"))
    assert all(int(number) > 0 for number in user.split(":"))
    assert f"STATECAST_STORE=sqlite:///{volume}/statecast.db" in environment


def test_the_container_installs_what_the_lock_names() -> None:
    """All extras, with hashes; the group ``image`` names the same packages as the extras."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = {
        one for extra in project["project"]["optional-dependencies"].values() for one in extra
    }
    assert set(project["dependency-groups"]["image"]) == extras
    text = (ROOT / "Containerfile").read_text()
    for name in re.findall(r"requirements/([\w-]+)\.txt", text):
        assert (ROOT / "requirements" / f"{name}.txt").exists()
    assert "requirements/image.txt" in text and text.count("--require-hashes") == 2


def test_what_the_container_copies_is_let_through() -> None:
    allowed = set(re.findall(r"^!(.+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE))
    text = (ROOT / "Containerfile").read_text()
    copied = [words.split()[:-1] for words in re.findall(r"^COPY ([^-].*)$", text, re.MULTILINE)]
    assert {name for names in copied for name in names} == allowed


@pytest.mark.parametrize(
    "file", ["compose.yaml", "compose.sqlite.yaml", "Containerfile", "contrib/statecast.service"]
)
def test_the_variables_that_are_named_are_settings(file: str) -> None:
    named = set(re.findall(r"\bSTATECAST_([A-Z_]+)", (ROOT / file).read_text()))
    assert named and named <= {name.upper() for name in settings.names()}


# Several hosts


def documents(file: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((ROOT / file).read_text()))


def named_variables(environment: dict[str, str] | list[dict[str, Any]]) -> dict[str, str]:
    """The values by name, of Compose's mapping or of Kubernetes' list."""
    if isinstance(environment, dict):
        return environment
    return {one["name"]: one.get("value", "") for one in environment}


def servers() -> dict[str, dict[str, Any]]:
    """What runs Statecast: each with ``environment``, and perhaps ``command``."""
    (compose,) = documents("compose.yaml")
    found = {
        name: service
        for name, service in compose["services"].items()
        if service["image"] == "statecast"
    }
    for document in documents("contrib/kubernetes.yaml"):
        if document["kind"] == "Deployment":
            (pod,) = document["spec"]["template"]["spec"]["containers"]
            found["kubernetes"] = {"environment": pod["env"], "command": pod["args"]}
    return found


@pytest.mark.parametrize("name", ["statecast-1", "statecast-2", "kubernetes"])
def test_each_of_several_hosts_has_settings_that_are_valid(name: str) -> None:
    server = servers()[name]
    variables = named_variables(server["environment"])
    loaded = settings.load(
        environ={key: value for key, value in variables.items() if key.startswith("STATECAST_")}
    )
    # they share one store, and no viewer needs the host that it was on
    assert loaded.store.startswith("postgresql://") and not loaded.long_polling
    # and the proxy before them is named, or its clients would count as one
    assert loaded.trusted_proxy
    # and no password stands in the URL, which other users of a host may see
    assert urlsplit(loaded.store).password is None and "PGPASSWORD" in variables
    if "command" in server:
        assert given_to_run(["statecast", *server["command"]])["host"] == "0.0.0.0"


def test_the_queue_of_the_compose_file_is_azurites() -> None:
    """The connection that it names leads to the service beside it."""
    (compose,) = documents("compose.yaml")
    variables = compose["services"]["statecast-1"]["environment"]
    found = account.find_account("", variables)
    assert found.url == "http://azurite:10001/devstoreaccount1"
    assert "azurite" in compose["services"]


def test_kubernetes_asks_what_the_server_answers() -> None:
    kinds = {one["kind"]: one["spec"] for one in documents("contrib/kubernetes.yaml")}
    template = kinds["Deployment"]["template"]
    pod = template["spec"]
    (server,) = pod["containers"]
    assert [port["containerPort"] for port in server["ports"]] == [settings.Settings.port]
    probes = {name: server[f"{name}Probe"]["httpGet"] for name in ("startup", "liveness")}
    assert {probe["path"] for probe in probes.values()} == {"/healthz"}
    assert server["readinessProbe"]["httpGet"]["path"] == "/readyz?only=store"
    # and it waits for the end: the pause before SIGTERM, then what the server may take
    pause = int(server["lifecycle"]["preStop"]["exec"]["command"][1])
    assert pod["terminationGracePeriodSeconds"] > pause + settings.Settings.shutdown_timeout + 5
    # and who selects pods selects these
    labels = template["metadata"]["labels"]
    for kind in ("Deployment", "PodDisruptionBudget"):
        assert kinds[kind]["selector"]["matchLabels"] == labels
    assert kinds["Service"]["selector"] == labels
    # and they are as little as the image needs
    assert pod["securityContext"]["runAsUser"] == int(container("USER")[0].split(":")[0])
    assert server["securityContext"]["readOnlyRootFilesystem"]


@pytest.mark.parametrize("file", ["nginx-several-hosts.conf", "haproxy.cfg"])
def test_proxies_name_the_servers_of_the_compose_file(file: str) -> None:
    (compose,) = documents("compose.yaml")
    named = set(re.findall(r"\b(statecast-\d):8000\b", (ROOT / "contrib" / file).read_text()))
    assert named == {name for name in compose["services"] if name.startswith("statecast-")}
