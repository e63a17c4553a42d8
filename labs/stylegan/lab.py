"""StyleGAN, small: a generator that is told the style of every size of detail, instead of being fed a random image.

    ./inv lab stylegan                                  digits, 32 x 32
    ./inv lab stylegan -- --orthogonal 0.0001           with BigGAN's orthogonal regularisation
    ./inv lab stylegan -- --r1 0                        a failure: without its penalty the discriminator runs away

You learn the mapping network, style modules and noise (section 87 of the notes), and from BigGAN the truncation trick,
which buys quality with variety, and orthogonal regularisation.
"""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import torch

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
from labs.stylegan.config import PRESETS, Config
from labs.stylegan.losses import discriminator_loss, generator_loss, orthogonal_penalty, r1_penalty
from labs.stylegan.models import LAYERS, Discriminator, Generator, same_for_all_layers

# Shapes: N images, C channels, D numbers in z and w. Data are uint8 (N, 32, 32, C), networks take (N, C, 32, 32).


JUDGED, LOOKS, SHOWN = 1000, 8, 10
PSIS = (0.0, 0.5, 0.7, 1.0)


# ---- data ----


def read(folder: Path, dataset: str) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Training images uint8 (N, 32, 32, C), their labels int64 (N,), and the test images."""
    if dataset == "mnist":
        (pixels, labels), (test, _) = (mnist.load(folder, split) for split in ("train", "test"))
        pixels, test = (np.pad(part, ((0, 0), (2, 2), (2, 2)), "constant")[..., None] for part in (pixels, test))
    else:
        (pixels, labels), (test, _) = (cifar.load(folder, dataset, split) for split in ("train", "test"))
    return torch.from_numpy(pixels), torch.from_numpy(labels).long(), torch.from_numpy(test)


def to_network(pixels: torch.Tensor) -> torch.Tensor:
    """uint8 (N, 32, 32, C) as float32 -1..1 (N, C, 32, 32)."""
    return pixels.permute(0, 3, 1, 2).contiguous().float() / 127.5 - 1


def to_pixels(images: torch.Tensor) -> torch.Tensor:
    """The way back, on the CPU."""
    return ((images + 1) * 127.5).round().clamp(0, 255).byte().permute(0, 2, 3, 1).contiguous().cpu()


# ---- training ----


def random_styles(generator: Generator, config: Config, device: torch.device) -> torch.Tensor:
    """Styles (N, LAYERS, D) of a batch: for a share of them the layers from a random one on have another w."""
    w = generator.mapping(torch.randn(2 * config.batch_size, config.latent, device=device))
    first, second = same_for_all_layers(w[: config.batch_size]), same_for_all_layers(w[config.batch_size :])
    change_at = torch.randint(1, LAYERS, (config.batch_size, 1), device=device)
    change_at[torch.rand(config.batch_size, 1, device=device) >= config.mixing] = LAYERS
    changed = torch.arange(LAYERS, device=device) >= change_at  # (N, LAYERS)
    return torch.where(changed.unsqueeze(2), second, first)


@torch.no_grad()
def update_average(average: Generator, generator: Generator, keep: float) -> None:
    """The weights with which images are shown and measured: a mean over time, which shakes less."""
    for kept, new in zip(average.parameters(), generator.parameters()):
        kept.mul_(keep).add_((1 - keep) * new)


def train(generator: Generator, average: Generator, discriminator: Discriminator, pixels: torch.Tensor, judge: Judge,
          test_features: np.ndarray, config: Config, run: Run) -> None:  # fmt: skip
    """Train in place, and show and measure the same random vectors on the way."""
    dtype, reason = compat.fast_dtype(run.device)
    say(f"arithmetic: {str(dtype).split('.')[1]} ({reason}); the R1 penalty in float32")
    rest = [p for name, p in generator.named_parameters() if not name.startswith("mapping")]
    groups = [{"params": rest, "lr": config.lr}]
    if config.mapping_layers:
        groups.append({"params": list(generator.mapping.parameters()), "lr": 0.1 * config.lr})
    optimizer_g = torch.optim.Adam(groups, betas=(0.0, 0.99))
    optimizer_d = torch.optim.Adam(discriminator.parameters(), lr=config.lr, betas=(0.0, 0.99))
    parts = {"generator": generator, "average": average, "discriminator": discriminator, "optimizer_g": optimizer_g,
             "optimizer_d": optimizer_d}  # fmt: skip
    batches = Batches(len(pixels), config.batch_size, run.seed)
    loop = Loop(run, config.steps, parts, saved=run.restore(), looks=LOOKS)
    for step in loop:
        # The discriminator's move: up the gradient of E log D(x) + E log(1 - D(G(styles))), its slope at x held down.
        real = to_network(pixels[batches[step]].to(run.device))
        with compat.autocast(run.device, dtype):
            with torch.no_grad():
                fake = generator(random_styles(generator, config, run.device))
            real_logits, fake_logits = discriminator(real), discriminator(fake)
        loss_d = discriminator_loss(real_logits, fake_logits)
        r1 = r1_penalty(discriminator, real) if config.r1 and step % config.r1_every == 0 else None
        descend(optimizer_d, loss_d if r1 is None else loss_d + config.r1 * config.r1_every * r1)
        # The generator's move: up the gradient of E log D(G(styles)), its filters kept unlike.
        with compat.autocast(run.device, dtype):
            logits = discriminator(generator(random_styles(generator, config, run.device)))
        loss_g = generator_loss(logits)
        penalised = loss_g
        if config.orthogonal:
            penalised = loss_g + config.orthogonal * orthogonal_penalty(conv.weight for conv in generator.convs)
        descend(optimizer_g, penalised)
        update_average(average, generator, config.average)
        loop.average(discriminator_loss=loss_d, generator_loss=loss_g, real_logit=real_logits.mean(),
                     fake_logit=fake_logits.mean(), r1=r1)  # fmt: skip
        if loop.time_to_look:
            drawn = draw(average, same_for_all_layers(fixed_w(average, config, run)))
            measured = measure(drawn, judge, test_features)
            loop.log(kid=measured["kid"], class_entropy=measured["class_entropy"])
            show_progress(loop, drawn)


def descend(optimizer: torch.optim.Optimizer, loss: torch.Tensor) -> None:
    """One step of `optimizer` against the gradient of `loss`."""
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def show_progress(loop: Loop, drawn: torch.Tensor) -> None:
    """What the fixed vectors became now, uint8 (JUDGED, 32, 32, C), below what they were at the looks before."""
    loop.keep(drawn[:SHOWN])
    rows = [f"step {step:,}" for step in loop.look_steps]
    loop.figure("progress", plots.gallery(plain(torch.cat(loop.looks)), SHOWN, rows),
                "The same random vectors all through: a column is one vector.")  # fmt: skip


# ---- measures and images ----


@torch.no_grad()
def fixed_w(generator: Generator, config: Config, run: Run) -> torch.Tensor:
    """w (JUDGED, D) of the same random vectors in every look and every measure."""
    z = torch.randn(JUDGED, config.latent, generator=torch.Generator().manual_seed(run.seed))
    return generator.mapping(z.to(run.device))


@torch.no_grad()
def draw(generator: Generator, styles: torch.Tensor, new_noise: bool = False) -> torch.Tensor:
    """Images uint8 (N, 32, 32, C) from styles (N, LAYERS, D), with the fixed noise or with new noise."""
    was_training = generator.training
    generator.train(new_noise)
    images = torch.cat([to_pixels(generator(part)) for part in styles.split(250)])
    generator.train(was_training)
    return images


def measure(drawn: torch.Tensor, judge: Judge, test_features: np.ndarray) -> dict[str, float]:
    """How far `drawn` are from the test images, how evenly the classes appear, and how sure the judge is of them."""
    features, probabilities = judge.look(drawn)
    return {"kid": kid(features, test_features),
            "class_entropy": class_entropy(probabilities.argmax(axis=1), probabilities.shape[1]),
            "confidence": float(probabilities.max(axis=1).mean())}  # fmt: skip


def plain(pixels: torch.Tensor) -> np.ndarray:
    """For plots: uint8 (N, 32, 32, 3), or (N, 32, 32) where the images are grey."""
    return (pixels.squeeze(3) if pixels.shape[3] == 1 else pixels).numpy()


@torch.no_grad()
def truncate(w: torch.Tensor, mean: torch.Tensor, psi: float) -> torch.Tensor:
    """w drawn towards the mean of all w: psi 1 leaves it, 0 makes the one mean image of all."""
    return mean + psi * (w - mean)


def show_truncation(run: Run, generator: Generator, w: torch.Tensor, mean: torch.Tensor, judge: Judge,
                    test_features: np.ndarray) -> None:  # fmt: skip
    """The same vectors at every psi, and what it does to the measures."""
    by_psi = {psi: draw(generator, same_for_all_layers(truncate(w, mean, psi))) for psi in PSIS}
    sheet = torch.cat([images[:SHOWN] for images in by_psi.values()])
    run.figure("truncation", plots.gallery(plain(sheet), SHOWN, [f"ψ = {psi:g}" for psi in PSIS]),
               "The truncation trick: the same vectors, drawn towards the mean style; 0 is the mean.")  # fmt: skip
    rows = []
    for psi, images in by_psi.items():
        found = measure(images, judge, test_features)
        rows.append([f"{psi:g}", *(f"{value:.3f}" for value in found.values())])
    run.table("truncation", ["ψ", "KID", "class entropy", "confidence"], rows,
              f"Of {JUDGED:,} images at each ψ. Confidence: the mean probability of the judge's guess.")  # fmt: skip


def show_mixing(run: Run, generator: Generator, w: torch.Tensor) -> None:
    """Rows give the coarse styles (4 x 4 and 8 x 8), columns the finer ones; and one style with new noise."""
    coarse, fine, split = w[:6], w[6:12], 3
    mixed = same_for_all_layers(coarse).repeat_interleave(6, dim=0).clone()  # (36, LAYERS, D)
    mixed[:, split:] = same_for_all_layers(fine).repeat(6, 1, 1)[:, split:]
    drawn, sources, tops = (draw(generator, styles)
                            for styles in (mixed, same_for_all_layers(coarse), same_for_all_layers(fine)))  # fmt: skip
    sheet = [torch.full_like(tops[:1], 255), tops]
    for k in range(6):
        sheet += [sources[k : k + 1], drawn[6 * k : 6 * k + 6]]
    run.figure("mixing", plots.gallery(plain(torch.cat(sheet)), 7),
               "Style mixing: the coarse styles of the left image with the fine styles of the top one.")  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        same = draw(generator, same_for_all_layers(w[:3]).repeat_interleave(SHOWN, dim=0), new_noise=True)
    run.figure("noise", plots.gallery(plain(same), SHOWN), "A row is one style with ten times new noise.")


def main(config: Config, run: Run) -> dict[str, float]:
    """Train, measure, and show truncation, mixing and noise. Returns KID and evenness of classes at ψ = 1."""
    pixels, labels, test = read(run.dataset(config.dataset), config.dataset)
    if len(pixels) < config.batch_size or len(test) < JUDGED:
        raise UserError(f"the lab needs {config.batch_size} training and {JUDGED} test images")
    generator = Generator(pixels.shape[3], config.width, config.latent, config.mapping_layers).to(run.device)
    discriminator = Discriminator(pixels.shape[3], config.width).to(run.device)
    average = copy.deepcopy(generator).eval()
    judge = train_judge(pixels, labels, run.device)
    test_features, _ = judge.look(test[:JUDGED])
    before = measure(draw(average, same_for_all_layers(fixed_w(average, config, run))), judge, test_features)
    train(generator, average, discriminator, pixels, judge, test_features, config, run)

    w = fixed_w(average, config, run)
    drawn = draw(average, same_for_all_layers(w))
    after = measure(drawn, judge, test_features)
    real = measure(pixels[-JUDGED:], judge, test_features)
    rows = [[name, *(f"{value:.3f}" for value in found.values())]
            for name, found in (("before training", before), ("after training", after),
                                ("training images, the best possible", real))]  # fmt: skip
    run.table("measures", ["images", "KID", "class entropy", "confidence"], rows,
              f"Each from {JUDGED:,} images against {JUDGED:,} test images, by a small classifier.")  # fmt: skip
    sheet = torch.cat([test[:50], drawn[:50]])
    run.figure("samples", plots.gallery(plain(sheet), SHOWN, ["real", "", "", "", "", "generated", "", "", "", ""]),
               "Above real test images, below generated ones.")  # fmt: skip
    with torch.no_grad():
        z = torch.randn(10_000, config.latent, generator=torch.Generator().manual_seed(run.seed + 1))
        mean = average.mapping(z.to(run.device)).mean(dim=0, keepdim=True)
    show_truncation(run, average, w, mean, judge, test_features)
    show_mixing(run, average, w)
    return {"kid": after["kid"], "class_entropy": after["class_entropy"]}


if __name__ == "__main__":
    start(main, Config, PRESETS)
