"""`./inv test --only expect`: what the labs promise of real runs, trained anew and compared.

A row [[expect]] of a lab.toml promises that a `metric` comes to `min` or more (or to `max` or less) with these
`options` of the lab, in this stack; it was measured on the `hardware` that it names. Rows with the same options share
one run, in a folder that goes afterwards. A row that cannot be tried here is shown with the reason, and what holds on
other hardware than that of the row does not count as held: the number may depend on it.
"""

from __future__ import annotations

import collections
import dataclasses
import re
import shlex
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Mapping, Sequence

from labkit.base import hardware, labs, settings
from labkit.base.console import say
from labkit.base.errors import UserError
from labkit.cli.labs import parse
from labkit.cli.prepare import OUT, table
from labkit.data import store
from labkit.runs import options, records
from labkit.stacks import catalog, native, runner, selection
from labkit.stacks.machine import Machine, probe

HEADS = ("lab", "promised", "with", "stack", "got", "verdict")
HOLDS, ELSEWHERE, FAILS, NOT_RUN = "holds", "holds elsewhere", "does not hold", "not run"


@dataclass(frozen=True, eq=False)
class Promise:
    """A row of a lab: one of `least` and `most` is a number."""

    lab: labs.Lab
    metric: str
    least: float | None
    most: float | None
    options: str | None  # as they are typed; None where the row does not say them
    stack: str  # and build, "cpu/index"
    hardware: str
    minutes: float

    @classmethod
    def of(cls, lab: labs.Lab, row: Mapping[str, Any]) -> Promise:
        said = {name: row[name] for name in ("metric", "stack", "hardware", "minutes")}
        return cls(lab, least=row.get("min"), most=row.get("max"), options=row.get("options"), **said)

    def __str__(self) -> str:
        return f"{self.metric} " + (f"≥ {self.least}" if self.least is not None else f"≤ {self.most}")

    @property
    def training(self) -> tuple[str, str, str]:
        """What rows have in common that one run is enough for."""
        return self.lab.name, self.stack, self.options or ""

    @property
    def of_gpu(self) -> bool:
        return "NVIDIA" in self.hardware

    def holds(self, value: float) -> bool:
        """Whether `value` keeps it; NaN keeps nothing."""
        return (self.least is None or value >= self.least) and (self.most is None or value <= self.most)


def run(names: Sequence[str]) -> int:
    """Try what the labs `names` promise, without names all; 1 where a promise does not hold, or none could be tried."""
    chosen = [labs.find(name) for name in names] or labs.table()
    promises = [Promise.of(lab, row) for lab in chosen for row in lab.expect]
    if not promises:
        raise UserError(f"there is no [[expect]] in the lab.toml of {', '.join(names)}", "./inv test --only expect")
    machine = probe()
    why = {promise: obstacle(promise, machine) for promise in promises}
    ahead = {promise.training: promise for promise in promises if not why[promise]}
    minutes = sum(promise.minutes for promise in ahead.values())
    say(f"{len(promises)} promises, {len(ahead)} runs, of {minutes:.1f} minutes where they were measured")
    got: dict[tuple[str, str, str], dict[str, float] | str] = {}
    for training, promise in ahead.items():
        say(f"\n== {promise.lab.name} {promise.options or ''} in {promise.stack} ==".replace("  ", " "))
        got[training] = trained(promise, machine)
    rows, reasons = [], collections.defaultdict(list)
    for promise in promises:
        found = {} if why[promise] else got[promise.training]
        verdict, reason = (NOT_RUN, why[promise]) if why[promise] else judged(promise, found, machine)
        shown = "" if isinstance(found, str) or promise.metric not in found else records.number(found[promise.metric])
        rows.append((promise.lab.name, str(promise), promise.options or "", promise.stack, shown, verdict))
        if reason:
            reasons[f"{verdict}: {reason}"].append(promise.lab.name)
    say("")
    OUT.print(table(HEADS, rows, folded=("with", "stack"), whole=("lab", "got", "verdict")))
    for reason, of in reasons.items():
        print(f"{', '.join(dict.fromkeys(of))} {reason}")
    verdicts = [row[-1] for row in rows]
    held, failed = verdicts.count(HOLDS), verdicts.count(FAILS)
    print(f"{len(rows)} promises: {held} held, {failed} not held, {len(rows) - held - failed} not counted", flush=True)
    return 1 if failed or not ahead else 0


