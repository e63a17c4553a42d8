"""Autoencoders: squeeze an image into a few numbers and draw it again; draw new ones; and the same pixel by pixel.

    ./inv lab autoencoder                             the variational autoencoder
    ./inv lab autoencoder -- --model ae               the plain one: it copies well and cannot invent
    ./inv lab autoencoder -- --preset pixelcnn        no code at all: each pixel from those before it
    ./inv lab autoencoder -- --gradient score         the VAE without reparameterisation: see why nobody does it

You learn three ways to model images (section 87 of the notes), the reparameterisation trick against the score
function (section 19), and one number that judges the last two alike: the probability of images never seen.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn

from labkit.base.console import say
from labkit.base.errors import UserError
from labkit.data import mnist
from labkit.runs import compat, plots
from labkit.runs.batches import Batches
from labkit.runs.loop import Loop
from labkit.runs.run import Run
from labkit.runs.start import start
from labs.autoencoder.config import PRESETS, Config
from labs.autoencoder.losses import expectation, kl_to_standard_normal, negative_log_likelihood
from labs.autoencoder.models import SIDE, Autoencoder, PixelCNN

# Shapes: N images, float32 0 or 1 (N, 1, 28, 28); L numbers in a code.


LOOKS = 8  # how often the same images are drawn on the way
SHOWN = 10


# ---- data ----


def read(folder: Path) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Training images, test images, both uint8 0 or 1 (N, 1, 28, 28), and test labels uint8 (N,).

    Half-bright pixels become 0 or 1, so that one coin for each pixel describes an image completely.
    """
    (pixels, _), (test, labels) = (mnist.load(folder, split) for split in ("train", "test"))
    return *(torch.from_numpy((part > 127).astype(np.uint8)).unsqueeze(1) for part in (pixels, test)), labels


# ---- models and losses ----


def build(config: Config) -> nn.Module:
    if config.model == "pixelcnn":
        return PixelCNN(config.channels, config.layers)
    return Autoencoder(config.hidden, config.latent, variational=config.model == "vae")


def losses(model: nn.Module, images: torch.Tensor, config: Config, noise: torch.Tensor) -> dict[str, torch.Tensor]:
    """The parts of the loss, (N,) each, in nats; `noise` (N, L) ~ N(0, 1) is read by vae alone.

    ae: how badly the copy predicts the image. vae: the same for a random code near the image's, and the KL that
    this code costs; their sum is at least -log p(image). pixelcnn: -log p(image) itself.
    """
    if config.model == "pixelcnn":
        return {"nats": negative_log_likelihood(model(images), images)}
    mean, log_variance = model.encode(images)

    def reconstruction(z: torch.Tensor) -> torch.Tensor:
        return negative_log_likelihood(model.decode(z), images)

    if config.model == "ae":
        return {"reconstruction": reconstruction(mean)}
    copied = expectation(config.gradient, reconstruction, mean, log_variance, noise)
    return {"reconstruction": copied, "kl": kl_to_standard_normal(mean, log_variance)}


def total(parts: dict[str, torch.Tensor], beta: float = 1.0) -> torch.Tensor:
    """The loss of each image, (N,): the negative ELBO where there is a KL term."""
    return sum(beta * part if name == "kl" else part for name, part in parts.items())


# ---- training ----


def train(model: nn.Module, pixels: torch.Tensor, test: torch.Tensor, config: Config, run: Run) -> None:
    """Train in place; logs the losses of training and test and shows the same images again and again."""
    dtype, reason = compat.fast_dtype(run.device)
    say(f"arithmetic: {str(dtype).split('.')[1]} ({reason})")
    optimizer = torch.optim.Adam(model.parameters(), lr=config.lr)
    batches = Batches(len(pixels), config.batch_size, run.seed)
    loop = Loop(run, config.steps, {"model": model, "optimizer": optimizer}, saved=run.restore(), looks=LOOKS)
    for step in loop:
        optimizer.param_groups[0]["lr"] = config.lr * (1 - step / config.steps)
        images = pixels[batches[step]].to(run.device).float()
        noise = torch.randn(len(images), config.latent, device=run.device)
        with compat.autocast(run.device, dtype):
            loss = total(losses(model, images, config, noise), config.beta).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loop.average(train_loss=loss)
        if loop.time_to_look:
            loop.log(**{f"test_{name}": value for name, value in evaluate(model, test, config, run).items()})
            loop.keep((255 * invent(model, SHOWN, config, run)).byte().squeeze(1))
            rows = [f"step {step:,}" for step in loop.look_steps]
            loop.figure("progress", plots.gallery(torch.cat(loop.looks).numpy(), SHOWN, rows),
                        "Invented images, always from the same random numbers.")  # fmt: skip


@torch.no_grad()
def evaluate(model: nn.Module, test: torch.Tensor, config: Config, run: Run) -> dict[str, float]:
    """The mean over `test` of each part of the loss and, for vae and pixelcnn, of their sum, "nats"."""
    generator = torch.Generator().manual_seed(0)
    parts = []
    for part in test.split(500):
        noise = torch.randn(len(part), config.latent, generator=generator).to(run.device)
        parts.append(losses(model, part.to(run.device).float(), config, noise))
    found = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    if config.model == "vae":
        found = {"nats": total(found), **found}
    return {name: float(values.mean()) for name, values in found.items()}


# ---- images ----


@torch.no_grad()
def invent(model: nn.Module, count: int, config: Config, run: Run) -> torch.Tensor:
    """`count` new images as probabilities, (count, 1, 28, 28) on the CPU, always from the same random numbers."""
    generator = torch.Generator().manual_seed(run.seed)
    if config.model == "pixelcnn":
        return model.continue_drawing(torch.zeros(count, 1, SIDE, SIDE, device=run.device), 0, generator).cpu()
    z = torch.randn(count, config.latent, generator=generator)
    return torch.sigmoid(model.decode(z.to(run.device))).cpu()


