"""Bill of materials and provenance, as far as no image is needed; the whole document is in tests/containers."""

from __future__ import annotations

import re
import subprocess

from labkit.base import files, paths
from labkit.stacks import catalog, images, sbom
from labkit.stacks.engine import Engine

DOCKER = Engine(client="/usr/bin/docker", builder="buildx")


def test_hashes_of_python_packages_are_those_of_the_locks():
    for name in catalog.names():
        stack = catalog.load(name)
        for build in stack.locked:
            pinned = sbom.pinned(stack, build)
            assert all(hashes for hashes in pinned.values()), "each has one"
            (torch,) = [version for package, version in pinned if package == "torch"]
            lock = build.lock.read_text(encoding="utf-8")
            assert torch.startswith(stack.torch) and all(f"sha256:{h['content']}" in lock for h in pinned["torch", torch])
    (source,) = sbom.source_of_detectron2(catalog.load("notes"))
    assert source["content"] in (catalog.LOCKS / catalog.load("notes").detectron2).read_text()


def test_what_the_page_of_visdom_loads_is_listed_by_its_own_name():
    page = {(one["name"], one["version"]): one for one in sbom.page()}
    assert {("jquery", "3.1.1"), ("react-grid-layout", "0.16.3"), ("mathjax", "2.7.5"), ("mathjax", "3.2.2")} <= set(page)
    for one in page.values():
        ((algorithm, digest),) = [(said["alg"], said["content"]) for said in one["hashes"]]
        assert algorithm == "SHA-512" and re.fullmatch("[0-9a-f]{128}", digest)
    assert len({one["bom-ref"] for one in page.values()}) == len(page)


def test_the_labels_of_an_image_say_where_it_comes_from(monkeypatch):
    monkeypatch.setattr(images, "output_of", lambda *words: "")  # neither git nor an engine: only what is certain
    stack = catalog.load("notes")
    build = stack.build("index")
    lock = f"{build.lock.name} sha256:{files.digest(build.lock, 'sha256')}"
    pinned = images.provenance(DOCKER, build, f"ubuntu@{stack.digest}")
    assert pinned == {
        "torch-labs.lock": lock,
        "org.opencontainers.image.base.name": "ubuntu",
        "org.opencontainers.image.base.digest": stack.digest,
    }
    assert images.provenance(DOCKER, stack.build("cu101"), "mine:1") == {"org.opencontainers.image.base.name": "mine:1"}
    words = images.build_command(DOCKER, stack, build, "mine:1", images.Sources(), paths.ROOT, pinned)
    assert words[-1] == str(paths.ROOT) and f"torch-labs.lock={lock}" in words


def test_the_commit_is_that_of_the_clone_and_says_when_files_are_changed(tmp_path, monkeypatch):
    git = ["git", "-c", "user.name=x", "-c", "user.email=x@y", "-C", str(tmp_path)]
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    build = catalog.load("notes").build("index")

    def revision():
        return images.provenance(DOCKER, build, "mine:1").get("org.opencontainers.image.revision")

    assert revision() is None, "no clone, as from a zip"
    (tmp_path / "file").write_text("one")
    for words in (["init", "-q"], ["add", "file"], ["commit", "-qm", "one"]):
        subprocess.run([*git, *words], check=True)
    commit = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True).stdout.strip()
    assert revision() == commit
    (tmp_path / "file").write_text("two")
    assert revision() == f"{commit}-dirty"
