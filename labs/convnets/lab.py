"""Convolutional networks taken apart: every layer by hand, what it costs and sees, and fourteen networks side by side.

    ./inv lab convnets                          layers, numbers and networks
    ./inv lab convnets -- --part numbers        one part alone: layers, numbers, networks
    ./inv lab convnets -- --race                the networks trained on CIFAR-10, each for the same time: 25 minutes
    ./inv lab convnets -- --map photo.jpg       where in your image the trained networks see what they say
    ./inv practice convnets                     exercises that check themselves

You learn what each layer of sections 52 to 57 of the notes computes, which pixels it reads, what weights, MACs and
memory it takes and how these are saved, and what each of the well-known networks added. Times are measured on your
machine.
"""

from __future__ import annotations

from typing import Callable

from labkit.base.console import say
from labkit.base.language import both
from labkit.runs import steps
from labkit.runs.run import Run
from labkit.runs.start import start
from labs.convnets import figures, looking, measured, race, seeing, steps_convolutions, steps_layers
from labs.convnets.config import PRESETS, Config, chosen
from labs.convnets.steps_convolutions import SETUP

# The steps of each part of the notes, and the pictures that come after them.
LESSONS: tuple[tuple[steps.Group, tuple[Callable[[Run], None], ...]], ...] = (
    (steps_convolutions.CONVOLUTION, ()),
    (steps_convolutions.KINDS, (figures.show_reading, figures.show_checkerboards)),
    (steps_layers.POOLING, ()),
    (steps_layers.ACTIVATIONS, ()),
    (steps_layers.NORMALISATION, (figures.batch_statistics,)),
    (steps_layers.LINEAR, ()),
    (steps_layers.LOSSES, ()),
    (steps_convolutions.NETWORKS, ()),
)
GROUPS = tuple(group for group, _ in LESSONS)


def layers(run: Run) -> dict[str, float]:
    """Every layer by hand and by PyTorch, and the pictures of what they read. Returns how many steps hold."""
    held = 0
    for number, (group, pictures) in enumerate(LESSONS, start=1):
        held += steps.table(run, f"steps-{number}", group, SETUP)
        for draw in pictures:
            draw(run)
    run.note(both(
        "Of what the notes say in these sections, this does not hold: torch.nn.ReLu and nn.dropout() do not exist "
        "(nn.ReLU, nn.Dropout); batch normalisation gives a variance of 1, not 0, and no normal distribution; a "
        "“deconvolution” undoes nothing; not every convolution is followed by an activation. Each has its step above.",
        "这几节笔记中不成立的说法：没有 torch.nn.ReLu 和 nn.dropout()（应为 nn.ReLU、nn.Dropout）；BN 使方差为 1 而不"
        "是 0，也不会得到正态分布；“反卷积”并不还原什么；不是每个卷积层后都要有激活。上面各有一步演示。"))  # fmt: skip
    say(f"{held} steps hold")
    return {"steps": held}


def main(config: Config, run: Run) -> dict[str, float]:
    """The parts that are asked for, one after the other; or the race; or one image. Returns what agreed, or was won."""
    if config.map:
        return looking.main(config, run)
    if config.race:
        return race.main(config, run)
    names, found = chosen(config.networks), {}
    if config.part in ("all", "layers"):
        found.update(layers(run))
    if config.part in ("all", "numbers"):
        found["macs"] = measured.costs(run, names)
        found.update(seeing.show(run, names))
        say(f"MACs by hand are fvcore's on {found['macs']} of {len(names)} networks; "
            f"{found['fields']} fields by formula are those of the gradient")  # fmt: skip
    if config.part in ("all", "networks"):
        measured.times(run, names, config.batch, config.repeats)
        found["networks"] = len(names)
    return found


if __name__ == "__main__":
    start(main, Config, PRESETS)
