"""Measure the lab mnist against the recipe of pytorch/examples, on the same images in one run: the time to an accuracy.

    LAB_STACK=cpu/index .venv/cpu/bin/python scripts/bench/mnist.py --examples PATH [--seconds 60] [--seeds 3]

PATH is a checkout of github.com/pytorch/examples. Its network and its own `train` are taken from mnist/main.py and run
unchanged, with the batches, the optimizer and the transforms of its `main`, until the seconds are over; its accuracy on
the test images is then what ours has to reach. Ours is trained as the lab does it, for 1, 2, 3 ... quarters of an
epoch, each anew, since its schedule needs to know its end; the first that is as good counts.

Both clocks stand still while test images are looked at. Where other work shares the machine, compare the processor
seconds, which are printed beside. Without --examples only ours are measured.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import io
import platform
import statistics
import sys
import time
from pathlib import Path
from typing import Any, Iterator, NamedTuple

import torch

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))

from labkit.data import samples  # noqa: E402
from labkit.runs import compat  # noqa: E402
from labs.mnist import data, entropy, lab  # noqa: E402

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
MEAN, DEVIATION = 0.1307, 0.3081  # as in its main


class Found(NamedTuple):
    accuracy: float
    seconds: float
    processor_seconds: float
    images: int


class Clock:
    """Seconds of the training alone."""

    def __init__(self) -> None:
        self.seconds = self.processor = 0.0

    def __enter__(self) -> Clock:
        self._began = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *_: Any) -> None:
        if DEVICE.type == "cuda":
            torch.cuda.synchronize()
        self.seconds += time.perf_counter() - self._began[0]
        self.processor += time.process_time() - self._began[1]


# ---- theirs ----


class UntilOver:
    """A loader that ends when the seconds are over."""

    def __init__(self, loader: Any, seconds: float) -> None:
        self.loader, self.dataset, self.end, self.images = loader, loader.dataset, time.perf_counter() + seconds, 0

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[Any]:
        for batch in self.loader:
            if time.perf_counter() >= self.end:
                return
            yield batch
            self.images += len(batch[1])


def train_theirs(folder: Path, images: Path, test: data.Digits, seconds: float, seed: int) -> Found:
    """The recipe of `folder`/mnist/main.py for so many seconds."""
    from torchvision import datasets, transforms

    spec = importlib.util.spec_from_file_location("examples_mnist", folder / "mnist" / "main.py")
    if spec is None or spec.loader is None or not (folder / "mnist" / "main.py").exists():
        raise SystemExit(f"{folder} has no mnist/main.py: is it a checkout of pytorch/examples?")
    theirs = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(theirs)
    torch.manual_seed(seed)
    transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize((MEAN,), (DEVIATION,))])
    loader = torch.utils.data.DataLoader(datasets.MNIST(str(images), transform=transform), batch_size=64)
    model = theirs.Net().to(DEVICE)
    optimizer = torch.optim.Adadelta(model.parameters(), lr=1.0)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.7)
    options = argparse.Namespace(log_interval=1000, dry_run=False)
    clock, epoch = Clock(), 0
    timed = UntilOver(loader, seconds)
    with clock, contextlib.redirect_stdout(io.StringIO()):
        while time.perf_counter() < timed.end:
            epoch += 1
            theirs.train(options, model, DEVICE, timed, optimizer, epoch)
            schedule.step()
    model.eval()
    right = 0
    with torch.no_grad():
        for pixels, labels in zip(test.pixels.split(1000), test.labels.split(1000)):
            x = ((pixels.unsqueeze(1).float() / 255 - MEAN) / DEVIATION).to(DEVICE)
            right += int((model(x).argmax(dim=1).cpu() == labels).sum())
    return Found(right / len(test), clock.seconds, clock.processor, timed.images)


# ---- ours ----


def train_ours(train: data.Digits, test: data.Digits, steps: int, seed: int) -> Found:
    """The lab's default recipe, cut to `steps`."""
    config = lab.Config()
    torch.manual_seed(seed)
    model = lab.build_model(config)
    model[0].measure(data.middle(train.pixels[:10000], config.side).unsqueeze(3))
    model.to(DEVICE)
    dtype, _ = compat.fast_dtype(DEVICE)
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.lr, weight_decay=config.weight_decay, **compat.FUSED)
    clock = Clock()
    with clock:
        source = data.Source(train, config.side, config.shift, config.warp, DEVICE)
        per_epoch = len(train) // config.batch_size
        for step in range(steps):
            if step % per_epoch == 0:
                plan = data.plan_epoch(len(train), config.shift, seed, step // per_epoch)
            optimizer.param_groups[0]["lr"] = lab.learning_rate(config, step, steps)
            place = step % per_epoch * config.batch_size
            pixels, labels = source.batch(plan, slice(place, place + config.batch_size))
            with compat.autocast(DEVICE, dtype):
                logits = model(pixels.unsqueeze(3))
            loss = entropy.loss(logits, labels, config.label_smoothing)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    accuracy = lab.accuracy(lab.classify(model, test.pixels, config.side, DEVICE), test)
    return Found(accuracy, clock.seconds, clock.processor, steps * config.batch_size)


def until_as_good(train: data.Digits, test: data.Digits, wanted: float, seed: int) -> Found:
    """Ours, trained for more and more quarters of an epoch until it is as good as `wanted`."""
    quarter = len(train) // lab.Config().batch_size // 4
    for quarters in range(1, 41):
        found = train_ours(train, test, quarters * quarter, seed)
        tell(f"ours, {quarters / 4:.2f} epochs", found)
        if found.accuracy >= wanted:
            return found
    raise SystemExit(f"ours did not reach {wanted:.2%} in ten epochs")


def tell(who: str, found: Found) -> None:
    print(f"{who:24} {found.accuracy:8.2%} {found.seconds:8.2f} s {found.processor_seconds:8.2f} CPU s "
          f"{found.images / found.seconds:8,.0f} img/s", flush=True)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=Path, help="a checkout of pytorch/examples")
    parser.add_argument("--seconds", type=float, default=60, help="how long the recipe of pytorch/examples trains")
    parser.add_argument("--wanted", type=float, default=0.984, help="what ours must reach where --examples is left out")
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args()
    _, reason = compat.fast_dtype(DEVICE)
    print(f"PyTorch {torch.__version__}, {platform.machine()}, {torch.get_num_threads()} threads, {DEVICE}; {reason}")
    folder = samples.locate("mnist", sample=False).path
    train, test = data.read(folder)
    ratios, of_processor = [], []
    for seed in range(given.seeds):
        wanted = given.wanted
        if given.examples:
            theirs = train_theirs(given.examples, folder, test, given.seconds, seed)
            tell(f"pytorch/examples, seed {seed}", theirs)
            wanted = theirs.accuracy
        ours = until_as_good(train, test, wanted, seed)
        if given.examples:
            ratios.append(theirs.seconds / ours.seconds)
            of_processor.append(theirs.processor_seconds / ours.processor_seconds)
    if ratios:
        print(f"ratio of seconds: median {statistics.median(ratios):.1f} ({min(ratios):.1f} to {max(ratios):.1f}); of "
              f"processor seconds {statistics.median(of_processor):.1f}; n={len(ratios)}")  # fmt: skip


if __name__ == "__main__":
    main()
