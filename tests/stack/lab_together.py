"""The lab cifar10, each of whose processes leaves the weights that it ends with in $WEIGHTS."""

import os

import torch

from labkit.runs.start import start
from labs.cifar10 import lab

train = lab.train


def train_and_keep(model, *arguments):
    row = train(model, *arguments)
    torch.save(model.state_dict(), os.path.join(os.environ["WEIGHTS"], os.environ["RANK"] + ".pt"))
    return row


lab.train = train_and_keep
start(lab.main, lab.Config, lab.PRESETS)
