"""Make .venv/host, the small environment of the front door: invoke, rich and uv, pinned by docker/locks/host.txt.

Called by ./inv when that environment is missing or older than its lock. Needs only Python >= 3.9 with venv; pip and
its configuration (mirrors, proxies, certificates) do the rest. Interrupted at any moment, the next call starts over:
the copy of the lock that marks the environment as finished is written last.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from labkit.base import installers  # noqa: E402

HOST = ROOT / ".venv" / "host"
LOCK = ROOT / "docker" / "locks" / "host.txt"
FACTS = ROOT / "docker" / "facts.toml"
SETTINGS = ROOT / "settings.toml"


def fail(message: str, next_command: str) -> int:
    print(f"inv: {message}\n  next: {next_command}", file=sys.stderr)
    return 2


def main() -> int:
    try:
        HOST.parent.mkdir(exist_ok=True)
        with open(HOST.parent / "host.lock", "w") as one_at_a_time:
            with contextlib.suppress(OSError):  # a disk that knows no locks
                fcntl.flock(one_at_a_time, fcntl.LOCK_EX)
            return make()
    except OSError as error:
        return fail(f"cannot write {HOST.parent}: {error.strerror}.", "run ./inv from a folder that you may write to")


def proxy() -> tuple[str, str]:
    """The variable that leads pip through a proxy, and the address without a password; ("", "") where there is none."""
    for name in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        if os.environ.get(name):
            scheme, separator, rest = os.environ[name].rpartition("://")
            return name, scheme + separator + rest.rpartition("@")[2]
    return "", ""


def through() -> str:
    """What is to be said of the way that pip took."""
    name, address = proxy()
    if address.lower().startswith("socks"):
        return f": it does not know SOCKS, and {name} is {address}"
    own = " (its own message is above)"
    return f", through the proxy {address} of {name}{own}" if name else own


def remedy() -> str:
    name, address = proxy()
    if address.lower().startswith("socks"):
        return f"the same command after {name}= and HTTPS_PROXY=http://HOST:PORT, the HTTP port of the same proxy"
    if name:
        return f"check that the proxy runs, or take it away: unset {name}"
    return "check the network; in mainland China: LAB_MIRROR=cn ./inv config set mirror cn"


def make() -> int:
    finished = HOST / "lock.txt"
    if finished.exists() and finished.read_bytes() == LOCK.read_bytes():
        return 0  # another ./inv made it while we waited
    print("inv: making .venv/host (invoke, rich, uv; once, about 10 seconds)", file=sys.stderr)
    shutil.rmtree(HOST, ignore_errors=True)
    python = f"python{sys.version_info.major}.{sys.version_info.minor}"
    clean = installers.for_pip(os.environ)
    created = subprocess.run([sys.executable, "-I", "-m", "venv", str(HOST)], capture_output=True, text=True, env=clean)
    if created.returncode != 0:
        return fail(
            f"{python} cannot make a virtual environment (its venv module is missing or broken).",
            f"sudo apt install {python}-venv, or LAB_PYTHON=/path/to/another/python3 ./inv",
        )
    ours = [str(HOST / "bin" / "python"), "-I"]
    pip = [*ours, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes"]
    index = mirror_index()
    pip += ["--index-url", index] if index else []
    installed = subprocess.run([*pip, "--only-binary=:all:", "-r", str(LOCK)], stdout=sys.stderr, env=clean)
    if installed.returncode != 0:
        return fail(f"pip could not install the packages of docker/locks/host.txt{through()}.", remedy())
    tried = subprocess.run([*ours, "-c", "import invoke, rich, msgspec, jinja2"], env=clean)
    if tried.returncode != 0 or not (HOST / "bin" / "uv").exists():
        return fail("what pip installed into .venv/host does not work.", "rm -r .venv/host, then ./inv")
    packages = HOST / "lib" / python / "site-packages"
    (packages / "labkit.pth").write_text(f"{ROOT}\n", encoding="utf-8")
    shutil.copyfile(LOCK, finished)
    return 0


def mirror_index() -> str:
    """The package index of the mirror that the settings name, "" for none (as labkit/base/mirrors.py, without TOML)."""
    chosen = os.environ.get("LAB_MIRROR", "")
    if not chosen and SETTINGS.is_file():
        kept = re.search(r'^mirror = "(.*)"$', SETTINGS.read_text(encoding="utf-8", errors="replace"), re.MULTILINE)
        chosen = kept[1] if kept else ""
    for row in FACTS.read_text(encoding="utf-8").split("[[mirror]]")[1:]:
        values = dict(re.findall(r'^(name|index) = "(.*)"$', row, re.MULTILINE))
        if chosen and values["name"] == chosen:
            return values["index"]
    return ""


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
