"""The housekeeping of a training loop, with a network of one weight in place of a real one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import labruns
import pytest
import torch
from torch import nn

from labkit.base.errors import UserError
from labkit.runs import older
from labkit.runs.batches import Batches
from labkit.runs.loop import Loop
from labkit.runs.run import Run, Stopped


@pytest.fixture
def open_run(monkeypatch):
    """Opens a run that no lab drives, new or again; it saves after every step, and is closed when the test is over."""
    opened = []

    def open_run(runs: Path) -> Run:
        monkeypatch.setenv("LAB_RUNS", str(runs))
        monkeypatch.setenv("LAB_VISDOM_PORT", "1")
        opened.append(make_run(runs / "toy" / "20260101-000000"))
        return opened[-1]

    yield open_run
    for run in opened:
        if run._lock >= 0:
            run.close()


@pytest.fixture
def run(open_run, tmp_path):
    return open_run(tmp_path / "runs")


def make_run(folder: Path) -> Run:
    folder.mkdir(parents=True, exist_ok=True)
    facts = {"lab": "toy", "title": "Toy", "seed": 0, "sample": False, "smoke": True, "preset": "", "options": {}}
    (folder / "config.json").write_text(json.dumps({**facts, "started": "2026-01-01 00:00:00"}))
    made = Run(folder, facts, save_every_s=0.0)
    made.begin()
    return made


def rows(run: Run) -> list[dict[str, Any]]:
    run.record("running")
    return [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]


class Weight(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.zeros(()))


def test_means_are_logged_when_they_are_due_and_at_the_end(run):
    loop = Loop(run, 7, {}, saved=None, log_every=3)
    for step in loop:
        rare = torch.tensor(10.0 * step) if step % 2 else None
        loop.average({"lr": 1 - step / 7}, train_loss=torch.tensor(float(step)), rare=rare)
    assert rows(run) == [
        {"step": 3, "train_loss": 1.0, "rare": 10.0, "lr": 1 - 2 / 7},
        {"step": 6, "train_loss": 4.0, "rare": 40.0, "lr": 1 - 5 / 7},
        {"step": 7, "train_loss": 6.0, "lr": 1 - 6 / 7},
    ]


def test_fifty_rows_where_nobody_says_how_many(run):
    loop = Loop(run, 100, {}, saved=None)
    for _ in loop:
        loop.average(loss=1.0)
    assert [row["step"] for row in rows(run)] == list(range(2, 101, 2))


@pytest.mark.parametrize(("total", "looks", "steps"), [(8, 4, [2, 4, 6, 8]), (7, 3, [3, 5, 7]), (5, 5, [1, 2, 3, 4, 5])])
def test_looks_come_at_the_end_of_equal_parts(run, total, looks, steps):
    loop = Loop(run, total, {}, saved=None, looks=looks)
    seen = []
    for step in loop:
        if loop.time_to_look:
            loop.keep(torch.full((2,), step))
            seen.append(loop.step)
            assert loop.look_steps == seen
    assert seen == steps and [int(look[0]) + 1 for look in loop.looks] == steps


def test_half_precision_is_summed_in_float32(run):
    loop = Loop(run, 300, {}, saved=None, log_every=300)
    for _ in loop:
        loop.average(logit=torch.tensor(1.0, dtype=torch.float16), exact=torch.tensor(0.1, dtype=torch.float64))
    assert rows(run) == [{"step": 300, "logit": 1.0, "exact": pytest.approx(0.1, abs=1e-12)}]


def test_epochs_and_batches(run):
    loop = Loop(run, 4, {}, saved=None, unit="img", per_step=5, epoch=2)
    seen = []
    for epoch in loop.epochs():
        for positions in loop.batches():
            seen.append((epoch, positions, loop.done, loop.step))
            loop.average(train_loss=float(loop.done))
        loop.log(**loop.means())
    assert seen == [(0, slice(0, 5), 0, 1), (0, slice(5, 10), 1, 2), (1, slice(0, 5), 2, 3), (1, slice(5, 10), 3, 4)]
    assert rows(run) == [{"step": 2, "train_loss": 0.5}, {"step": 4, "train_loss": 2.5}]
    assert loop.seconds > 0 and loop.rate == pytest.approx(20 / loop.seconds)


def drive(run: Run, stop_at: int = 0, by_epoch: bool = False) -> Loop:
    """Twelve steps that use everything a state can hold; Ctrl-C arrives in step `stop_at`."""
    weight, seen, best, table = Weight(), [], {"w": 0.0}, torch.zeros(3)
    optimizers = [torch.optim.SGD(weight.parameters(), lr=0.1, momentum=0.9)]
    parts = {"weight": weight, "optimizers": optimizers, "seen": seen, "best": best, "table": table}
    loop = Loop(run, 12, parts, saved=run.restore(), facts={"name": "toy"}, epoch=4 * by_epoch, log_every=5, looks=3)

    def one_step() -> None:
        if loop.step == stop_at:
            run.ask_stop(2, None)
        loss = (weight.w - torch.randn(())) ** 2  # a resumed run draws on where it stopped
        optimizers[0].zero_grad()
        loss.backward()
        optimizers[0].step()
        seen.append(loop.step)
        best.update(w=float(weight.w.detach()))
        table[loop.step % 3] += 1
        loop.average(loss=loss)
        if loop.time_to_look:
            loop.keep(weight.w.detach().clone().reshape(1))

    if by_epoch:
        for _ in loop.epochs():
            for _ in loop.batches():
                one_step()
            loop.log(**loop.means(), w=best["w"])
    else:
        for _ in loop:
            one_step()
    return loop


@pytest.mark.parametrize("by_epoch", [False, True])
@pytest.mark.parametrize("stop_at", [1, 3, 4, 5, 11])
def test_a_resumed_run_is_the_run_in_one_go(open_run, tmp_path, stop_at, by_epoch):
    whole = open_run(tmp_path / "whole")
    drive(whole, by_epoch=by_epoch)
    parted = open_run(tmp_path / "parted")
    with pytest.raises(Stopped):
        drive(parted, stop_at, by_epoch)
    parted.close()
    resumed = open_run(tmp_path / "parted")
    loop = drive(resumed, by_epoch=by_epoch)
    assert rows(whole) == rows(resumed)
    states = [torch.load(str(run.folder / "checkpoints" / "last.pt"))["state"] for run in (whole, resumed)]
    assert states[0]["name"] == "toy" and states[0]["step"] == 12 and states[0]["seen"] == list(range(1, 13))
    for name in ("weight", "seen", "best", "table", "looks", "sums", "timed_steps"):
        assert str(states[0][name]) == str(states[1][name]), name
    momenta = [list(labruns.tensors(state["optimizers"])) for state in states]  # by position: 1.5 names them by address
    assert len(momenta[0]) == 1 and all(map(torch.equal, *momenta))
    assert loop.seconds >= states[1]["seconds"] > 0


def test_a_lab_may_end_early_and_save(run):
    loop = Loop(run, 8, {}, saved=None, epoch=2)
    for epoch in loop.epochs():
        if epoch == 2:
            break
        for _ in loop.batches():
            pass
    loop.save()
    assert torch.load(str(run.folder / "checkpoints" / "last.pt"))["state"]["step"] == 4


@pytest.mark.parametrize("spoil", [{"weight": None}, {"weight": {"other": torch.zeros(())}}, {"step": "x"}, {"sums": 5}])
def test_a_state_of_another_version_is_one_sentence(run, spoil):
    weight = Weight()
    good = {**Loop(run, 4, {"weight": weight}, saved=None).state(), "weight": weight.state_dict()}
    spoiled = {name: value for name, value in {**good, **spoil}.items() if value is not None}
    with pytest.raises(UserError, match="the checkpoint of 20260101-000000 does not fit this version of toy: ") as caught:
        Loop(run, 4, {"weight": weight}, saved=spoiled)
    assert caught.value.next_command.endswith("lab toy")


TWO = torch.tensor([4.0, 6.0])  # what two of three steps summed


@pytest.mark.parametrize(
    ("saved", "third", "row"),
    [
        ({"sums": TWO}, {"a": 2.0, "b": 3.0}, {"a": 2.0, "b": 3.0}),  # dcgan, cyclegan
        ({"sums": TWO}, {"a": None, "b": 3.0}, {"b": 3.0}),  # pix2pix without its discriminator
        ({"summed": TWO[0]}, {"a": 2.0}, {"a": 2.0}),  # autoencoder
        ({"loss_sum": 4.0}, {"a": 2.0}, {"a": 2.0}),  # segmentation
        ({"sums": TWO, "penalties": TWO / 2}, {"a": 2.0, "b": 3.0, "r1": None}, {"a": 2.0, "b": 3.0, "r1": 2 / 3}),
        ({"sums": {"b": 6.0, "total_loss": 4.0}, "count": 2}, {"train_loss": 2.0, "b": 3.0}, {"train_loss": 2.0, "b": 3.0}),
    ],
)  # the last two are stylegan and detectron2
def test_the_sums_of_an_older_run_go_on(run, saved, third, row):
    for _ in (loop := Loop(run, 3, {}, saved={"step": 2, **saved}, log_every=3)):
        loop.average(**third)
    assert [list(found.items()) for found in rows(run)] == [[("step", 3), *((k, pytest.approx(v)) for k, v in row.items())]]


def test_names_of_an_older_state():
    today, nameless = older.today({"step": 3, "seconds": 1.5, "sums": torch.tensor([1.0, 2.0])})
    assert (today["timed_steps"], today["seconds"], nameless) == (3, 1.5, [torch.tensor(1.0), torch.tensor(2.0)])
    today, nameless = older.today({"step": 3, "maps": torch.zeros(4, 2)})
    assert len(today["looks"]) == 4 and nameless == [] and today["seconds"] == 0.0
    new = {"step": 1, "timed_steps": 1, "sums": {}}
    assert older.today(new) == (new, [])


def test_every_epoch_has_every_image_once():
    batches = Batches(20, 5, seed=1)
    first, second = (torch.cat([batches[k] for k in numbers]) for numbers in (range(4), range(4, 8)))
    assert first.sort()[0].tolist() == second.sort()[0].tolist() == list(range(20))
    assert not torch.equal(first, second)
    assert torch.equal(batches[1], first[5:10])  # any batch, in any order
