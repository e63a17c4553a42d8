"""What config.py of a lab says without torch is what the torch code of the lab has."""

from __future__ import annotations

import torch

import labs.cifar10.config
import labs.dcgan.config
import labs.segmentation.config
from labs.cifar10 import augment, backbones
from labs.dcgan import losses
from labs.segmentation import models


def test_names_of_cifar10():
    config = labs.cifar10.config
    assert tuple(backbones.BACKBONES) == config.BACKBONES
    assert tuple(augment.DRAWS) == config.AUGMENTATIONS


def test_names_of_segmentation():
    assert tuple(models.NETWORKS) == labs.segmentation.config.NETWORKS


def test_losses_of_dcgan_all_differ():
    logits = torch.tensor([0.3, -0.7])
    found = {float(losses.generator_loss(kind, logits)) for kind in labs.dcgan.config.LOSSES}
    assert len(found) == len(labs.dcgan.config.LOSSES)
