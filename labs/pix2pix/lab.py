"""pix2pix: a conditional GAN that turns the labels of a house front into a photograph, or the other way round.

    ./inv lab pix2pix                             from labels to a photograph
    ./inv lab pix2pix -- --direction to-labels    from a photograph to labels
    ./inv lab pix2pix -- --preset l1              without the discriminator: see it blur
    ./inv lab pix2pix -- --translate my.png       an image, or a folder of them, through the last trained network

You learn what a conditional GAN is, why L1 alone blurs, what the skips of a U-Net carry, and how a discriminator that
sees only patches makes images sharp (section 87 of the notes).
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from labkit.base.console import say
from labkit.base.errors import UserError
from labkit.data import folders
from labkit.data.image_files import read_own
from labkit.runs import compat, plots
from labkit.runs.checkpoints import latest_trained, load_checkpoint
from labkit.runs.loop import Loop
from labkit.runs.options import from_record
from labkit.runs.run import Run
from labkit.runs.start import start
from labs.pix2pix import data
from labs.pix2pix.config import PRESETS, Config
from labs.pix2pix.models import PatchGAN, Segmenter, UNet

# Shapes: N pairs, S pixels a side. Images are uint8 (N, S, S, 3) RGB; networks take float32 -1..1 (N, 3, S, S).


LAYERS = {16: 1, 34: 2, 70: 3}  # of the discriminator, by the patch that they see
LOOKS, SHOWN = 8, 4


# ---- losses ----


def discriminator_loss(real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
    """Half the cross-entropy of all patches, with 1 for the true pair and 0 for the drawn one."""
    return 0.5 * (F.softplus(-real).mean() + F.softplus(fake).mean())


def generator_loss(fake: torch.Tensor | None, drawn: torch.Tensor, true: torch.Tensor, config: Config) -> torch.Tensor:
    """-log σ(d) over the patches, and the distance from the true image. `fake` is None without a discriminator."""
    distance = F.l1_loss(drawn, true) if config.reconstruction == "l1" else F.mse_loss(drawn, true)
    loss = config.reconstruction_weight * distance
    return loss if fake is None else loss + config.gan_weight * F.softplus(-fake).mean()


# ---- training ----


def train(generator: UNet, discriminator: PatchGAN, photos: torch.Tensor, labels: torch.Tensor,
          shown: tuple[torch.Tensor, torch.Tensor], config: Config, run: Run) -> None:  # fmt: skip
    """Train both in place and show, again and again, what becomes of the `shown` pairs (given, true)."""
    dtype, reason = compat.fast_dtype(run.device)
    say(f"arithmetic: {str(dtype).split('.')[1]} ({reason})")
    optimizer_g = torch.optim.Adam(generator.parameters(), lr=config.lr, betas=(0.5, 0.999))
    optimizer_d = torch.optim.Adam(discriminator.parameters(), lr=config.lr, betas=(0.5, 0.999))
    parts = {"generator": generator, "discriminator": discriminator, "optimizer_g": optimizer_g,
             "optimizer_d": optimizer_d}  # fmt: skip
    loop = Loop(run, config.steps, parts, saved=run.restore(), facts={"sample": run.sample}, looks=LOOKS)
    for step in loop:
        given, true = (part.to(run.device) for part in batch(photos, labels, step, config, run.seed))
        loss_d = real_logit = fake_logit = judged = None
        with compat.autocast(run.device, dtype):
            drawn = generator(given)
        # The discriminator's move: up the gradient of E log D(given, true) + E log(1 - D(given, G(given))), halved.
        if config.gan_weight:
            with compat.autocast(run.device, dtype):
                real, fake = discriminator(given, true), discriminator(given, drawn.detach())
            loss_d, real_logit, fake_logit = discriminator_loss(real, fake), real.mean(), fake.mean()
            descend(optimizer_d, loss_d)
            with compat.autocast(run.device, dtype):
                judged = discriminator(given, drawn)
        # The generator's move: up the gradient of E log D(given, G(given)), and down that of the distance.
        loss_g = generator_loss(judged, drawn, true, config)
        descend(optimizer_g, loss_g)
        loop.average(discriminator_loss=loss_d, generator_loss=loss_g, real_logit=real_logit, fake_logit=fake_logit)
        if loop.time_to_look:
            loop.keep(draw(generator, shown[0], run))
            rows = ["given", *(f"step {step:,}" for step in loop.look_steps), "true"]
            loop.figure("progress", plots.gallery(torch.cat([shown[0], *loop.looks, shown[1]]).numpy(), len(shown[0]),
                        rows), "Test pairs all through the training: given, drawn, true.")  # fmt: skip


def descend(optimizer: torch.optim.Optimizer, loss: torch.Tensor) -> None:
    """One step of `optimizer` against the gradient of `loss`."""
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def batch(photos: torch.Tensor, labels: torch.Tensor, step: int, config: Config, seed: int
          ) -> tuple[torch.Tensor, torch.Tensor]:  # fmt: skip
    """What is given and what is true in this step, float32 (N, 3, S, S); it follows from seed and step alone."""
    random = torch.Generator().manual_seed(1_000_003 * (seed + 1) + step)
    chosen = torch.randint(len(photos), (config.batch_size,), generator=random)
    pair = [data.to_network(part) for part in data.jitter(photos[chosen], labels[chosen], config.size, random)]
    return (pair[1], pair[0]) if config.direction == "to-photo" else (pair[0], pair[1])


@torch.no_grad()
def draw(generator: UNet, given: torch.Tensor, run: Run) -> torch.Tensor:
    """uint8 (N, S, S, 3) in and out."""
    return torch.cat([data.to_pixels(generator(data.to_network(part).to(run.device))) for part in given.split(16)])


# ---- measures ----


def train_segmenter(photos: torch.Tensor, labels: torch.Tensor, run: Run) -> Segmenter:
    """The judge, which learns to name the pixels of true photographs, always from the same start in the same order."""
    with torch.random.fork_rng(devices=[]):  # the generator's own random numbers stay what they are
        torch.default_generator.manual_seed(0)
        judge = Segmenter(len(data.COLOURS))
    judge.to(run.device).train()
    optimizer = torch.optim.Adam(judge.parameters(), lr=0.01)
    random = torch.Generator().manual_seed(0)
    for _ in range(120):
        chosen = torch.randint(len(photos), (8,), generator=random)
        logits = judge(data.to_network(photos[chosen]).to(run.device))
        loss = F.cross_entropy(logits, data.classes_of(labels[chosen]).to(run.device))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return judge.eval()


@torch.no_grad()
def label_accuracy(judge: nn.Module, photos: torch.Tensor, labels: torch.Tensor, run: Run) -> float:
    """The share of pixels in which the judge reads the given label from a photograph, uint8 (N, S, S, 3) both."""
    guesses = torch.cat([judge(data.to_network(part).to(run.device)).argmax(dim=1) for part in photos.split(16)])
    return float((guesses.cpu() == data.classes_of(labels)).float().mean())


def sharpness(pixels: torch.Tensor) -> float:
    """The mean difference of neighbouring pixels, 0..255: what a blurred image lacks."""
    x = pixels.float()
    return float((x[:, 1:] - x[:, :-1]).abs().mean() + (x[:, :, 1:] - x[:, :, :-1]).abs().mean()) / 2


# ---- images of your own ----


def translate(config: Config, run: Run) -> dict[str, float]:
    """Put the image or images `config.translate` through a trained network."""
    chosen = config.checkpoint or latest_trained("pix2pix", f"no network has been trained {config.direction} yet",
                                                 f"./inv lab pix2pix -- --direction {config.direction}",
                                                 direction=config.direction)  # fmt: skip
    saved = load_checkpoint(chosen, "pix2pix", {"direction": config.direction})
    try:
        trained = from_record(Config, saved["config"])
        generator = UNet(trained.size, trained.width, trained.skips).to(run.device)
        generator.load_state_dict(saved["state"]["generator"])
    except (TypeError, KeyError, RuntimeError):
        raise UserError(f"{chosen} was trained by another version of this lab", "./inv lab pix2pix") from None
    skipped: list[str] = []
    files = folders.own_files(Path(str(config.translate)))
    own = [(name, data.middle(image, trained.size)) for name, image in read_own(files, skipped)]
    given = torch.stack([pixels for _, pixels in own])
    drawn = draw(generator, given, run)
    folder = run.folder / "translated"
    folder.mkdir()
    for (name, _), pixels in zip(own, drawn.numpy()):
        cv2.imwrite(str(folder / f"{name}.png"), np.ascontiguousarray(pixels[:, :, ::-1]))  # uint8 0..255 HWC BGR
    say(f"translated: {len(own)} image{'s' if len(own) > 1 else ''} into {folder.name}/ of the run, by {chosen}")
    if saved["state"]["sample"]:
        warning = "This network was trained on the sample of synthetic house fronts: it knows nothing of real ones."
        say(warning)
        run.note(warning)
    sheet = torch.stack([given[:8], drawn[:8]], dim=1).flatten(0, 1)
    run.figure("translated", plots.gallery(sheet.numpy(), 2, tops=["yours", "translated"]), "Your images.")
    return {"images": len(own), "skipped": len(skipped)}


# ---- the whole run ----


def main(config: Config, run: Run) -> dict[str, float]:
    """Train, measure on the test pairs and show them; or translate. Returns the measures of what was drawn."""
    if config.translate:
        return translate(config, run)
    folder = run.dataset("facades")
    margin = config.size // 8
    photos, labels = data.read_pairs(folder, "train", config.size + margin)
    test_photos, test_labels = data.read_pairs(folder, "test", config.size)
    to_photo = config.direction == "to-photo"
    given, true = (test_labels, test_photos) if to_photo else (test_photos, test_labels)
    middle = slice(margin // 2, margin // 2 + config.size)
    judge = train_segmenter(photos[:, middle, middle], labels[:, middle, middle], run)
    generator = UNet(config.size, config.width, config.skips).to(run.device)
    discriminator = PatchGAN(config.width, LAYERS[config.patch]).to(run.device)

    def measure(drawn: torch.Tensor) -> dict[str, float]:
        if to_photo:
            accuracy = label_accuracy(judge, drawn, test_labels, run)
        else:
            accuracy = float((data.classes_of(drawn) == data.classes_of(test_labels)).float().mean())
        distance = float((drawn.float() - true.float()).abs().mean()) / 127.5
        return {"label_accuracy": accuracy, "l1": distance, "sharpness": sharpness(drawn) / sharpness(true)}

    before = measure(draw(generator, given, run))
    train(generator, discriminator, photos, labels, (given[:SHOWN], true[:SHOWN]), config, run)
    after = measure(draw(generator, given, run))
    found = {"before training": before, "after training": after, "true": measure(true)}
    rows = [[name, *(f"{value:.3f}" for value in values.values())] for name, values in found.items()]
    run.table("measures", ["images", "label accuracy", "L1", "sharpness"], rows,
              f"Means over {len(given)} test pairs. Label accuracy: the share of pixels whose label "
              + ("a small segmentation network, trained on true photographs, reads from the drawn one. " if to_photo
                 else "is the right one. ")
              + "L1 on the scale -1..1. Sharpness: differences of neighbouring pixels, as a share of the true ones.",
              )  # fmt: skip
    return after


if __name__ == "__main__":
    start(main, Config, PRESETS)
