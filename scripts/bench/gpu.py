"""Run the labs on a machine with an NVIDIA GPU and no network, and report what works, how fast, in how much memory.

    scripts/bench/gpu.sh --wheels .gpu/wheels --carried .gpu/1 --out RESULTS    all parts
    scripts/bench/gpu.sh --only cifar10 --carried .gpu/2 --out RESULTS          one of them, once its data are complete
    scripts/bench/gpu.sh --dry --out RESULTS                                    the same on any CPU, with little to do

gpu_carry.py makes .gpu/wheels, .gpu/1, .gpu/2, ... where there is a network. They can be carried one at a time: the
parts of CIFAR-10 that have arrived are kept. RESULTS gets gpu.json, gpu.md (the table that is printed) and gpu.log
(what every program said). A part that fails, or for which no time is left, stops no other. Times are clean only where
one part ran at once. Needs only the standard library; torch is the interpreter's that runs the parts.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))

from labkit.base import settings  # noqa: E402
from labkit.base.programs import output_of  # noqa: E402

INSIDE, CARRY = (str(Path(__file__).with_name(name)) for name in ("gpu_inside.py", "gpu_carry.py"))
GROUPS = ("machine", "cifar10", "smoke", "resume")
# Options of the lab cifar10; the last is meant to reach 94 % of the held-out images, where the GPU makes width cheap.
RECIPES = {
    "default": [],
    "12 epochs": ["--epochs=12", "--small-epochs=5"],
    "20 epochs, twice as wide": ["--epochs=20", "--small-epochs=6", "--width=128"],
}
DRY_RECIPES = {"tiny": ["--epochs=1", "--small-epochs=0", "--width=8", "--images=500", "--batch-size=100"]}
LEAST_S = 10  # with less time left, no part begins


class Failed(Exception):
    """Why a part failed, in one sentence."""

    status = "failed"


class Incomplete(Failed):
    """Not all of the data have been carried in yet."""

    status = "data incomplete"


@dataclass
class Part:
    """One row of the table: before it runs, what it does and how long it may; afterwards, what came of it."""

    name: str
    work: Callable[[Part], str]  # says what it found, raises Failed
    limit_s: float
    status: str = "no time left"
    result: str = ""
    seconds: float = 0.0
    gpu_allocated_mb: float | None = None  # peak of PyTorch's tensors
    gpu_reserved_mb: float | None = None  # peak of what PyTorch took from the GPU; CUDA itself takes some 500 more
    at_once: int = 1
    details: dict[str, Any] = field(default_factory=dict)
    last_lines: list[str] = field(default_factory=list)  # of what failed


class Bench:
    """All parts of one call, one after the other or several at once, until the time is over."""

    def __init__(self, given: argparse.Namespace, folder: Path) -> None:
        self.given, self.folder = given, folder  # `folder` is temporary
        self.device = "cpu" if given.dry else "cuda"
        self.ends = time.monotonic() + given.limit_s
        self.said: list[str] = []
        self.stack = (settings.current().stack or "cpu/index") if given.dry else "cu130/index"
        self.site = folder / "site"
        self.data = given.kept / "data"

    # ---- one part ----

    def do(self, part: Part) -> None:
        """Run `part` and write down how it ended."""
        if self.ends - time.monotonic() < LEAST_S:
            print(f"{part.name}: no time left", flush=True)
            return
        began = time.monotonic()
        part.limit_s = min(began + part.limit_s, self.ends)  # from here on, the moment
        try:
            part.result, part.status = part.work(part), "ok"
        except Failed as reason:
            part.status, part.result = reason.status, str(reason)
        except Exception as error:  # a defect of this program must not cost the other parts
            traceback.print_exc()
            part.status, part.result = "failed", f"{type(error).__name__}: {error}"
        part.seconds = round(time.monotonic() - began, 1)
        print(f"{part.name}: {part.status}, {part.seconds} s, {part.result}", flush=True)

    def run(self, part: Part, *words: str, expect: int = 0, **settings: str) -> str:
        """The output of the stack's Python with these arguments. Raises Failed for another exit status than expected.

        The program leads a process group of its own, so that a stop also ends what it started.
        """
        environment = {**os.environ, "PYTHONPATH": f"{self.site}{os.pathsep}{ROOT}", "LAB_DEVICE": self.device}
        environment.update(LAB_STACK=self.stack, LAB_DATA=str(self.data), LAB_VISDOM_PORT="1", PYTHONUNBUFFERED="1")
        environment.update(settings)
        if part.at_once > 1:
            environment["OMP_NUM_THREADS"] = str(max(1, (os.cpu_count() or 1) // part.at_once))
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "errors": "replace"}
        command, late = [self.given.python, *words], False
        with subprocess.Popen(command, cwd=str(ROOT), env=environment, start_new_session=True, **pipes) as process:
            try:
                output = process.communicate(timeout=max(1.0, part.limit_s - time.monotonic()))[0]
            except subprocess.TimeoutExpired:
                late = True
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
            if late:
                output = process.communicate()[0]
        self.said.append(f"==== {part.name}: {' '.join(words)}\n{output}")
        if late or process.returncode != expect:
            part.last_lines = output.strip().splitlines()[-15:]
            last = " ".join(" ".join(part.last_lines[-2:]).split()) or "no output"
            raise Failed("stopped when its time was over" if late else f"exit status {process.returncode}: {last}")
        return output

    def lab(self, part: Part, name: str, folder: str, *options: str, expect: int = 0, stop_at: int = 0) -> Path:
        """Run the lab `name` on the chosen device; the folder of its run, which is the newest below `folder`."""
        runs, peak = self.folder / folder, self.folder / f"{folder}.json"
        program = str(ROOT / "labs" / name / "lab.py")
        words = [INSIDE, "inside", str(peak), str(stop_at), program, *options]
        try:
            self.run(part, *words, expect=expect, LAB_RUNS=str(runs))
        finally:
            seen = read_json(peak)
            part.details["loop_s"] = seen.pop("loop_s", None)
            for key, value in seen.items():
                setattr(part, key, max(value, getattr(part, key) or 0))
        found = max(path.parent for path in runs.glob("*/*/summary.json"))
        reason = read_json(found / "env.json")["device_reason"]
        if reason != f"device={self.device}":
            raise Failed(f"it computed elsewhere: {reason}")
        return found

    # ---- the parts ----

    def plan(self) -> tuple[list[Part], list[Part]]:
        """The parts that run alone, for their times' sake, and those that may run several at once."""
        from labkit.base import labs

        given, together = self.given, []
        chosen = given.labs.split(",") if given.labs else labs.names()
        alone = [Part("packages", self.install, 60)] if given.wheels else []
        if "machine" in given.only:
            alone += [] if given.dry else [Part("nvidia-smi", self.smi, 20)]
            alone += [Part("machine", self.machine, 90), Part("selftest", self.selftest, 60)]
        if "cifar10" in given.only:
            alone.append(Part("cifar10 data", self.arrive, 60))
            for name, options in (DRY_RECIPES if given.dry else RECIPES).items():
                alone.append(Part(f"cifar10, {name}", self.recipe(name, options), 150))
        if "smoke" in given.only:
            for name in chosen:
                together.append(Part(f"smoke {name}", self.smoke(name), 120, at_once=given.at_once))
        if "resume" in given.only:
            for name in ("dashboards",) if given.dry else chosen:
                together.append(Part(f"resume {name}", self.resume(name), 200, at_once=given.at_once))
        return alone, together

    def install(self, part: Part) -> str:
        """Put the carried wheels where only the parts of this call find them."""
        files = [str(path) for path in sorted(self.given.wheels.absolute().glob("*.whl"))]
        options = ["--quiet", "--no-index", "--no-deps", "--no-compile", "--target", str(self.site)]
        self.run(part, "-m", "pip", "install", *options, *files)
        return f"{len(files)} wheels installed"

    def smi(self, part: Part) -> str:
        """What nvidia-smi says; whole in the log."""
        whole = output_of("nvidia-smi")
        self.said.append(f"==== nvidia-smi\n{whole}")
        if not whole:
            raise Failed("nvidia-smi does not answer")
        asked = "--query-gpu=name,driver_version,memory.total,memory.used"
        return output_of("nvidia-smi", asked, "--format=csv,noheader")

    def machine(self, part: Part) -> str:
        """What labkit finds here: the GPUs, the stack it chooses, the doctor's findings."""
        part.details = found = json.loads(self.run(part, INSIDE, "probe").strip().splitlines()[-1])
        if not self.given.dry and not (found["use_gpu"] and found["torch"] and found["capabilities"]):
            raise Failed(f"no GPU is used: {found['stack']}, {found['reason']}")
        told = [gpu["capability"] for gpu in found["gpus"]]
        if not self.given.dry and (told[0] != found["torch"][1] or found["capabilities"] != dict(zip(
                [gpu["name"] for gpu in found["gpus"]], told))):  # fmt: skip
            raise Failed(f"driver, libcuda and PyTorch differ: {told}, {found['capabilities']}, {found['torch']}")
        levels = [row["level"] for row in found["doctor"]]
        return f"{found['stack']}: {found['reason']}; doctor: " + ", ".join(
            f"{levels.count(level)} {level}" for level in dict.fromkeys(levels))  # fmt: skip

    def selftest(self, part: Part) -> str:
        """The stack's own proof, on the device that PyTorch sees."""
        output = self.run(part, "-m", "labkit.stacks.selftest")
        line = next(line for line in output.splitlines() if "training steps" in line)
        if not self.given.dry and "NVIDIA" not in line:
            raise Failed(f"not on the GPU: {line}")
        return line

    def smoke(self, name: str) -> Callable[[Part], str]:
        def work(part: Part) -> str:
            summary = read_json(self.lab(part, name, f"smoke-{name}", "--smoke") / "summary.json")
            return shown(summary["metrics"])

        return work

    def resume(self, name: str) -> Callable[[Part], str]:
        """Smoke runs: two in one go, and one stopped halfway by SIGINT and resumed.

        The second run tells what the GPU alone makes different: only where two runs agree must the third one, too.
        """

        def work(part: Part) -> str:
            def once(which: str, *options: str, **more: int) -> Path:
                return self.lab(part, name, f"{name}-{which}", *(options or ["--smoke"]), **more)

            whole = once("whole")
            steps = json.loads((whole / "metrics.jsonl").read_text(encoding="utf-8").splitlines()[-1])["step"]
            once("halves", stop_at=steps // 2, expect=130)
            others = {"resumed": once("halves", "--resume=latest")}
            if not self.given.dry:
                others["run again in one go"] = once("twin")
            apart = {}
            for which, other in others.items():
                apart[which] = self.run(part, INSIDE, "compare", str(whole), str(other)).strip().splitlines()[-1]
            part.details.update(apart)
            said = ", ".join(f"{which}: {how}" for which, how in apart.items())
            said = f"stopped after step {steps // 2} of {steps}: {said}"
            if apart["resumed"] != "equal" and apart.get("run again in one go", "equal") == "equal":
                raise Failed(said)
            return said

        return work

    def arrive(self, part: Part) -> str:
        """Keep what was carried in, and put CIFAR-10 together once all of it is there."""
        kept = self.given.kept
        kept.mkdir(parents=True, exist_ok=True)
        for path in self.given.carried.glob("cifar10.*") if self.given.carried else ():
            shutil.copyfile(str(path), str(kept / path.name))
        wanted = read_json(kept / "cifar10.json").get("parts", {})
        have = [name for name in wanted if (kept / name).is_file()]
        if len(have) < len(wanted) or not wanted:
            if self.given.dry and not wanted:
                return "none carried in: the sample"
            raise Incomplete(f"{len(have)} of {len(wanted)} parts")
        return self.run(part, CARRY, "unpack", str(kept)).strip().splitlines()[-1]

    def recipe(self, name: str, options: list[str]) -> Callable[[Part], str]:
        def work(part: Part) -> str:
            there = (self.data / "cifar10" / ".state.json").exists()
            if not there and (self.given.carried or not self.given.dry):
                raise Incomplete("CIFAR-10 is not there")
            more = [f"--hold-out={self.given.hold_out}"]
            more += [f"--exact-test={self.given.exact_test}"] if self.given.exact_test else []
            more += [] if there else ["--sample"]
            folder = self.lab(part, "cifar10", f"cifar10 {name}", *options, *more)
            summary, options_of = read_json(folder / "summary.json"), read_json(folder / "config.json")["options"]
            rows = [json.loads(line) for line in (folder / "timings.jsonl").read_text(encoding="utf-8").splitlines()]
            last = next(row for row in reversed(rows) if "images_per_second" in row)
            images, rate = last["step"] * options_of["batch_size"], last["images_per_second"]
            data = read_json(folder / "env.json")["data"]["cifar10"]["kind"]
            part.details.update(options=[*options, *more], data=data, training_s=round(images / rate, 2),
                                images_per_second=round(rate), images=images, **summary)  # fmt: skip
            return (f"{shown(summary['metrics'])}; data {data}; {images / rate:.1f} s of training, {rate:,.0f} "
                    f"images/s; {part.details['loop_s']} s from the first step to the last, checks in")  # fmt: skip

        return work


# ---- the report ----


def read_json(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}


def shown(metrics: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in metrics.items())


def write(bench: Bench, parts: list[Part]) -> None:
    """gpu.json, gpu.md and gpu.log; the table is printed, too."""
    out = bench.given.out
    conditions = {"when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "device": bench.device,
                  "python": bench.given.python, "cores": os.cpu_count()}  # fmt: skip
    rows = [{key: value for key, value in vars(part).items() if key not in ("work", "limit_s")} for part in parts]
    (out / "gpu.json").write_text(json.dumps({**conditions, "parts": rows}, indent=1), encoding="utf-8")
    (out / "gpu.log").write_text("\n".join(bench.said)[-15_000_000:], encoding="utf-8")
    table = ["| part | status | seconds | MB of tensors | MB reserved | at once | result |", "|---" * 7 + "|"]
    for part in parts:
        memory = ["" if value is None else f"{value:,.0f}" for value in (part.gpu_allocated_mb, part.gpu_reserved_mb)]
        cells = [part.name, part.status, f"{part.seconds}", *memory, str(part.at_once), part.result.replace("|", "/")]
        table.append("| " + " | ".join(cells) + " |")
    (out / "gpu.md").write_text("\n".join(table) + "\n", encoding="utf-8")
    print("\n".join(table), flush=True)


def measure(given: argparse.Namespace) -> int:
    """Run all parts and report; 0 where every part is ok."""
    try:
        given.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        sys.exit(f"--out: {given.out} cannot be made: {error.strerror}")
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(given, Path(folder))
        alone, together = bench.plan()
        try:
            for part in alone:
                bench.do(part)
            with ThreadPoolExecutor(given.at_once) as pool:
                list(pool.map(bench.do, together))
        finally:
            write(bench, [*alone, *together])
    return int(any(part.status != "ok" for part in [*alone, *together]))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for the report")
    parser.add_argument("--python", default=sys.executable, help="the interpreter that has torch (default: this one)")
    parser.add_argument("--wheels", type=Path, help="folder of wheels to install for the time of this call")
    parser.add_argument("--carried", type=Path, help="folder with a part of CIFAR-10")
    parser.add_argument("--kept", type=Path, default=ROOT / ".gpu" / "kept", help="where data stay for the next call")
    parser.add_argument("--only", default=",".join(GROUPS), help="of %(default)s")
    parser.add_argument("--labs", default="", help="labs to try, by commas (default: all)")
    parser.add_argument("--at-once", type=int, default=4, help="smoke and resume parts that run at once (default: 4)")
    parser.add_argument("--hold-out", type=int, default=0, help="of cifar10: training images to judge by (5000)")
    parser.add_argument("--exact-test", type=int, default=0, help="of cifar10: the first N test images apart")
    parser.add_argument("--limit-s", type=float, default=330, help="time for all parts together (default: 330)")
    parser.add_argument("--dry", action="store_true", help="the same parts on the CPU, with little to do in each")
    given = parser.parse_args()
    given.only = given.only.split(",")
    if set(given.only) - set(GROUPS):
        parser.error(f"--only takes {', '.join(GROUPS)}, by commas")
    if given.at_once < 1:
        parser.error("--at-once takes a number from 1")
    if not shutil.which(given.python):
        parser.error(f"--python: there is no {given.python}")
    for name in ("wheels", "carried"):
        if getattr(given, name) and not getattr(given, name).is_dir():
            parser.error(f"--{name}: there is no folder {getattr(given, name)}")
    given.hold_out = given.hold_out or (500 if given.dry else 5000)
    given.out, given.kept = given.out.absolute(), given.kept.absolute()
    return measure(given)


if __name__ == "__main__":
    sys.exit(main())
