"""DCGAN: two networks that play against each other, until one draws digits that nobody wrote.

    ./inv lab dcgan                            digits, in minutes on two processor cores
    ./inv lab dcgan -- --preset wgan-gp        the Wasserstein loss with gradient penalty
    ./inv lab dcgan -- --preset collapse       a failure: the generator draws the same few things
    ./inv lab dcgan -- --preset vanishing      a failure: the generator's gradient dies; with --loss nonsaturating not

You learn what the two networks minimise, how each piece of advice in the notes (section 87) changes the game, and how
to measure images that have no right answer.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from labkit.base.console import say
from labkit.base.errors import UserError
from labkit.data import cifar, mnist
from labkit.runs import compat, plots
from labkit.runs.batches import Batches
from labkit.runs.judge import Judge, class_entropy, train_judge
from labkit.runs.loop import Loop
from labkit.runs.measures import kid
from labkit.runs.run import Run
from labkit.runs.start import start
from labs.dcgan.config import PRESETS, Config
from labs.dcgan.losses import discriminator_loss, generator_loss, gradient_norm, gradient_penalty, targets
from labs.dcgan.models import Discriminator, Generator

# Shapes: N images of a batch, C channels. Data are uint8 (N, 32, 32, C); the networks take float32 (N, C, 32, 32).


JUDGED = 1000  # images in each measure
LOOKS = 8  # how often the fixed random vectors are drawn on the way
SHOWN = 10


# ---- data ----


def read(folder: Path, dataset: str) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Training images uint8 (N, 32, 32, C) and labels int64 (N,), then those of the test set."""
    parts = []
    for split in ("train", "test"):
        if dataset == "mnist":
            pixels, labels = mnist.load(folder, split)
            pixels = np.pad(pixels, ((0, 0), (2, 2), (2, 2)), "constant")[..., None]  # (N, 32, 32, 1)
        else:
            pixels, labels = cifar.load(folder, dataset, split)
        parts += [torch.from_numpy(pixels), torch.from_numpy(labels).long()]
    pixels, labels, test, test_labels = parts
    return pixels, labels, test, test_labels


def to_network(pixels: torch.Tensor, output: str) -> torch.Tensor:
    """uint8 (N, 32, 32, C) as the generator's last layer draws it, float32 (N, C, 32, 32)."""
    x = pixels.permute(0, 3, 1, 2).contiguous().float() / 255
    return 2 * x - 1 if output == "tanh" else x


def to_pixels(images: torch.Tensor, output: str) -> torch.Tensor:
    """The way back: uint8 (N, 32, 32, C), on the CPU."""
    x = (images + 1) / 2 if output == "tanh" else images
    return (255 * x).round().clamp(0, 255).byte().permute(0, 2, 3, 1).contiguous().cpu()


# ---- networks ----


def build(config: Config, channels: int, classes: int) -> tuple[Generator, Discriminator]:
    """Generator and discriminator."""
    told = classes if config.conditional else 0
    generator = Generator(config.latent, config.width, channels, told, config.norm, config.activation == "leaky",
                          config.output)  # fmt: skip
    discriminator = Discriminator(config.width, channels, told, config.norm_d, config.activation != "relu",
                                  config.downsample, config.head, config.noise)  # fmt: skip
    return generator, discriminator


def make_optimizer(network: nn.Module, config: Config, lr: float) -> torch.optim.Optimizer:
    if config.optimizer == "sgd":
        return torch.optim.SGD(network.parameters(), lr=lr)
    return torch.optim.Adam(network.parameters(), lr=lr, betas=(0.5, 0.999))  # a short memory: the opponent moves


@torch.no_grad()
def draw(generator: Generator, z: torch.Tensor, labels: torch.Tensor, output: str) -> torch.Tensor:
    """Images uint8 (N, 32, 32, C) from z (N, latent), and int64 labels (N,) which only a conditional one reads."""
    generator.eval()
    images = torch.cat([to_pixels(generator(*pair), output) for pair in zip(z.split(250), labels.split(250))])
    generator.train()
    return images


# ---- training ----