def to_grey(probabilities: torch.Tensor) -> np.ndarray:
    """(N, 1, 28, 28) in 0..1 as uint8 0..255 (N, 28, 28)."""
    return (255 * probabilities.float().cpu()).byte().squeeze(1).numpy()


@torch.no_grad()
def show_copies(run: Run, model: Autoencoder, test: torch.Tensor, labels: np.ndarray, config: Config) -> None:
    """Originals and copies, walks from one code to another, and the map of all codes where L is 2."""
    originals = test[: 2 * SHOWN].to(run.device).float()
    codes, _ = model.encode(originals)
    copies = torch.sigmoid(model.decode(codes))
    pairs = torch.cat([originals[:SHOWN], copies[:SHOWN], originals[SHOWN:], copies[SHOWN:]])
    run.figure("copies", plots.gallery(to_grey(pairs), SHOWN, ["original", "copy"] * 2),
               f"Test images, and what is left of them after {config.latent} numbers.")  # fmt: skip
    share = torch.linspace(0, 1, SHOWN, device=run.device).view(1, SHOWN, 1)
    ends = codes[:10].view(5, 2, 1, -1)
    walk = ((1 - share) * ends[:, 0] + share * ends[:, 1]).flatten(0, 1)  # (5 * SHOWN, L)
    run.figure("walk", plots.gallery(to_grey(torch.sigmoid(model.decode(walk))), SHOWN),
               "From the code of one test image to that of another, in ten steps.")  # fmt: skip
    if config.latent == 2:
        codes, _ = model.encode(test.to(run.device).float())
        figure, axes = plots.figure(width=5.5, height=5)
        points = axes[0, 0].scatter(*codes.cpu().numpy().T, c=labels, cmap="tab10", s=5)
        figure.colorbar(points)
        run.figure("map", figure, "The codes of the test images, coloured by digit: the network was not told which.")


def compare_gradients(run: Run, model: Autoencoder, images: torch.Tensor, config: Config) -> dict[str, float]:
    """How much the gradient of the code's mean scatters, for both ways through a random draw; deviation over 100."""
    mean, log_variance = (part.detach() for part in model.encode(images))
    generator, scatter = torch.Generator().manual_seed(0), {}
    for kind in ("pathwise", "score"):
        found = []
        for _ in range(100):
            leaf = mean.clone().requires_grad_(True)
            noise = torch.randn(mean.shape, generator=generator).to(mean.device)
            f = lambda z: negative_log_likelihood(model.decode(z), images)  # noqa: E731
            found += torch.autograd.grad(expectation(kind, f, leaf, log_variance, noise).sum(), leaf)
        scatter[kind] = float(torch.stack(found).std(dim=0).mean())
    run.table("gradients", ["estimator", "deviation"], [[kind, f"{value:.2f}"] for kind, value in scatter.items()],
              f"How much the gradient of one number of the code scatters from draw to draw (100 draws, "
              f"{len(images)} images): noise that the encoder must average away.")  # fmt: skip
    return scatter


def main(config: Config, run: Run) -> dict[str, float]:
    """Train one of the three, measure it on the test images, and show copies, walks and inventions."""
    pixels, test, labels = read(run.dataset("mnist"))
    if len(pixels) < config.batch_size or len(test) < 2 * SHOWN:
        raise UserError(f"the lab needs {config.batch_size} training and {2 * SHOWN} test images")
    model = build(config).to(run.device)
    before = evaluate(model, test, config, run)
    train(model, pixels, test, config, run)

    after = evaluate(model, test, config, run)
    rows = [[name, f"{before[name]:.1f}", f"{value:.1f}"] for name, value in after.items()]
    if "nats" in after:
        bits = [found["nats"] / SIDE**2 / np.log(2) for found in (before, after)]
        rows.append(["bits per pixel", *(f"{value:.3f}" for value in bits)])
    run.table("measures", ["nats per image", "before training", "after"], rows,
              f"Means over {len(test):,} test images of 0 and 1; lower is better. A fair coin for each pixel costs "
              f"{SIDE**2 * np.log(2):.0f} nats, 1 bit per pixel.")  # fmt: skip
    invented = to_grey(invent(model, 50, config, run))
    meaning = {"ae": "Random codes, decoded. Nothing taught the plain autoencoder what lies between its codes.",
               "vae": "Random codes from N(0, 1), decoded: brightness is the probability of each pixel.",
               "pixelcnn": "Drawn pixel by pixel from the top left; every pixel is a coin thrown."}  # fmt: skip
    run.figure("inventions", plots.gallery(invented, SHOWN), meaning[config.model])
    if config.model == "pixelcnn":
        some = test[:SHOWN].to(run.device).float()
        endings = [model.continue_drawing(some, SIDE // 2, torch.Generator().manual_seed(k)) for k in range(3)]
        given = torch.cat([some[:, :, : SIDE // 2], torch.full_like(some[:, :, SIDE // 2 :], 0.5)], dim=2)
        run.figure("endings", plots.gallery(to_grey(torch.cat([some, given, *endings])), SHOWN,
                                            ["original", "given", "drawn", "drawn", "drawn"]),
                   "The upper half is given, the lower half drawn: three times, each time another one.")  # fmt: skip
    else:
        show_copies(run, model, test, labels, config)
    if config.model == "vae":
        compare_gradients(run, model, test[:100].to(run.device).float(), config)
    return after


if __name__ == "__main__":
    start(main, Config, PRESETS)
