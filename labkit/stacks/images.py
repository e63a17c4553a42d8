"""Images: a stack built by docker/Dockerfile, named by a fingerprint of everything that went into it."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Mapping

from labkit.base import files, mirrors, paths, settings
from labkit.base.console import say, warn
from labkit.base.errors import UserError, harmless
from labkit.base.programs import output_of, uv
from labkit.stacks import catalog, detectron2_wheel, native, sizes, visdom_page, wheels
from labkit.stacks.catalog import LOCKS, Build, Stack, label, pins
from labkit.stacks.engine import Engine
from labkit.stacks.machine import free_gb

DOCKER = paths.ROOT / "docker"
HELPERS = ("apt-install", "compile.py")  # of the Dockerfile
EDITOR = (DOCKER / "devcontainer.Dockerfile", DOCKER / "apt-install")
REPOSITORY = "torch-labs"
# PyTorch and what it needs, by name: a layer of an image that seldom changes and is larger than all others.
WITH_PYTORCH = (
    r"(torch|torchvision|triton|(nvidia|cuda)-[\w-]+|numpy|pillow|future|filelock|fsspec|jinja2|markupsafe|networkx|"
    r"sympy|mpmath|setuptools|typing-extensions)(\[|==)"
)


@dataclass(frozen=True)
class Sources:
    """Where a build takes its parts from; every field may be '' for the usual place."""

    registry: str = ""  # prefix of a registry that mirrors Docker Hub: "mirror.example.com/"
    base: str = ""  # an image to build on instead of the stack's own
    index: str = ""  # package index
    apt: str = ""  # server of the distribution's packages

    @classmethod
    def of(cls, made: settings.Settings) -> Sources:
        """What the settings say, and the mirror that they name."""
        registry = made.registry and made.registry.rstrip("/") + "/"
        apt = made.apt_mirror or mirrors.chosen().get("apt", "")
        return cls(registry, made.base_image, mirrors.package_index(), apt)


def fingerprint(stack: Stack, build: Build) -> str:
    """sha256 of what decides the content of the image: base, Python, packages, Dockerfile and its helpers.

    A comment in a stack's file or in a lock decides nothing.
    """
    content = hashlib.sha256()
    base = settings.current().base_image or f"{stack.base} {stack.digest}"
    content.update("\0".join([stack.name, build.name, base, stack.python, *parts(stack, build)]).encode())
    content.update(pins(LOCKS / "build.txt").encode())
    for path in (DOCKER / "Dockerfile", *(DOCKER / name for name in HELPERS), *visdom_page.FILES):
        content.update(path.read_bytes())
    content.update(detectron2_wheel.recipe(stack))
    return content.hexdigest()


def parts(stack: Stack, build: Build) -> tuple[str, str]:
    """The requirements of PyTorch's layer in the image, and of the layer of all other packages."""
    text = native.requirements(stack, build, windows=True)
    if build.pending:
        text += f"torch=={stack.torch}+{build.name}\ntorchvision=={stack.torchvision}+{build.name}\n"
    entries = re.findall(r"^\S.*\n(?:[ ]+.*\n)*", text, re.MULTILINE)
    first = [entry for entry in entries if re.match(WITH_PYTORCH, entry)] if not build.pending else entries
    return "".join(first), "".join(entry for entry in entries if entry not in first)


def tag(stack: Stack, build: Build) -> str:
    """The name of the image of today's stack: an older one has another tag."""
    return f"{REPOSITORY}/{stack.name}:{fingerprint(stack, build)[:12]}"


def editor_tag(stack: Stack, build: Build) -> str:
    """The name of the image of the stack's devcontainer, which stands on an image of the stack."""
    content = tag(stack.for_editor, build).encode() + b"".join(path.read_bytes() for path in EDITOR)
    return f"{REPOSITORY}/{stack.name}:devcontainer-{hashlib.sha256(content).hexdigest()[:12]}"


def present(engine: Engine, name: str) -> bool:
    """Whether the engine holds an image of that name."""
    return bool(output_of(engine.client, "image", "inspect", "--format", "{{.Id}}", name))


def todays(stack: Stack) -> set[str]:
    """The names of all images that the stack can have today, its devcontainer's among them."""
    below = {tag(each, build) for each in (stack, stack.for_editor) for build in stack.builds}
    return below | {editor_tag(stack, build) for build in stack.builds}


def older(engine: Engine, stack: Stack) -> list[str]:
    """The images of this stack that were built from an earlier version of it."""
    names = "{{.Repository}}:{{.Tag}}"
    listed = output_of(engine.client, "image", "ls", "--format", names, f"{REPOSITORY}/{stack.name}")
    return [name for name in listed.splitlines() if name not in todays(stack)]