def train(generator: Generator, discriminator: Discriminator, pixels: torch.Tensor, labels: torch.Tensor,
          judge: Judge, test_features: np.ndarray, config: Config, run: Run) -> torch.Tensor:  # fmt: skip
    """Train both in place. Returns what the fixed random vectors became on the way: uint8 (LOOKS, SHOWN, 32, 32, C)."""
    dtype, reason = compat.fast_dtype(run.device)
    if config.loss == "wgan-gp":
        dtype, reason = torch.float32, "the gradient penalty is a gradient of a gradient"
    say(f"arithmetic: {str(dtype).split('.')[1]} ({reason})")
    classes = judge.head.out_features
    optimizer_g = make_optimizer(generator, config, config.lr)
    optimizer_d = make_optimizer(discriminator, config, config.lr_d or config.lr)
    batches = Batches(len(pixels), config.batch_size, run.seed)
    fixed_z, fixed_labels = fixed_vectors(config, run, classes)

    def read_batch(number: int) -> tuple[torch.Tensor, torch.Tensor]:
        chosen = batches[number]
        return to_network(pixels[chosen].to(run.device), config.output), labels[chosen].to(run.device)

    def generate() -> tuple[torch.Tensor, torch.Tensor]:
        z = torch.randn(config.batch_size, config.latent, device=run.device)
        asked = torch.randint(classes, (config.batch_size,), device=run.device)
        return generator(z, asked), asked

    wanted = partial(targets, config.batch_size, config.smooth, config.smooth_by, config.flip, run.device)
    parts = {"generator": generator, "discriminator": discriminator, "optimizer_g": optimizer_g,
             "optimizer_d": optimizer_d}  # fmt: skip
    loop = Loop(run, config.steps, parts, saved=run.restore(), looks=LOOKS)
    for step in loop:
        if config.decay:
            for optimizer, lr in ((optimizer_g, config.lr), (optimizer_d, config.lr_d or config.lr)):
                optimizer.param_groups[0]["lr"] = lr * (1 - step / config.steps)
        # The discriminator's move: up the gradient of E log D(x) + E log(1 - D(G(z))).
        for k in range(config.d_steps):
            real, real_labels = read_batch(step * config.d_steps + k)
            with compat.autocast(run.device, dtype):
                with torch.no_grad():
                    fake, fake_labels = generate()
                # two calls: batch norm sees only real images, or only generated ones
                real_logits, fake_logits = discriminator(real, real_labels), discriminator(fake, fake_labels)
            loss_d = discriminator_loss(config.loss, real_logits, fake_logits, *wanted())
            if config.loss == "wgan-gp":
                # The two may be of different classes: what lies between counts as the real one's.
                loss_d = loss_d + config.penalty * gradient_penalty(discriminator, real, fake, real_labels)
            descend(optimizer_d, loss_d)
        # The generator's move: up the gradient of E log D(G(z)).
        for _ in range(config.g_steps):
            with compat.autocast(run.device, dtype):
                logits = discriminator(*generate())
            loss_g = generator_loss(config.loss, logits)
            descend(optimizer_g, loss_g)
        loop.average(discriminator_loss=loss_d, generator_loss=loss_g, real_logit=real_logits.mean(),
                     fake_logit=fake_logits.mean(), generator_gradient=gradient_norm(generator))  # fmt: skip
        if loop.time_to_look:
            drawn = draw(generator, fixed_z, fixed_labels, config.output)
            loop.log(**measure(drawn, judge, test_features))
            show_progress(loop, drawn)
    return torch.stack(loop.looks)


