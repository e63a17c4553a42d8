"""Make .venv/host, the small environment of the front door: invoke, rich and uv, pinned by docker/locks/host.txt.

Called by ./inv when that environment is missing or older than its lock. Needs only Python >= 3.9 with venv; pip and
its configuration (mirrors, proxies, certificates) do the rest. Interrupted at any moment, the next call starts over:
the copy of the lock that marks the environment as finished is written last.
"""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HOST = ROOT / ".venv" / "host"
LOCK = ROOT / "docker" / "locks" / "host.txt"


def fail(message: str, next_command: str) -> int:
    print(f"inv: {message}\n  next: {next_command}", file=sys.stderr)
    return 2


def main() -> int:
    try:
        HOST.parent.mkdir(exist_ok=True)
        with open(HOST.parent / "host.lock", "w") as one_at_a_time:
            fcntl.flock(one_at_a_time, fcntl.LOCK_EX)
            return make()
    except OSError as error:
        return fail(f"cannot write {HOST.parent}: {error.strerror}.", "run ./inv from a folder that you may write to")


def make() -> int:
    finished = HOST / "lock.txt"
    if finished.exists() and finished.read_bytes() == LOCK.read_bytes():
        return 0  # another ./inv made it while we waited
    print("inv: making .venv/host (invoke, rich, uv; once, about 10 seconds)", file=sys.stderr)
    shutil.rmtree(HOST, ignore_errors=True)
    python = f"python{sys.version_info.major}.{sys.version_info.minor}"
    created = subprocess.run([sys.executable, "-m", "venv", str(HOST)], capture_output=True, text=True)
    if created.returncode != 0:
        return fail(
            f"{python} cannot make a virtual environment (its venv module is missing or broken).",
            f"sudo apt install {python}-venv, or LAB_PYTHON=/path/to/another/python3 ./inv",
        )
    pip = [str(HOST / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    installed = subprocess.run([*pip, "--require-hashes", "--only-binary=:all:", "-r", str(LOCK)], stdout=sys.stderr)
    if installed.returncode != 0:
        return fail(
            "pip could not install the packages of docker/locks/host.txt (its own message is above).",
            "check the network, or name a mirror: PIP_INDEX_URL=https://pypi.tuna.tsinghua.edu.cn/simple ./inv",
        )
    packages = HOST / "lib" / python / "site-packages"
    (packages / "labkit.pth").write_text(f"{ROOT}\n", encoding="utf-8")
    shutil.copyfile(LOCK, finished)
    return 0


if __name__ == "__main__":
    sys.exit(main())