def base_sources(stack: Stack, sources: Sources) -> list[str]:
    """The images to build on, in the order in which they are tried: by digest from everywhere, then by tag."""
    if sources.base:
        return [sources.base]
    name = stack.base.partition(":")[0]
    pinned = [] if stack.digest == "pending" else [f"{name}@{stack.digest}"]
    return [address for image in (*pinned, stack.base) for address in registries(image, sources)]


def registries(image: str, sources: Sources) -> list[str]:
    """The addresses of an image of Docker Hub: in the user's registry, there, and at NVIDIA's own registry."""
    official = "" if "/" in image else "library/"  # how Docker Hub itself calls it, and so do most that mirror it
    names = [f"{sources.registry}{prefix}{image}" for prefix in dict.fromkeys((official, "")) if sources.registry]
    return [*names, image, *([f"nvcr.io/{image}"] if image.startswith("nvidia/") else [])]


def get_base(engine: Engine, stack: Stack, sources: Sources) -> str:
    """The first base image that is here or can be pulled. Raises UserError with what each source answered."""
    failures = []
    for name in base_sources(stack, sources):
        if not present(engine, name):
            say(f"pulling {name}")
            pulled = subprocess.run([engine.client, "pull", name], stdout=sys.stderr, stderr=subprocess.PIPE, text=True)
            if pulled.returncode != 0:
                reason = (pulled.stderr.strip().splitlines() or ["no answer"])[-1]
                failures.append(f"{name} ({harmless(reason).removeprefix('Error response from daemon: ')})")
                continue
        if not sources.base and stack.digest != "pending" and "@" not in name:
            warn(f"no registry has {stack.base} as it was recorded, so {name} is taken as it is today: {failures[0]}")
        return name
    raise UserError(
        f"no base image for stack {stack.name}: {'; '.join(failures)}",
        "./inv config set registry mirror.example.com, or without a container: --where venv",
    )


def provenance(engine: Engine, build: Build, base: str) -> dict[str, str]:
    """The labels that say what an image was built from, and nothing of when: the same builds have the same."""
    lock = (
        {} if build.pending else {"torch-labs.lock": f"{build.lock.name} sha256:{files.digest(build.lock, 'sha256')}"}
    )
    name, _, digest = base.partition("@")
    if not digest:  # by its tag: what the registry calls it, or what it is called here, where it came from none
        known = output_of(engine.client, "image", "inspect", "--format", "{{json .RepoDigests}} {{.Id}}", base)
        digest = "".join(re.findall(r"sha256:[0-9a-f]{64}", known)[:1])
    git = ("git", "-C", str(paths.ROOT), "-c", "safe.directory=*")
    commit = output_of(*git, "rev-parse", "HEAD")
    changed = "-dirty" if output_of(*git, "status", "--porcelain", "--untracked-files=no") else ""
    said = {
        "org.opencontainers.image.base.name": name,
        "org.opencontainers.image.base.digest": digest,
        "org.opencontainers.image.revision": commit and commit + changed,
    }
    return {**lock, **{key: value for key, value in said.items() if value}}


def build_command(
    engine: Engine,
    stack: Stack,
    build: Build,
    base: str,
    sources: Sources,
    context: Path,
    labels: Mapping[str, str] = MappingProxyType({}),
) -> list[str]:
    """The command that builds the image: a pure function of what is given and of the proxies in the environment."""
    options = "--require-hashes" if not build.pending else f"--index {build.wheels} --index-strategy unsafe-best-match"
    interpreters = mirrors.variables().get("UV_PYTHON_INSTALL_MIRROR") or settings.system().python_mirror
    arguments = {
        "BASE_IMAGE": base,
        "PYTHON": stack.python,
        "INSTALL_OPTIONS": options,
        "DETECTRON2": " ".join(detectron2_wheel.arguments(detectron2_wheel.IN_IMAGE)),
        "LAB_IMAGE": f"{stack.name}/{build.name}",
        "FINGERPRINT": fingerprint(stack, build),
        "UV_DEFAULT_INDEX": sources.index,
        "UV_PYTHON_INSTALL_MIRROR": interpreters,
        "APT_MIRROR": sources.apt,
    }
    *command, folder = build_words(engine, tag(stack, build), DOCKER / "Dockerfile", arguments, context)
    return [*command, *(word for key, value in labels.items() for word in ("--label", f"{key}={value}")), folder]