def descend(optimizer: torch.optim.Optimizer, loss: torch.Tensor) -> None:
    """One step of `optimizer` against the gradient of `loss`."""
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def fixed_vectors(config: Config, run: Run, classes: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The JUDGED random vectors (JUDGED, latent) and labels that every look and every measure of this run uses."""
    z = torch.randn(JUDGED, config.latent, generator=torch.Generator().manual_seed(run.seed))
    return z.to(run.device), (torch.arange(JUDGED) % classes).to(run.device)


# ---- measures and images ----


def measure(drawn: torch.Tensor, judge: Judge, test_features: np.ndarray) -> dict[str, float]:
    """How far `drawn`, uint8 (N, 32, 32, C), are from the test images, and how evenly the classes appear in them."""
    features, probabilities = judge.look(drawn)
    guesses = probabilities.argmax(axis=1)  # (N,)
    return {"kid": kid(features, test_features), "class_entropy": class_entropy(guesses, judge.head.out_features)}


def plain(pixels: torch.Tensor) -> np.ndarray:
    """For plots: uint8 (N, 32, 32, 3), or (N, 32, 32) where the images are grey."""
    return (pixels.squeeze(3) if pixels.shape[3] == 1 else pixels).numpy()


def show_progress(loop: Loop, drawn: torch.Tensor) -> None:
    """What the fixed vectors became now, uint8 (JUDGED, 32, 32, C), below what they were at the looks before."""
    loop.keep(drawn[:SHOWN])
    rows = [f"step {step:,}" for step in loop.look_steps]
    loop.figure("progress", plots.gallery(plain(torch.cat(loop.looks)), SHOWN, rows),
                "The same random vectors all through the training: a column is one vector.")  # fmt: skip


def show_results(run: Run, generator: Generator, config: Config, real: torch.Tensor, classes: int) -> None:
    """Real and generated images side by side, and a walk from one random vector to the next."""
    z, labels = fixed_vectors(config, run, classes)
    drawn = draw(generator, z[:50], labels[:50], config.output)
    rows = ["real", "", "", "", "", "generated", "", "", "", ""]
    run.figure("samples", plots.gallery(plain(torch.cat([real[:50], drawn])), SHOWN, rows),
               "Above real test images, below generated ones."
               + (" A column of the lower half is one class." if config.conditional else ""))  # fmt: skip
    share = torch.linspace(0, 1, SHOWN, device=run.device).view(1, SHOWN, 1)
    ends = z[: 2 * 5].view(5, 2, 1, -1)
    walk = (1 - share) * ends[:, 0] + share * ends[:, 1]  # (5, SHOWN, latent)
    walk = F.normalize(walk, dim=2) * config.latent**0.5  # back to the length that random vectors have
    images = draw(generator, walk.flatten(0, 1), labels[:5].repeat_interleave(SHOWN), config.output)
    run.figure("walk", plots.gallery(plain(images), SHOWN),
               "From one random vector to another in ten steps. Every step is an image of its own: what was learned "
               "is a space, not a list.")  # fmt: skip


def main(config: Config, run: Run) -> dict[str, float]:
    """Train both networks, measure and show what the generator draws. Returns its KID and the evenness of classes."""
    pixels, labels, test, test_labels = read(run.dataset(config.dataset), config.dataset)
    if len(pixels) < config.batch_size or len(test) < JUDGED:
        raise UserError(f"the lab needs {max(config.batch_size, 2)} training and {JUDGED} test images")
    classes = int(labels.max()) + 1
    generator, discriminator = build(config, pixels.shape[3], classes)
    generator.to(run.device)
    discriminator.to(run.device)
    judge = train_judge(pixels, labels, run.device)
    test_features, probabilities = judge.look(test[:JUDGED])
    right = float((probabilities.argmax(axis=1) == test_labels[:JUDGED].numpy()).mean())
    z, asked = fixed_vectors(config, run, classes)
    before = measure(draw(generator, z, asked, config.output), judge, test_features)
    train(generator, discriminator, pixels, labels, judge, test_features, config, run)

    drawn = draw(generator, z, asked, config.output)
    after, real = measure(drawn, judge, test_features), measure(pixels[-JUDGED:], judge, test_features)
    names = ("before training", "after training", "training images, the best possible")
    rows = [[name, f"{found['kid']:.4f}", f"{found['class_entropy']:.3f}"]
            for name, found in zip(names, (before, after, real))]  # fmt: skip
    run.table("measures", ["images", "KID", "class entropy"], rows,
              f"Each from {JUDGED:,} images against {JUDGED:,} test images, in the features of a small classifier "
              f"that names {right:.1%} of these test images correctly.")  # fmt: skip
    show_results(run, generator, config, test, classes)
    metrics = dict(after)
    if config.conditional:
        metrics["obedience"] = float((judge.look(drawn)[1].argmax(axis=1) == asked.cpu().numpy()).mean())
    return metrics


if __name__ == "__main__":
    start(main, Config, PRESETS)
