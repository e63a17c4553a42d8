"""The bill of materials of an image, as CycloneDX: what is in it, the pinned hashes, and where it comes from."""

from __future__ import annotations

import base64
import json
import re
import subprocess
from typing import Any, Dict
from urllib.parse import quote

from packaging.utils import canonicalize_name

from labkit.base.errors import UserError
from labkit.stacks import detectron2_wheel, images, native, visdom_page
from labkit.stacks.catalog import LOCKS, Build, Stack, label, pins
from labkit.stacks.engine import Engine

# Runs inside the image, from a folder that is not on its path, so that the tool does not list itself.
CYCLONEDX = """
import runpy, sys
sys.path.insert(0, "/sbom")
sys.argv = ["cyclonedx-py", "environment", "--sv", "1.6", "--output-format", "JSON",
            "--output-reproducible", "/opt/lab"]
runpy.run_module("cyclonedx_py", run_name="__main__")
"""
DPKG = ("dpkg-query", "--show", "--showformat", "${Package} ${Version} ${Architecture}\\n")
PYTHON = ("python", "-c", "import platform; print(platform.python_version())")
Component = Dict[str, Any]


def document(engine: Engine, stack: Stack, build: Build) -> str:
    """The bill of materials of the finished image, as JSON. Raises UserError where there is no such image.

    cyclonedx-bom reads the Python packages inside the image, without a network. What it does not know is added: the
    interpreter, the distribution's packages, what the page of visdom loads, and the image itself.
    """
    name = images.tag(stack, build)
    if not images.present(engine, name):
        raise UserError(f"there is no image {name}", f"./inv image.build --stack {label(stack, build)}")
    tool = native.carried("sbom", stack.python)
    run = [engine.client, "run", "--rm", "--network", "none", "--volume", f"{tool}:/sbom:ro", name]
    said = json.loads(asked([*run, "python", "-c", CYCLONEDX]))
    known = pinned(stack, build)
    for component in said["components"]:
        hashes = known.get((canonicalize_name(component["name"]), component["version"]), [])
        if component["name"] == "detectron2" and not detectron2_wheel.asked():
            hashes, where = source_of_detectron2(stack), "the source from which its wheel was made"
        else:
            where = "one of the files that the lock pins"
        if hashes:
            file = {"type": "distribution", "url": component["purl"], "comment": where, "hashes": hashes}
            component.setdefault("externalReferences", []).append(file)
    said["components"] += [interpreter(asked([*run, *PYTHON])), *debian(stack, asked([*run, *DPKG])), *page()]
    said["metadata"]["component"] = image(engine, name)
    return json.dumps(said, indent=2)


def asked(command: list[str]) -> str:
    """What a program prints. Raises UserError with its last line where it fails."""
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise UserError(f"{command[0]} {command[1]} failed: {last}", "./inv doctor")
    return done.stdout


def pinned(stack: Stack, build: Build) -> dict[tuple[str, str], list[dict[str, str]]]:
    """(package, version) -> the hashes of its files, as CycloneDX writes them."""
    text = "".join([*images.parts(stack, build), pins(detectron2_wheel.PANOPTICAPI)])
    entries = re.findall(r"^([\w.-]+)==([^\s;\\]+)(.*\n(?:[ ]+.*\n)*)", text, re.MULTILINE)
    return {(canonicalize_name(name), version): sha256_of(rest) for name, version, rest in entries}


def source_of_detectron2(stack: Stack) -> list[dict[str, str]]:
    return sha256_of(pins(LOCKS / stack.detectron2))


def sha256_of(text: str) -> list[dict[str, str]]:
    """The hashes in an entry of a lock."""
    return [{"alg": "SHA-256", "content": found} for found in re.findall(r"--hash=sha256:([0-9a-f]{64})", text)]


def part(kind: str, name: str, version: str, purl: str, **more: Any) -> Component:
    return {"type": kind, "name": name, "version": version, "purl": purl, "bom-ref": purl, **more}


def interpreter(printed: str) -> Component:
    version = printed.strip()
    return part("platform", "CPython", version, f"pkg:generic/cpython@{version}")


def debian(stack: Stack, listed: str) -> list[Component]:
    """The distribution's packages, from dpkg's list."""
    distribution, found = stack.os.partition(" ")[0], []
    for package, version, architecture in map(str.split, listed.splitlines()):
        purl = f"pkg:deb/{distribution}/{package}@{quote(version)}?arch={architecture}"
        found.append(part("library", package, version, purl))
    return found


def page() -> list[Component]:
    """What the page of visdom loads, from npm's lock."""
    lock, found = visdom_page.SOURCE / "package-lock.json", []
    for folder, entry in json.loads(lock.read_text(encoding="utf-8"))["packages"].items():
        if folder:  # "" is the list itself
            name = entry.get("name") or folder.partition("node_modules/")[2]
            kind, _, digest = entry["integrity"].partition("-")
            hashes = [{"alg": kind.upper().replace("SHA", "SHA-"), "content": base64.b64decode(digest).hex()}]
            purl = f"pkg:npm/{quote(name)}@{entry['version']}"
            found.append(part("library", name, entry["version"], purl, hashes=hashes))
    return found


def image(engine: Engine, name: str) -> Component:
    """The image with its labels; its pedigree is the image that it stands on, and the commit of this repository."""
    labels = images.labels(engine, name)
    repository, _, version = name.partition(":")
    identity = images.output_of(engine.client, "image", "inspect", "--format", "{{.Id}}", name)
    said = part("container", repository, version, f"pkg:oci/{repository.rpartition('/')[2]}@{quote(identity)}")
    said["hashes"] = [{"alg": "SHA-256", "content": identity.partition(":")[2]}]
    said["properties"] = [{"name": key, "value": value} for key, value in sorted(labels.items())]
    base, digest = (labels.get(f"org.opencontainers.image.base.{key}", "") for key in ("name", "digest"))
    commit = labels.get("org.opencontainers.image.revision")
    pedigree: dict[str, Any] = {}
    if base:
        pedigree["ancestors"] = [{"type": "container", "name": base, "version": digest}]
    if commit:
        pedigree["commits"] = [{"uid": commit}]
    return {**said, **({"pedigree": pedigree} if pedigree else {})}
