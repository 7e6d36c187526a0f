"""The image and the pods that run it agree, and a build sees no secret. No engine of containers is needed:
what building and running the image showed is written down as properties of its files."""

import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from node.config import NodeConfig
from node.home import Home

ROOT = Path(__file__).parents[2]
CONTAINERFILE = ROOT / "deploy" / "container" / "Containerfile"
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def instructions() -> list[tuple[str, str]]:
    """(instruction, its arguments) in order, continued lines joined."""
    text = re.sub(r"^\s*#.*\n", "", CONTAINERFILE.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    return [(line.split()[0], line.split(maxsplit=1)[1]) for line in text.splitlines() if line.strip()]


def arguments(instruction: str) -> list[str]:
    return [rest for name, rest in instructions() if name == instruction]


def copied() -> list[str]:
    """What the image takes from the checkout."""
    return [
        source
        for rest in arguments("COPY")
        if not rest.startswith("--from=")
        for source in shlex.split(rest)[:-1]
    ]


def flag(name: str) -> list[str]:
    return re.findall(rf"--{name}[ =](\S+)", CONTAINERFILE.read_text())


def pods() -> dict[str, dict[str, Any]]:
    found = {}
    for file in sorted((ROOT / "deploy" / "kubernetes").glob("*.yaml")):
        for document in yaml.safe_load_all(file.read_text()):
            spec = document.get("spec", {})
            spec = spec.get("jobTemplate", {}).get("spec", spec)
            if "template" in spec:
                found[f"{document['kind']}/{document['metadata']['name']}"] = spec["template"]["spec"]
    return found


PODS = pods()
VALIDATORS = PODS["StatefulSet/isthmus"]


def containers() -> list[Any]:
    return [
        pytest.param(container, id=f"{name}-{container['name']}")
        for name, pod in PODS.items()
        for container in (*pod.get("initContainers", ()), *pod["containers"])
    ]


# --- what a build sees -----------------------------------------------------------------------------


def enters(path: str) -> bool:
    """Whether a build's context holds this file, by the rules of `.dockerignore`: the last line that matches
    the path or a folder above it decides."""
    parts = path.split("/")
    above = ["/".join(parts[:length]) for length in range(1, len(parts) + 1)]
    taken = True
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        pattern = re.escape(line.removeprefix("!")).replace(r"\[", "[").replace(r"\]", "]")
        pattern = pattern.replace(r"\*\*/", "(?:.*/)?").replace(r"\*", "[^/]*")
        if any(re.fullmatch(pattern, folder) for folder in above):
            taken = line.startswith("!")
    return taken


@pytest.mark.parametrize(
    "path",
    [
        ".git/config",
        ".venv/bin/python",
        ".isthmus/demo/node-0/keys/validator.key",
        "node0/keys/node.key",
        "node0/data/journal/00000001",
        "plan.json",
        "alpha.entry.json",
        "tests/deploy/test_image.py",
        "bench/validator.key",
        "bench/results/keys/validator.guard",
        "node/.env",
        "node/api/tls.pem",
        "consensus/__pycache__/codec.cpython-313.pyc",
    ],
)
def test_no_key_home_or_history_enters_a_build(path: str) -> None:
    assert not enters(path)


def test_every_file_with_a_secret_is_kept_out_wherever_it_lies() -> None:
    home = Home(Path("bench/home"))
    secrets = [home.node_key_file, home.validator_key_file, home.guard_file, home.keys_dir / "operator.key"]
    assert [str(file) for file in secrets if enters(str(file))] == []


def test_what_the_image_copies_exists_and_enters_the_build() -> None:
    assert len(copied()) >= 8
    for source in copied():
        assert (ROOT / source).exists()
        assert enters(source)


def test_the_packages_of_the_wheel_enter_the_build_whole() -> None:
    packages = PYPROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert set(packages) <= set(copied())
    files = [
        str(file.relative_to(ROOT))
        for package in packages
        for file in (ROOT / package).rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    ]
    assert len(files) > 100
    assert [file for file in files if not enters(file)] == []


def test_every_package_is_fetched_once_and_against_its_hash() -> None:
    fetches = [
        command
        for rest in arguments("RUN")
        for command in rest.split("&&")
        if re.search(r"\bpip\b.* (install|download)\b", command)
    ]
    assert len(fetches) == 3
    assert [
        command for command in fetches if "--no-index" not in command and "--require-hashes" not in command
    ] == []


def test_the_base_can_be_named_and_both_stages_stand_on_it() -> None:
    assert arguments("ARG") == ["BASE=python:3.13-slim"]
    assert [rest.split()[0] for rest in arguments("FROM")] == ["${BASE}"] * 2


# --- image and manifests ---------------------------------------------------------------------------


def test_image_and_pods_name_the_same_user_and_group() -> None:
    (user,) = arguments("USER")
    uid, gid = user.split(":")
    assert set(flag("uid")) == {uid}
    assert set(flag("gid")) == {gid}
    for pod in PODS.values():
        context = pod["securityContext"]
        assert context["runAsNonRoot"] is True
        assert str(context["runAsUser"]) == uid
        assert str(context.get("runAsGroup", gid)) == gid
        assert str(context.get("fsGroup", gid)) == gid


def test_the_home_lies_on_the_volume_in_the_image_and_in_the_pods() -> None:
    (volume,) = arguments("VOLUME")
    (environment,) = arguments("ENV")
    assert f"ISTHMUS_HOME={volume}/" in environment
    assert flag("home-dir") == [volume]
    mounts = {mount["name"]: mount["mountPath"] for mount in VALIDATORS["containers"][0]["volumeMounts"]}
    assert mounts["home"] == volume


def test_the_ports_are_those_that_a_node_listens_on() -> None:
    config = NodeConfig(home=Home(Path("/nowhere")))
    (exposed,) = arguments("EXPOSE")
    named = {port["name"]: port["containerPort"] for port in VALIDATORS["containers"][0]["ports"]}
    assert named == {"p2p": config.p2p.port, "api": config.api.port}
    assert [int(port) for port in exposed.split()] == list(named.values())


@pytest.mark.parametrize("container", containers())
def test_an_init_stands_before_whatever_a_container_runs(container: dict[str, Any]) -> None:
    """The kernel keeps from a container's first process every signal that it has no handler for, yet: a stop
    during a node's first second took 20 s and a SIGKILL."""
    assert arguments("ENTRYPOINT") == ['["tini", "--", "isthmus"]']
    assert container.get("command", ["tini", "--"])[:2] == ["tini", "--"]


@pytest.mark.parametrize("container", containers())
def test_containers_can_change_nothing_but_their_volumes(container: dict[str, Any]) -> None:
    context = container["securityContext"]
    assert context["readOnlyRootFilesystem"] is True
    assert context["allowPrivilegeEscalation"] is False
    assert context["capabilities"] == {"drop": ["ALL"]}


def test_validators_may_write_temporary_files_and_are_given_the_time_to_end() -> None:
    paths = {mount["mountPath"] for mount in VALIDATORS["containers"][0]["volumeMounts"]}
    assert "/tmp" in paths
    assert VALIDATORS["terminationGracePeriodSeconds"] > 10


def test_no_start_opens_the_keys_to_the_group() -> None:
    """`Always` adds rw for the group to every file of the volume; a node refuses such keys."""
    assert VALIDATORS["securityContext"]["fsGroupChangePolicy"] == "OnRootMismatch"