def build_words(engine: Engine, name: str, dockerfile: Path, arguments: Mapping[str, str], context: Path) -> list[str]:
    """The command that builds an image called `name` through the user's network; its last word is the `context`."""
    proxies = [name for name in settings.system().proxies if name.lower() != "all_proxy"]
    certificates = settings.system().certificates
    command = [engine.client, *(["buildx"] if engine.builder == "buildx" else []), "build"]
    command += ["--load"] if engine.builder == "buildx" else []
    command += ["--tag", name, "--file", str(dockerfile)]
    command += [word for name, value in arguments.items() for word in ("--build-arg", f"{name}={value}")]
    command += [word for name in proxies for word in ("--build-arg", name)]
    command += ["--secret", f"id=ca,src={certificates}"] if Path(certificates).is_file() else []
    return [*command, str(context)]


def planned(engine: Engine, stack: Stack, build: Build) -> list[str]:
    """The build command as it would be, for `--dry`."""
    sources = Sources.of(settings.current())
    context = native.VENV / "context" / stack.name
    return build_command(engine, stack, build, base_sources(stack, sources)[0], sources, context)


def make_context(stack: Stack, build: Build) -> Path:
    """The folder that the build sees: requirements, PyTorch's wheels, uv, the Dockerfile's helpers, visdom's page.

    Raises Missing where those wheels cannot be had.
    """
    context = native.VENV / "context" / stack.name
    shutil.rmtree(context, ignore_errors=True)
    context.mkdir(parents=True)
    pytorch = wheels.fetch(stack, build, stack.python)
    (context / "wheels").mkdir()
    for wheel in sorted(pytorch.iterdir()) if pytorch else ():
        files.link(wheel, context / "wheels" / wheel.name)
    for name, requirements in zip(("pytorch.txt", "packages.txt"), parts(stack, build)):
        (context / name).write_text(requirements, encoding="utf-8")
    for source in (LOCKS / "build.txt", detectron2_wheel.PANOPTICAPI, *(DOCKER / name for name in HELPERS), Path(uv())):
        shutil.copy(source, context / source.name)
    detectron2_wheel.make(stack, context / "detectron2")
    visdom_page.fetch(context / "visdom")
    return context


def ensure(engine: Engine, stack: Stack, build: Build, sources: Sources) -> str:
    """The tag of today's image of the stack, built now where it is missing."""
    name = tag(stack, build)
    if present(engine, name):
        return name
    if older(engine, catalog.load(stack.name)):
        say(f"the image of stack {stack.name} is older than its definition: rebuilding it")
    if not engine.builder:
        raise UserError(
            f"docker {engine.version} cannot build: neither buildx nor BuildKit is there",
            "sudo apt install docker-buildx (Docker's own packages: docker-buildx-plugin), or --where venv",
        )
    root = output_of(engine.client, "info", "--format", "{{.DockerRootDir}}")
    size = sizes.of(stack, build)
    needed_gb = size.building / 1e9
    if root and Path(root).exists() and free_gb(Path(root)) < needed_gb:
        free = f"only {free_gb(Path(root)):.1f} GB are free in {root}"
        problem = f"building {label(stack, build)} takes about {needed_gb:.1f} GB and {free}"
        raise UserError(problem, "docker system prune")
    if build.pending:
        warn(f"the wheels of {stack.name}/{build.name} have no recorded hashes: {build.wheels} is trusted unchecked")
    say(f"making the image of {label(stack, build)}, once")
    for line in size.announcement(f"{size.image / 1e9:.1f} GB, with the cache of the builds {needed_gb:.1f} GB"):
        say(line)
    context = make_context(stack, build)
    base = get_base(engine, stack, sources)
    command = build_command(engine, stack, build, base, sources, context, provenance(engine, build, base))
    started = time.monotonic()
    say(f"building {name} on {base} with {engine.builder}")
    environment = settings.child_environment({"DOCKER_BUILDKIT": "1"})
    if subprocess.run(command, stdout=sys.stderr, env=environment).returncode != 0:
        raise UserError(f"building stack {stack.name} failed (the engine's own message is above)", "./inv doctor")
    wheels.forget(build)
    shutil.rmtree(context, ignore_errors=True)
    say(f"{name} is ready after {time.monotonic() - started:.0f} s")
    return name


def prune(engine: Engine) -> list[str]:
    """Remove the images of earlier versions of the stacks; the names of those that went."""
    names = sorted(name for stack in catalog.names() for name in older(engine, catalog.load(stack)))
    remove = [engine.client, "image", "rm"]  # refuses, aloud, what a container still uses
    return [name for name in names if subprocess.run([*remove, name], stdout=subprocess.DEVNULL).returncode == 0]


def labels(engine: Engine, name: str) -> dict[str, str]:
    """The labels of an image."""
    found = output_of(engine.client, "image", "inspect", "--format", "{{json .Config.Labels}}", name)
    return dict(json.loads(found)) if found else {}
