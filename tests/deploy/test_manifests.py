"""What `deploy/` holds is accepted by the tools that will read it, and says what this software says."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import kubernetes_validate
import promql_parser
import pytest
import yaml

from node import wire
from node.cli.exits import Exit
from node.config import parse_config
from node.daemon import guardfile, segment, store
from node.home import Home
from tests.deploy.tools import PROMTOOL

DEPLOY = Path(__file__).parents[2] / "deploy"
RULES = DEPLOY / "prometheus" / "rules.yaml"
CASES = Path(__file__).parent / "alerts.yaml"
UNIT = DEPLOY / "systemd" / "isthmus@.service"
KUBERNETES_VERSION = "1.34"


def documents() -> Iterator[tuple[str, dict[str, Any]]]:
    for file in sorted((DEPLOY / "kubernetes").glob("*.yaml")):
        for document in yaml.safe_load_all(file.read_text()):
            yield f"{file.name}:{document['kind']}/{document['metadata']['name']}", document


KUBERNETES = dict(documents())


@pytest.mark.parametrize("name", KUBERNETES)
def test_kubernetes_accepts_the_manifest(name: str) -> None:
    kubernetes_validate.validate(KUBERNETES[name], KUBERNETES_VERSION, strict=True)


def test_a_misspelt_manifest_would_be_noticed() -> None:
    document = json.loads(json.dumps(KUBERNETES["validators.yaml:StatefulSet/isthmus"]))
    document["spec"]["replica"] = document["spec"].pop("replicas")
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(document, KUBERNETES_VERSION, strict=True)


def node_container() -> dict[str, Any]:
    pod = KUBERNETES["validators.yaml:StatefulSet/isthmus"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    return dict(container)


def test_peers_find_pods_that_are_not_ready_yet_and_clients_do_not() -> None:
    peers, clients = (
        KUBERNETES[f"validators.yaml:Service/{name}"]["spec"] for name in ("isthmus-peers", "isthmus")
    )
    assert (peers["clusterIP"], peers["publishNotReadyAddresses"]) == ("None", True)
    assert "publishNotReadyAddresses" not in clients


def test_only_a_dead_process_is_restarted() -> None:
    container = node_container()
    assert container["livenessProbe"]["httpGet"]["path"] == "/livez"
    assert container["startupProbe"]["httpGet"]["path"] == "/livez"
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"


def test_the_settings_in_the_manifest_are_settings_of_this_software(tmp_path: Path) -> None:
    environment = {e["name"]: e.get("value", "x") for e in node_container()["env"]}
    given = {
        key: value.replace("$(POD_IP)", "10.0.0.7").replace("$(POD_NAME)", "isthmus-0")
        for key, value in environment.items()
    }
    loaded = parse_config("", Home(tmp_path), given)
    assert set(loaded.origins) == {
        "p2p.host", "p2p.advertise_host", "api.host", "api.allowed_hosts", "logging.format",
    }  # fmt: skip
    assert "10.0.0.7" in loaded.config.api.allowed_hosts


def test_exit_codes_that_no_restart_heals_end_the_restarts() -> None:
    (line,) = re.findall(r"^RestartPreventExitStatus=(.*)$", UNIT.read_text(), re.MULTILINE)
    assert {int(code) for code in line.split()} == {
        Exit.OK,
        Exit.CONFIGURATION,
        Exit.KEYS,
        Exit.PORT_IN_USE,
    }


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed here")
def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    text = UNIT.read_text()
    unit = tmp_path / UNIT.name
    unit.write_text(re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", text, flags=re.MULTILINE))
    assert unit.read_text() != text
    done = subprocess.run(
        ["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def alerts() -> list[dict[str, Any]]:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def expressions() -> list[str]:
    dashboard = json.loads((DEPLOY / "grafana" / "isthmus.json").read_text())
    shown = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    return [rule["expr"] for rule in alerts()] + [text.replace("$job", "isthmus") for text in shown]


@pytest.mark.parametrize("expression", expressions())
def test_prometheus_understands_every_expression(expression: str) -> None:
    promql_parser.parse(expression)


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed here: make promtool")
@pytest.mark.parametrize(
    ("verb", "what", "file"),
    [
        ("check", "config", RULES.with_name("prometheus.yaml")),
        ("check", "rules", RULES),
        ("test", "rules", CASES),
    ],
    ids=["config", "rules", "cases"],
)
def test_prometheus_accepts_it_and_each_alert_fires_when_it_should(verb: str, what: str, file: Path) -> None:
    """The cases look at all alerts at once: a healthy validator and a healthy observer raise none."""
    done = subprocess.run([str(PROMTOOL), verb, what, str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "SUCCESS" in done.stdout


def test_every_alert_has_a_case_in_which_it_fires() -> None:
    fired = set(re.findall(r'alertname="(\w+)"', CASES.read_text()))
    assert fired == {rule["alert"] for rule in alerts()}


def test_every_alert_says_what_to_do() -> None:
    for rule in alerts():
        assert rule["annotations"]["summary"]
        assert rule["annotations"]["action"].endswith(".")
        assert rule["labels"]["severity"] in ("warning", "critical")


def test_the_image_in_the_manifests_is_of_this_version() -> None:
    version = re.search(r'^version = "(.+)"$', (DEPLOY.parent / "pyproject.toml").read_text(), re.MULTILINE)
    assert version is not None
    images = set(
        re.findall(r"image: (\S+)", "".join(f.read_text() for f in (DEPLOY / "kubernetes").glob("*.yaml")))
    )
    assert images == {f"isthmus:{version.group(1)}"}


def test_the_table_of_what_can_be_gone_back_to_tells_the_formats_of_this_release() -> None:
    """Its last row is this release's: who changes a format has to say what that means for operators."""
    text = (DEPLOY / "UPGRADE.md").read_text()
    rows = re.findall(r"^\| ([\d.]+) \| (.+) \|$", text, re.MULTILINE)
    guard = guardfile.MAGIC.decode().removeprefix("ISTHGRD")
    journal = f"{segment.FORMAT}, {segment.FORMATS[0]} to {segment.FORMATS[-1]}"
    protocol = f"{wire.PROTOCOL_OLDEST} to {wire.PROTOCOL_VERSION}"
    assert rows[-1] == (version("isthmus"), f"{store.FORMAT} | {journal} | {guard} | {protocol}")