def obstacle(promise: Promise, machine: Machine) -> str:
    """Why the promise cannot be tried on this machine, as a clause; "" where it can be."""
    if promise.options is None:
        return 'the row does not say its options (options = "" for none)'
    name, _, build = promise.stack.partition("/")
    stack = catalog.load(name)
    if not native.ready(stack, stack.build(build)):
        return f"stack {promise.stack} is not set up here: ./inv setup --where venv --stack {promise.stack}"
    if promise.of_gpu and not choice_for(promise, machine).use_gpu:
        return f"it is of {promise.hardware}, and this stack has no GPU here"
    for needed in asked(promise)[1]:
        if store.state(needed).kind == "absent":
            return f"the data set {needed} is not here: ./inv data {needed}"
    return ""


def asked(promise: Promise) -> tuple[options.Request, list[str]]:
    """The request that the row makes of its lab, and the data sets that it reads beside samples."""
    request, config = parse(promise.lab, shlex.split(promise.options or ""))
    wanted, sample_will_do = options.dataset_for(config, promise.lab.datasets)
    if wanted and sample_will_do:
        request = dataclasses.replace(request, sample=True)
    return request, [*([wanted] if wanted and not request.sample else []), *options.downloads(config)]


def choice_for(promise: Promise, machine: Machine) -> selection.Choice:
    """The stack of the row, with this machine's GPUs where the row is of one."""
    choice = selection.choose(list(machine.gpus), machine.driver, machine.wsl, promise.stack)
    return choice if promise.of_gpu else dataclasses.replace(choice, gpus=())


def trained(promise: Promise, machine: Machine) -> dict[str, float] | str:
    """The metrics of a new run, or how it ended without any."""
    words = options.words(asked(promise)[0])
    command = runner.lab_command(promise.lab, words, choice_for(promise, machine), "venv", machine)
    with tempfile.TemporaryDirectory() as folder:
        environment = settings.child_environment({**command.environment, "LAB_RUNS": folder})
        status = subprocess.run(command.argv, env=environment, stdout=sys.stderr).returncode
        if status == 130:
            raise KeyboardInterrupt
        runs = list(Path(folder, promise.lab.name).glob("*"))
        return records.read(runs[0]).metrics if status == 0 and runs else f"the run ended with status {status}"


def judged(promise: Promise, found: Mapping[str, float] | str, machine: Machine) -> tuple[str, str]:
    """The verdict on a promise that was tried, and a reason where there is more to say."""
    if isinstance(found, str):
        return FAILS, found
    if promise.metric not in found:
        return FAILS, f"there is no number {promise.metric}, only {', '.join(found)}"
    if not promise.holds(found[promise.metric]):
        return FAILS, ""
    gpus = [gpu.name for gpu in choice_for(promise, machine).gpus]
    here = f"{machine.cores} cores, {', '.join([hardware.processor().name, *gpus])}"
    if is_like(promise.hardware, here):
        return HOLDS, ""
    return ELSEWHERE, f"these are {here}, and it was measured on {promise.hardware}"


def is_like(row: str, here: str) -> bool:
    """Whether `here` is the hardware of the row, as far as that says it: number of cores, maker and family."""
    cores = re.search(r"\b\d+ cores\b", row)
    made = re.search(r"\b(?:an?|one) ([A-Z]\w+ \w+)", row)
    return (not cores or here.startswith(cores[0])) and (not made or all(word in here for word in made[1].split()))
