"""Metric learning: a network that puts images of one class near each other, also of classes that it never saw.

    ./inv lab metric                            semi-hard triplets, five digits seen, five never
    ./inv lab metric -- --preset losses         contrastive, triplet (three miners), quadruplet, softmax, side by side
    ./inv lab metric -- --preset halves         four splits of the digits into seen and never seen
    ./inv lab metric -- --preset collapse       a network that gives every image the same answer, and what cures it
    ./inv lab metric -- --search my-signs     classes of yours, a folder for each, searched with the trained network

You learn what Siamese, triplet and quadruplet networks are (section 58 of the notes), why the choice of examples
decides more than the loss, how such a network is judged on classes that it never saw, and what face recognition does.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import nn

from labkit.base.console import say
from labkit.base.language import both
from labkit.runs.loop import one_after_another
from labkit.runs.run import Run
from labkit.runs.start import start
from labs.metric import collapse, data, own, results
from labs.metric.config import MARGINS, PRESETS, Config, chosen, splits
from labs.metric.data import Digits, Source
from labs.metric.training import Training, build_model, embed, prepare, train

JUDGED = 400  # test images of each digit that judge


def make_plan(config: Config) -> list[Training]:
    """Every loss that is asked for on every split."""
    names, halves = chosen(config.loss), splits(config.seen)
    plan = []
    for seen in halves:
        for loss in names:
            label = " ".join(([loss] if len(names) > 1 else []) + ([seen] if len(halves) > 1 else []))
            plan.append(Training(label, loss, seen, config.forms, config.classes_of(seen), config.images,
                                 config.margin or MARGINS[loss], config.lr, config.shift, config.steps))  # fmt: skip
    return plan


def train_all(plan: list[Training], digits: Digits, config: Config, run: Run) -> list[dict[str, Any]]:
    """Train one network after the other, each from the same first weights; what is finished is not done again."""

    def one(training: Training, saved: dict[str, Any] | None, facts: dict[str, Any]) -> dict[str, Any]:
        own_digits = data.in_forms(digits.only(training.seen), training.forms)
        say(f"{training.label or training.loss}: digits {training.seen} seen, {data.unseen(training.seen)} never")
        model = prepare(config, own_digits, run, fresh=saved is None)
        return train(model, training, own_digits, run, saved, facts)

    return one_after_another(run, plan, one, {"config": dataclasses.asdict(config), "sample": run.sample})


def restored(row: dict[str, Any], config: Config) -> nn.Sequential:
    """The network of a finished training, on the CPU."""
    model = build_model(config.width, config.dimensions)
    model.load_state_dict(row["weights"])
    return model


def compare(finished: list[dict[str, Any]], test: Digits, config: Config, run: Run) -> dict[str, float]:
    """Judge what was trained beside the pixels and an untrained network, split by split; show it, return the means."""
    found, rows = [], []
    for seen in splits(config.seen):
        never, known = test.only(data.unseen(seen), JUDGED), test.only(seen, JUDGED)
        trained = [row for row in finished if row["seen"] == seen]
        pixels = results.of_pixels(never)
        judged = [pixels]
        rows.append(results.row(pixels, results.of_pixels(known), None))
        with torch.random.fork_rng():
            torch.manual_seed(run.seed)
            untrained = build_model(config.width, config.dimensions)
        untrained[0].load_state_dict(restored(trained[0], config)[0].state_dict())  # mean and deviation of pixels
        names = [both("untrained network", "未训练的网络"), *(row["label"] or row["loss"] for row in trained)]
        models = [untrained, *(restored(row, config) for row in trained)]
        for name, model, row in zip(names, models, [None, *trained]):
            each = results.judge(name, embed(model, never.pixels, torch.device("cpu")), never.labels)
            seen_too = results.judge(name, embed(model, known.pixels, torch.device("cpu")), known.labels)
            judged.append(each)
            rows.append(results.row(each, seen_too, row["seconds"] if row else None))
            if row:
                found.append({"loss": row["loss"], "seen": seen, "unseen": data.unseen(seen),
                              "recall": each.retrieval.recall_at_1, "pixels_recall": pixels.retrieval.recall_at_1,
                              "map": each.retrieval.map_at_r, "pixels_map": pixels.retrieval.map_at_r,
                              "gain": each.retrieval.map_at_r - pixels.retrieval.map_at_r})  # fmt: skip
        if seen == splits(config.seen)[0]:
            best = max(judged[2:], key=lambda each: each.retrieval.map_at_r)
            shown = [*(each for each in judged if each is not best), best]
            results.show_maps(run, judged, never.labels, config.tsne)
            results.show_neighbours(run, never, pixels, best)
            results.show_verification(run, shown, never.labels)
            results.show_kinds(run, judged[1:], never.labels, config.margin or MARGINS["semi-hard"])
    if len(splits(config.seen)) == 1:
        results.show_result(run, rows, never)
    else:
        results.show_halves(run, found)
    best_loss = max(dict.fromkeys(row["loss"] for row in found),
                    key=lambda loss: sum(row["map"] for row in found if row["loss"] == loss))  # fmt: skip
    counted = [row for row in found if row["loss"] == best_loss]
    means = {key: sum(row[key] for row in counted) / len(counted)
             for key in ("map", "recall", "pixels_map", "pixels_recall")}  # fmt: skip
    return {**means, "gain": min(row["gain"] for row in counted)}


def main(config: Config, run: Run) -> dict[str, float]:
    """Train every loss on every split, judge on the digits never seen, and report; or do what else was asked for."""
    if config.search:
        return own.main(config, run)
    digits, test = data.read(run.dataset("mnist"))
    plan = collapse.attempts(config) if config.collapse else make_plan(config)
    first = data.in_forms(digits.only(plan[0].seen), plan[0].forms)
    results.show_batch(run, Source(first, plan[0].classes, plan[0].images, plan[0].shift, run.seed), plan[0].forms)
    finished = train_all(plan, digits, config, run)
    if config.collapse:
        never = test.only(data.unseen(finished[0]["seen"]), JUDGED)
        embedded = [embed(restored(row, config), never.pixels, torch.device("cpu")) for row in finished]
        return collapse.show(run, finished, embedded, never)
    return compare(finished, test, config, run)


if __name__ == "__main__":
    start(main, Config, PRESETS)
