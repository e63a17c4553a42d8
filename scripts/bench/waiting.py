"""What it would cost if OpenMP's threads slept while they wait, where nobody else needs the cores.

    PYTHONPATH=. .venv/cpu/bin/python scripts/bench/waiting.py --labs cifar10 dcgan --rounds 5

Smoke runs of each lab take turns, one with the threads spinning (OpenMP's own default) and one with them asleep
(OMP_WAIT_POLICY=passive); printed is the ratio of the medians, and that both logged the same to the byte. With --busy N
other processes keep N cores at work meanwhile, as on the server of a classroom.

The labs leave it to the user: asleep, dcgan took 1.55, autoencoder 1.49 and cifar10 1.33 times as long (two idle cores,
2 threads, 3 rounds, 2026-11-27, commit 5bb9617).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Iterator

ROOT = Path(__file__).resolve().parent.parent.parent
WAYS = {"spinning": "", "asleep": "passive"}


def run(lab: str, policy: str, runs: Path) -> tuple[float, bytes]:
    """One smoke run: its seconds, and what it logged."""
    kept = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    environment = {**kept, "LAB_RUNS": str(runs), "LAB_VISDOM_PORT": "1", "PYTHONPATH": str(ROOT)}
    environment.setdefault("OMP_NUM_THREADS", str(len(os.sched_getaffinity(0))))
    if policy:
        environment["OMP_WAIT_POLICY"] = policy
    command = [sys.executable, str(ROOT / "labs" / lab / "lab.py"), "--smoke"]
    subprocess.run(command, env=environment, check=True, stderr=subprocess.DEVNULL)
    newest = max((runs / lab).iterdir())
    seconds = json.loads((newest / "summary.json").read_text(encoding="utf-8"))["seconds"]
    return float(seconds), (newest / "metrics.jsonl").read_bytes()


@contextlib.contextmanager
def at_work(count: int) -> Iterator[None]:
    """Keep `count` cores busy."""
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--labs", nargs="+", default=["cifar10", "dcgan", "autoencoder"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--busy", type=int, default=0)
    given = parser.parse_args()
    for lab in given.labs:
        seconds: dict[str, list[float]] = {way: [] for way in WAYS}
        logged = set()
        for _ in range(given.rounds):
            for way, policy in WAYS.items():
                with tempfile.TemporaryDirectory() as folder, at_work(given.busy):
                    took, rows = run(lab, policy, Path(folder))
                seconds[way].append(took)
                logged.add(rows)
        spinning, asleep = (statistics.median(seconds[way]) for way in WAYS)
        same = "the same to the byte" if len(logged) == 1 else "NOT the same"
        print(f"{lab}: spinning {spinning:.2f} s, asleep {asleep:.2f} s, ratio {asleep / spinning:.3f}; {same}")


if __name__ == "__main__":
    main()
