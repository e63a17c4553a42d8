"""Measure the lab cifar10 against what people use instead, each pair side by side in one run.

    python scripts/bench/cifar10.py data                        the data path against torchvision's DataLoader
    python scripts/bench/cifar10.py step                        a training step against plain float32, NCHW
    python scripts/bench/cifar10.py accuracy --airbench PATH    time to accuracy against airbench94_muon
    python scripts/bench/cifar10.py profile                     where the time of a step goes

Run it with a stack's Python from the repository (`./inv shell --stack cpu`), on a machine that does nothing else. Each
measurement is appended to --results (JSON lines), and `accuracy` skips what is there already: so it can be stopped, and
its seeds can be measured one by one. `report` prints all of it again as Markdown.

airbench is https://github.com/KellerJordan/cifar10-airbench, checked out at PATH. Its program is read from there and
run unchanged but for the device, the 16-bit format (bfloat16 on a processor), the clock, and torch.compile, which takes
longer on a processor than it gains. Both train on the same 45,000 images and are judged on the same other 5,000.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Callable

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from labkit.runs import compat, provenance  # noqa: E402
from labs.cifar10 import augment, lab  # noqa: E402
from labs.cifar10.config import BACKBONES  # noqa: E402
from labs.cifar10.data import read  # noqa: E402
from labs.cifar10.optimizers import make_optimizers  # noqa: E402

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
HOLD_OUT = 5000
MEAN, DEVIATION = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)


def conditions() -> dict[str, Any]:
    """What a figure depends on."""
    env = provenance.environment(DEVICE, "", 0)
    hardware = torch.cuda.get_device_name() if DEVICE.type == "cuda" else f"{env.cpu}, {env.threads} threads"
    return {
        "hardware": hardware, "allocator": env.allocator, "torch": env.torch, "python": platform.python_version(),
        "date": f"{datetime.now(timezone.utc):%Y-%m-%d}", "commit": (env.commit or "")[:7] + "+" * env.dirty,
    }  # fmt: skip


def record(path: Path, row: dict[str, Any]) -> dict[str, Any]:
    row = {**row, **conditions()}
    with open(path, "a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")
    return row


def wait() -> None:
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()


def rates(ways: dict[str, Callable[[], int]], repeats: int) -> dict[str, list[float]]:
    """Images per second of each way, in turns: each call works through some images and returns how many."""
    for way in ways.values():
        way()  # the first call pays for starts and caches
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, way in ways.items():
            wait()
            began = time.perf_counter()
            count = way()
            wait()
            found[name].append(count / (time.perf_counter() - began))
    return found


# ---- the data path ----


class Published(torch.utils.data.Dataset[Any]):
    """Images one by one, as torchvision.datasets.CIFAR10 gives them: through PIL and the usual transforms."""

    def __init__(self, pixels: torch.Tensor, labels: torch.Tensor) -> None:
        from torchvision import transforms

        self.data, self.targets = pixels.numpy(), labels.tolist()
        self.transform = transforms.Compose([
            transforms.RandomCrop(32, padding=4), transforms.RandomHorizontalFlip(), transforms.ToTensor(),
            transforms.Normalize(MEAN, DEVIATION),
        ])  # fmt: skip

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        from PIL import Image

        return self.transform(Image.fromarray(self.data[index])), self.targets[index]


def measure_data(arguments: argparse.Namespace) -> None:
    count, size = 20_000, arguments.batch
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (count, 32, 32, 3), dtype=torch.uint8, generator=generator)
    labels = torch.randint(10, (count,), generator=generator)
    source = augment.Source(pixels, labels, 4, (), DEVICE)
    normalise = lab.Normalise().to(DEVICE)
    normalise.measure(pixels)
    epochs = iter(range(1_000_000))

    def ours() -> int:
        plan = augment.plan_epoch(count, 4, 0, next(epochs))
        for start in range(0, count, size):
            normalise(source.batch(plan, slice(start, start + size)).pixels)
        return count

    def loaded(workers: int) -> Callable[[], int]:
        options: dict[str, Any] = {"persistent_workers": True} if workers else {}
        data = Published(pixels[: count // 4], labels[: count // 4])
        loader = torch.utils.data.DataLoader(data, size, shuffle=True, num_workers=workers, **options)

        def theirs() -> int:
            for batch, answers in loader:
                batch.to(DEVICE), answers.to(DEVICE)
            return count // 4

        return theirs

    cores = os.cpu_count() or 1
    ways = {"the lab": ours, "DataLoader": loaded(0), f"DataLoader, {cores} workers": loaded(cores)}
    for name, found in rates(ways, arguments.repeats).items():
        record(arguments.results, {"what": "data", "who": name, "rates": found, "batch": size})


# ---- the training step ----


def trainer(name: str, batch_size: int, plain: bool) -> Callable[[], int]:
    """A way to train `name` for one step: as the lab does it, or in float32 with the default memory format."""
    torch.manual_seed(0)
    config = lab.Config(model=name, optimizer="muon" if name == "fast" else "nag")
    model = lab.build_model(config, 10)
    pixels = torch.randint(0, 256, (batch_size, 32, 32, 3), dtype=torch.uint8)
    lab.measure_inputs(model, pixels)
    if plain:
        model = model.to(memory_format=torch.contiguous_format)
    model.to(DEVICE)
    optimizers = make_optimizers(model, config)
    dtype = torch.float32 if plain else compat.fast_dtype(DEVICE)[0]
    labels = torch.randint(10, (batch_size,)).to(DEVICE)
    pixels = pixels.to(DEVICE)

    def step() -> int:
        normalise, backbone = model
        x = normalise(pixels)
        with compat.autocast(DEVICE, dtype):
            logits = backbone(x.contiguous() if plain else x)
        F.cross_entropy(logits.float(), labels).backward()
        with compat.autocast(DEVICE, dtype):
            for optimizer in optimizers:
                optimizer.step()
        model.zero_grad()
        return batch_size

    return step


def measure_steps(arguments: argparse.Namespace) -> None:
    for name in arguments.models.split(","):
        ways = {way: trainer(name, arguments.batch, way == "plain") for way in ("the lab", "plain")}
        for way, found in rates(ways, arguments.repeats).items():
            row = {"what": "step", "model": name, "who": way, "rates": found, "batch": arguments.batch}
            record(arguments.results, row)


def measure_profile(arguments: argparse.Namespace) -> None:
    step = trainer(arguments.models.split(",")[0], arguments.batch, plain=False)
    step()
    with torch.profiler.profile() as profile:
        for _ in range(arguments.repeats):
            step()
    own = "self_device_time_total" if DEVICE.type == "cuda" else "self_cpu_time_total"
    found = {event.key: getattr(event, own) for event in profile.key_averages()}
    whole = sum(found.values())
    shares = {name: round(time / whole, 4) for name, time in sorted(found.items(), key=lambda item: -item[1])[:15]}
    record(arguments.results, {"what": "profile", "batch": arguments.batch, "shares": shares})


# ---- time to accuracy ----


def run_lab(seed: int, options: list[str]) -> dict[str, Any]:
    """The lab as a user starts it. Its clock is the one of its own training loop: without data, checks and report."""
    with tempfile.TemporaryDirectory() as folder:
        program = str(ROOT / "labs" / "cifar10" / "lab.py")
        command = [sys.executable, program, f"--hold-out={HOLD_OUT}", f"--seed={seed}", *options]
        subprocess.run(command, check=True, env={**os.environ, "LAB_RUNS": folder, "PYTHONPATH": str(ROOT)})
        (run,) = Path(folder).glob("cifar10/*")
        state = compat.load(run / "checkpoints" / "last.pt")["state"]
        metrics = json.loads((run / "summary.json").read_text())["metrics"]
        batch_size = json.loads((run / "config.json").read_text())["options"]["batch_size"]
        timings = [json.loads(line) for line in (run / "timings.jsonl").read_text().splitlines()]
    clock = [row["step"] * batch_size / row["images_per_second"] for row in timings]
    return {"seconds": state["seconds"], "final": metrics["holdout_accuracy"], "curve": state["curve"], "clock": clock,
            "epochs": len(clock)}  # fmt: skip


def run_airbench(seed: int, path: Path) -> dict[str, Any]:
    """airbench94_muon on the same images, by its own clock, with its own test views at the end."""
    source = (path / "airbench94_muon.py").read_text(encoding="utf-8")
    changes = {
        "with open(sys.argv[0]) as f:\n    code = f.read()\n": "",
        "@torch.compile\n": "",
        'torch.device("cuda")': f'torch.device("{DEVICE.type}")',
        ".half()": ".bfloat16()" if DEVICE.type == "cpu" else ".half()",
        "torch.cuda.Event(enable_timing=True)": "Clock()",
        "torch.cuda.synchronize()": "wait()",
        'CifarLoader("cifar10"': "CifarLoader(FOLDER",
    }
    for old, new in changes.items():
        if old not in source:
            raise SystemExit(f"{path}: this version of airbench94_muon.py has no {old!r}")
        source = source.replace(old, new)
    rows: list[dict[str, Any]] = []

    class Clock:
        def record(self) -> None:
            wait()
            self.at = time.perf_counter()

        def elapsed_time(self, other: Clock) -> float:
            return 1e3 * (other.at - self.at)  # milliseconds, as torch.cuda.Event has it

    def note(variables: dict[str, Any], is_final_entry: bool) -> None:
        rows.append({"accuracy": variables["val_acc"], "seconds": variables["time_seconds"]})
        print(f"  airbench94_muon, seed {seed}: {rows[-1]}", file=sys.stderr, flush=True)

    train, _, names = read(lab_data(), "cifar10")
    with tempfile.TemporaryDirectory() as folder:
        for name, part in {"train": slice(-HOLD_OUT), "test": slice(-HOLD_OUT, None)}.items():
            content = {"images": train.pixels[part].clone(), "labels": train.labels[part].clone(), "classes": names}
            torch.save(content, f"{folder}/{name}.pt")
        peer: dict[str, Any] = {"__name__": "airbench94_muon", "Clock": Clock, "wait": wait, "FOLDER": folder}
        exec(compile(source, "airbench94_muon.py", "exec"), peer)
        peer["print_training_details"] = note
        torch.manual_seed(seed)
        model = peer["CifarNet"]().to(DEVICE).to(memory_format=torch.channels_last)
        final = round(peer["main"](seed, model), 6)  # a mean of float32, which would miss its own value by a little
    return {"seconds": rows[-1]["seconds"], "final": final, "curve": [row["accuracy"] for row in rows[:-1]],
            "clock": [row["seconds"] for row in rows[:-1]], "epochs": len(rows) - 1}  # fmt: skip


def lab_data() -> Path:
    from labkit.data import samples

    return samples.locate("cifar10", sample=False).path


def measure_accuracy(arguments: argparse.Namespace) -> None:
    ways: dict[str, Callable[[int], dict[str, Any]]] = {
        "default": lambda seed: run_lab(seed, []),
        "quick": lambda seed: run_lab(seed, ["--preset=quick"]),
        "longer": lambda seed: run_lab(seed, ["--epochs=12", "--small-epochs=5"]),  # to be as good as airbench94_muon
    }
    if arguments.airbench:
        ways["airbench94_muon"] = lambda seed: run_airbench(seed, arguments.airbench)
    done = {(row["who"], row["seed"]) for row in rows_of(arguments.results, "accuracy")}
    for seed in range(arguments.seeds):
        for name in arguments.only.split(",") if arguments.only else ways:
            if (name, seed) not in done:
                record(arguments.results, {"what": "accuracy", "who": name, "seed": seed, **ways[name](seed)})


# ---- the report ----


def rows_of(path: Path, what: str) -> list[dict[str, Any]]:
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [row for row in map(json.loads, lines) if row["what"] == what]


def table(columns: list[str], rows: list[list[Any]]) -> None:
    for row in (columns, ["---"] * len(columns), *rows):
        print("| " + " | ".join(map(str, row)) + " |")


def spread(values: list[float], form: str = "{:,.0f}") -> str:
    """The median, and the lowest and highest value where there are several."""
    middle = form.format(statistics.median(values))
    return f"{middle} ({form.format(min(values))} to {form.format(max(values))})" if len(values) > 1 else middle


def report(arguments: argparse.Namespace) -> None:
    everything = [row for what in ("data", "step", "accuracy", "profile") for row in rows_of(arguments.results, what)]
    for shown in sorted({tuple((name, row[name]) for name in conditions()) for row in everything}):
        print("conditions: " + ", ".join(f"{name} {value}" for name, value in shown))
    for what, key in (("data", "batch"), ("step", "model")):
        rows = rows_of(arguments.results, what)
        bases = {row[key]: row for row in rows if row["who"] in ("DataLoader", "plain")}
        if rows:
            print(f"\n{what}, images/s: median (lowest to highest)\n")
            listed = []
            for row in rows:
                ratio = statistics.median(row["rates"]) / statistics.median(bases[row[key]]["rates"])
                listed.append([row[key], row["who"], spread(row["rates"]), f"{ratio:.2f}", len(row["rates"])])
            table([key, "what", "images/s", "ratio", "n"], listed)
    rows = rows_of(arguments.results, "accuracy")
    if rows:
        print(f"\ntime to accuracy, {HOLD_OUT:,} held-out images: median (lowest to highest) over seeds\n")
        listed = []
        for name in dict.fromkeys(row["who"] for row in rows):
            mine = [row for row in rows if row["who"] == name]
            accuracies, seconds = ([row[key] for row in mine] for key in ("final", "seconds"))
            listed.append([name, mine[0]["epochs"], spread(accuracies, "{:.2%}"), spread(seconds), len(mine)])
        table(["what", "epochs", "accuracy at the end", "seconds of training", "seeds"], listed)
        peers = [row["final"] for row in rows if row["who"] == "airbench94_muon"]
        goals = [0.9, *([statistics.median(peers)] if peers else [])]
        print("\nfirst end of an epoch, one view of each image, or the end with all test views, that is as good as\n")
        listed = []
        for row in rows:
            ends = [*zip(row["clock"], row["curve"]), (row["seconds"], row["final"])]
            first = [next((f"{at:,.0f} s" for at, accuracy in ends if accuracy >= goal), "-") for goal in goals]
            listed.append([row["who"], row["seed"], *first])
        table(["what", "seed", "90 %", *(f"airbench94_muon's {goal:.2%}" for goal in goals[1:])], listed)
    for row in rows_of(arguments.results, "profile"):
        print("\nprofile of a training step, shares of the time\n")
        table(["operation", "share"], [[name, f"{share:.1%}"] for name, share in row["shares"].items()])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0], allow_abbrev=False)
    parser.add_argument("what", choices=("data", "step", "accuracy", "profile", "report"))
    parser.add_argument("--results", type=Path, default=Path("bench-cifar10.jsonl"), help="default: %(default)s")
    parser.add_argument("--batch", type=int, default=500, help="images per step (default: 500)")
    parser.add_argument("--repeats", type=int, default=5, help="timings of each way (default: 5)")
    every = ",".join(("fast", *BACKBONES))
    parser.add_argument("--models", default=every, help="backbones, by commas (default: all)")
    parser.add_argument("--airbench", type=Path, help="checkout of cifar10-airbench")
    parser.add_argument("--seeds", type=int, default=3, help="seeds 0 to N - 1 (default: 3)")
    parser.add_argument("--only", default="", help="of accuracy: only these, such as quick or airbench94_muon")
    arguments = parser.parse_args()
    measure = {"data": measure_data, "step": measure_steps, "accuracy": measure_accuracy, "profile": measure_profile}
    if arguments.what in measure:
        measure[arguments.what](arguments)
    report(arguments)


if __name__ == "__main__":
    main()
