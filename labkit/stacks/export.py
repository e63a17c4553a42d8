"""`./inv export`: a stack as a file, for those who install with conda, pip or an installer of their own."""

from __future__ import annotations

import re
import subprocess
from typing import Any

from labkit.base import mirrors
from labkit.base.console import warn
from labkit.base.errors import UserError, nearest
from labkit.base.programs import last_words, uv, uv_environment
from labkit.stacks import catalog, native
from labkit.stacks.catalog import Build, Stack

# What to type in the folder of torch-labs. The constraint is for the few packages that are built from source. A lock is
# complete, and pip would want a hash for a requirement with extras (cuda-toolkit[cublas]) apart: {deps} is --no-deps.
INSTALL = {
    "conda": "PIP_BUILD_CONSTRAINT=docker/locks/build.txt conda env create --file environment.yml\n"
    "conda activate torch-labs-{stack}",
    "pip": "python{python} -m venv ENV && . ENV/bin/activate\n"
    "PIP_BUILD_CONSTRAINT=docker/locks/build.txt pip install {deps}--requirement requirements.txt",
    "pylock": "uv venv --python {python} ENV && . ENV/bin/activate\n"
    "uv pip install --build-constraints docker/locks/build.txt --requirement pylock.toml",
}


def render(form: str, stack: Stack, build: Build, mirror: str = "") -> str:
    """The text of an environment.yml ("conda"), a requirements.txt ("pip") or a pylock.toml ("pylock").

    `mirror` names a row of mirrors in docker/facts.toml, "" none. Raises UserError for an unknown form or mirror, and
    for "pylock", which holds the address of every file, where the package index cannot be asked.
    """
    if form not in INSTALL:
        raise UserError(f"--format: there is no '{form}' ({nearest(form, list(INSTALL))})", "./inv --help export")
    place = mirrors.find(mirror) if mirror else mirrors.chosen()
    if build.pending:
        warn(f"{catalog.label(stack, build)} has no recorded hashes: only the versions of PyTorch are pinned")
    text = requirements(stack, build)
    if form == "conda":
        return header(form, stack, build) + environment(stack, [*sources(build, place), *pins(text)], place)
    if form == "pip":
        return header(form, stack, build) + "".join(f"{option}\n" for option in sources(build, place)) + text
    return header(form, stack, build) + pylock(stack, build, text, place)


def header(form: str, stack: Stack, build: Build) -> str:
    """What the file is and how it is used, as comments."""
    install = INSTALL[form].format(stack=stack.name, python=stack.python, deps="" if build.pending else "--no-deps ")
    lines = [
        f"Stack {catalog.label(stack, build)} of torch-labs: {stack.title}, Python {stack.python}.",
        "In the folder of torch-labs:",
        *(f"  {line}" for line in install.splitlines()),
        f'  ./inv detectron2.install --stack {stack.name} --python "$(command -v python)"',
        "  PYTHONPATH=. python labs/cifar10/lab.py --help",
        "opencv-python needs libGL (Debian, Ubuntu: libgl1).",
    ]
    return "".join(f"# {line}\n" for line in lines)


def requirements(stack: Stack, build: Build) -> str:
    """The requirements of the stack, with hashes unless the build is pending."""
    text = native.requirements(stack, build, windows=True)
    if build.pending:
        text += f"torch=={stack.torch}+{build.name}\ntorchvision=={stack.torchvision}+{build.name}\n"
    return re.sub(r"(^|\s+)#.*", "", text).lstrip()


def pins(text: str) -> list[str]:
    """The requirements in `text` without hashes: "torch==2.11.0" or "six==1.17.0 ; python_full_version < '3.12'"."""
    return [line.rstrip(" \\") for line in text.splitlines() if line and not line.startswith(" ")]


def sources(build: Build, place: dict[str, Any]) -> list[str]:
    """The options of pip that say where packages come from; none where the package index has them all."""
    options = [f"--index-url {place['index']}"] if place else []
    if build.wheels and build.name in place.get("builds", []):
        options.append(f"--find-links {place['wheels'][0].replace('BUILD', build.name)}")
    elif build.wheels:
        options.append(f"--extra-index-url {build.wheels}")
    return options


def environment(stack: Stack, lines: list[str], place: dict[str, Any]) -> str:
    """An environment.yml: Python from conda, everything else by pip with the versions of the lock."""
    text = f"name: torch-labs-{stack.name}\nchannels:\n  - {place.get('conda', 'conda-forge')}\n  - nodefaults\n"
    text += f"dependencies:\n  - python={stack.python}\n  - pip\n  - pip:\n"
    return text + "".join(f"      - {line}\n" for line in lines)


def pylock(stack: Stack, build: Build, text: str, place: dict[str, Any]) -> str:
    """A pylock.toml (PEP 751) with the address of every file, as the package index tells them now.

    Only files whose hash the lock records are kept: the index may have got more of them since.
    """
    command = [uv(), "pip", "compile", "-", "--quiet", "--no-header", "--format", "pylock.toml", "--generate-hashes"]
    command += [*stack.targets, "--index-strategy", "unsafe-best-match"]
    command += [] if build.pending else ["--no-deps"]
    command += [word for option in sources(build, place) for word in option.split(" ")]
    done = subprocess.run(command, input=text, capture_output=True, text=True, env=uv_environment())
    if done.returncode != 0:
        said = last_words(done.stderr).rstrip(".")
        raise UserError(f"the package index could not be reached: {said}", "./inv doctor, or --format pip")
    if build.pending:
        return done.stdout
    recorded = set(re.findall(r"sha256:([0-9a-f]{64})", text))
    kept = []
    for line in done.stdout.splitlines():
        found = re.findall(r'sha256 = "([0-9a-f]{64})"', line)
        if set(found) <= recorded:
            kept.append(line)
        elif not line.startswith("    {"):
            raise UserError(f"the package index has another file than the lock: {line.strip()[:120]}", "./inv doctor")
    return "\n".join(kept) + "\n"
