"""CycleGAN: turn apples into oranges and back, from two folders of images of which no two belong together.

    ./inv lab cyclegan                                   128 x 128 pixels, for a weak computer
    ./inv lab cyclegan -- --preset paper                 256 x 256, 9 blocks, 200 epochs: wants a GPU
    ./inv lab cyclegan -- --translate FOLDER             your own images, by the last trained generator
    ./inv lab cyclegan -- --dataset cyclegan --split horse2zebra      another pair

You learn how two generators and two discriminators train each other (sections 87-93 of the notes), what each loss asks
for, how such a training fails, and how to measure images that have no right answer.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Iterator

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Subset

from labkit.base.console import say
from labkit.base.errors import UserError
from labkit.base.paths import shown
from labkit.data import folders
from labkit.data.image_files import read_own
from labkit.runs import compat
from labkit.runs.checkpoints import latest_trained, load_checkpoint
from labkit.runs.loop import Loop
from labkit.runs.options import from_record
from labkit.runs.run import Run
from labkit.runs.start import start
from labs.cyclegan import measure, results
from labs.cyclegan.config import PRESETS, Config
from labs.cyclegan.data import ImagePool, UnpairedImages, read_domain, to_bytes, to_float
from labs.cyclegan.models import Discriminator, Generator

# Shapes: N images of a batch of S x S pixels; real, fake and cycled images are float32 -1..1, (N, 3, S, S).


LOAD = 286 / 256  # images are read this much larger than the crops, as in the paper
PAPER_EPOCHS = 200
LOG_EVERY = 20  # steps
LOSSES = ("generator_adversarial", "discriminator_adversarial", "cycle_loss", "identity_loss")


# ---- networks and losses ----


class CycleGAN(nn.Module):
    """The four networks. `ab` translates from A to B; `a` says whether an image is a real A."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.generator_ab = Generator(config.width, config.blocks)
        self.generator_ba = Generator(config.width, config.blocks)
        self.discriminator_a = Discriminator(config.discriminator_width)
        self.discriminator_b = Discriminator(config.discriminator_width)


def verdict_loss(logits: torch.Tensor, real: bool, objective: str) -> torch.Tensor:
    """What a discriminator minimises on images that are all `real`, or all translated.

    least-squares: (D(x) - 1)² on real ones, D(x)² on others. Source: Mao et al., Least Squares GAN (2017), section 3.
    minimax: -log D(x) and -log(1 - D(x)). Source: Goodfellow et al., Generative Adversarial Nets (2014), equation 1.
    """
    logits = logits.float()
    if objective == "least-squares":
        return (logits - float(real)).square().mean()
    return F.softplus(-logits if real else logits).mean()  # -log sigmoid(x) is softplus(-x)


def fooling_loss(logits: torch.Tensor, objective: str) -> torch.Tensor:
    """What a generator minimises: that its images are taken for real ones.

    minimax is log(1 - D(x)), flat where D(x) is near 0: a discriminator that wins leaves no gradient to learn from.
    """
    return verdict_loss(logits, True, objective) if objective == "least-squares" else -F.softplus(logits.float()).mean()


def generator_pass(gan: CycleGAN, real_a: torch.Tensor, real_b: torch.Tensor, config: Config,
                   dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:  # fmt: skip
    """One graph through both generators: ([adversarial, cycle, identity] losses, fake_a, fake_b).

    Each loss is the sum over both directions, before its weight.
    """
    with compat.autocast(real_a.device, dtype):
        if config.identity_weight:
            # An image that is an orange already should stay as it is. Both kinds go through a generator in one pass,
            # which is faster and the same, since each image is normalised by itself.
            fake_b, same_b = gan.generator_ab(torch.cat([real_a, real_b])).chunk(2)
            fake_a, same_a = gan.generator_ba(torch.cat([real_b, real_a])).chunk(2)
        else:
            fake_b, fake_a, same_a, same_b = gan.generator_ab(real_a), gan.generator_ba(real_b), real_a, real_b
        cycled_a, cycled_b = gan.generator_ba(fake_b), gan.generator_ab(fake_a)
        verdicts = gan.discriminator_b(fake_b), gan.discriminator_a(fake_a)  # (N, 1, S/8-2, S/8-2) each
    adversarial = sum(fooling_loss(verdict, config.objective) for verdict in verdicts)
    cycle = F.l1_loss(cycled_a.float(), real_a) + F.l1_loss(cycled_b.float(), real_b)
    identity = F.l1_loss(same_a.float(), real_a) + F.l1_loss(same_b.float(), real_b)
    return torch.stack([adversarial, cycle, identity]), fake_a.detach().float(), fake_b.detach().float()


def discriminator_loss(discriminator: Discriminator, real: torch.Tensor, fake: torch.Tensor, config: Config,
                       dtype: torch.dtype) -> torch.Tensor:  # fmt: skip
    """The mean of what it gets wrong on real and on translated images, judged in one pass."""
    with compat.autocast(real.device, dtype):
        verdicts = discriminator(torch.cat([real, fake])).chunk(2)
    return sum(verdict_loss(v, is_real, config.objective) for v, is_real in zip(verdicts, (True, False))) / 2


# ---- training ----


class Trainer:
    """The four networks with their optimizers and pools; `step` trains all of them once."""

    def __init__(self, config: Config, device: torch.device, dtype: torch.dtype) -> None:
        self.config, self.dtype, self.device = config, dtype, device
        self.gan = CycleGAN(config).to(device)
        generators = [*self.gan.generator_ab.parameters(), *self.gan.generator_ba.parameters()]
        self.discriminators = [*self.gan.discriminator_a.parameters(), *self.gan.discriminator_b.parameters()]
        # betas: with the usual 0.9 the optimizer follows where the other network was ten steps ago (DCGAN, section 4)
        self.optimizers = [torch.optim.Adam(parameters, lr=config.lr, betas=(0.5, 0.999), **compat.FUSED)
                           for parameters in (generators, self.discriminators)]  # fmt: skip
        self.pools = ImagePool(config.pool), ImagePool(config.pool)  # of fake A, of fake B

    def set_lr(self, step: int, total: int) -> float:
        """Constant in the first half, then down to 0 in a straight line; returns it."""
        lr = self.config.lr * min(1.0, 2 * (1 - step / total))
        for optimizer in self.optimizers:
            optimizer.param_groups[0]["lr"] = lr
        return lr

    def step(self, real_a: torch.Tensor, real_b: torch.Tensor, random: np.random.RandomState) -> torch.Tensor:
        """Train the generators, then the discriminators. Returns the four losses in the order of LOSSES, (4)."""
        config, (optimizer_g, optimizer_d) = self.config, self.optimizers
        # The generators' move: down the gradient of L_GAN(G, D_B) + L_GAN(F, D_A) + λ L_cycle + λ_id L_identity.
        for parameter in self.discriminators:
            parameter.requires_grad_(False)  # the generators learn from the verdicts, which do not change by that
        losses, fake_a, fake_b = generator_pass(self.gan, real_a, real_b, config, self.dtype)
        optimizer_g.zero_grad()
        (losses[0] + config.cycle_weight * losses[1] + config.identity_weight * losses[2]).backward()
        optimizer_g.step()

        # The discriminators' move: each up the gradient of its own E log D(real) + E log(1 - D(translated)), or less
        # squared error; judged are translations of now and of before.
        for parameter in self.discriminators:
            parameter.requires_grad_(True)
        optimizer_d.zero_grad()
        wrong = torch.zeros((), device=self.device)
        for discriminator, pool, real, fake in ((self.gan.discriminator_a, self.pools[0], real_a, fake_a),
                                                (self.gan.discriminator_b, self.pools[1], real_b, fake_b)):  # fmt: skip
            loss = discriminator_loss(discriminator, real, pool.exchange(fake, random), config, self.dtype)
            loss.backward()
            wrong += loss.detach()
        optimizer_d.step()
        return torch.stack([losses[0], wrong, losses[1], losses[2]]).detach()


def batches(data: UnpairedImages, batch_size: int, step: int) -> Iterator[list[torch.Tensor]]:
    """Batches (N, 3, S, S) uint8 of A and of B without end, from the one that `step` begins with."""
    per_epoch = len(data) // batch_size
    while True:
        data.set_epoch(step // per_epoch)
        done = step % per_epoch * batch_size
        for batch in DataLoader(Subset(data, range(done, len(data))), batch_size, drop_last=True):
            step += 1
            yield batch


def train(trainer: Trainer, data: UnpairedImages, test: list[torch.Tensor], judge: measure.Judge,
          facts: dict[str, Any], run: Run) -> None:  # fmt: skip
    """Train, and show and measure translations of some of the `test` images on the way."""
    config = trainer.config
    total = config.steps or PAPER_EPOCHS * (len(data) // config.batch_size)
    show_every = max(1, total // config.samples)
    parts = {"gan": trainer.gan, "optimizers": trainer.optimizers, "pools": trainer.pools}
    loop = Loop(run, total, parts, saved=run.restore(), facts=facts, log_every=LOG_EVERY)
    few = [domain[:20] for domain in test]
    stream = batches(data, config.batch_size, loop.done)
    for step in loop:
        lr = trainer.set_lr(step, total)
        real_a, real_b = (to_float(pixels, run.device) for pixels in next(stream))
        losses = trainer.step(real_a, real_b, np.random.RandomState([run.seed, step]))
        loop.average({"lr": lr}, **dict(zip(LOSSES, losses.double())))
        if loop.step % show_every == 0 or loop.step == total:
            ways = [translate(trainer.gan, pixels, direction, run.device, trainer.dtype)
                    for pixels, direction in zip(few, ("ab", "ba"))]  # fmt: skip
            called = [measure.judge_images(judge, fake)[0] for fake, _ in ways]
            loop.log(translated_ab=called[0].mean(), translated_ba=1 - called[1].mean(),
                     spread=float(np.mean([measure.spread(fake) for fake, _ in ways])))  # fmt: skip
            results.show_translations(run, few, ways, facts["domains"], loop.step)


@torch.no_grad()
def translate(gan: CycleGAN, pixels: torch.Tensor, direction: str, device: torch.device,
              dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:  # fmt: skip
    """Images uint8 (N, 3, H, W) translated, and brought back from there: uint8, of the same shape."""
    there, back = (gan.generator_ab, gan.generator_ba) if direction == "ab" else (gan.generator_ba, gan.generator_ab)
    parts = []
    for part in pixels.split(8):
        with compat.autocast(device, dtype):
            fake = there(to_float(part, device))
            parts.append((to_bytes(fake), to_bytes(back(fake))))
    return torch.cat([fake for fake, _ in parts]), torch.cat([cycled for _, cycled in parts])


# ---- your own images ----


def translate_folder(config: Config, run: Run) -> dict[str, float]:
    """Translate every image in the folder `config.translate` into the run's folder `translated`."""
    files = folders.own_files(Path(str(config.translate)))
    chosen = config.checkpoint or latest_trained("cyclegan", "no CycleGAN has been trained yet", "./inv lab cyclegan")
    saved = load_checkpoint(chosen, "cyclegan", {})
    try:
        trained = from_record(Config, saved["config"])
        gan = CycleGAN(trained).to(run.device)
        gan.load_state_dict(saved["state"]["gan"])
    except (TypeError, KeyError, RuntimeError):
        raise UserError(f"{chosen} was trained by another version of this lab", "./inv lab cyclegan") from None
    dtype, _ = compat.fast_dtype(run.device)
    source, target = saved["state"]["domains"][:: 1 if config.direction == "ab" else -1]
    if saved["state"]["sample"]:
        warning = "This network was trained on the sample of synthetic balls: it knows nothing of real images."
        say(warning)
        run.note(warning)
    (run.folder / "translated").mkdir(exist_ok=True)
    pairs: list[tuple[torch.Tensor, torch.Tensor]] = []
    skipped: list[str] = []
    count = 0
    with run.progress(len(files)) as bar:
        for name, image in read_own(files, skipped):
            pixels = results.fit(image, trained.size)
            fake = translate(gan, pixels, config.direction, run.device, dtype)[0]
            results.write_image(run.folder / "translated" / f"{name}.png", fake[0])
            if len(pairs) < 8:
                pairs.append((pixels[0], fake[0]))
            count += 1
            bar.advance(1)
    results.show_own(run, pairs, source, target)
    say(f"{count} images from {source} to {target} by {chosen}: {shown(run.folder / 'translated')}")
    return {"images": count, "skipped": len(skipped)}


# ---- the whole run ----


def main(config: Config, run: Run) -> dict[str, float]:
    """Train, evaluate and report; or translate images of the user's own. Returns measures on the test images."""
    if config.translate:
        return translate_folder(config, run)
    root, domains = find_data(config, run)
    side = round(config.size * LOAD)
    train_a, train_b = (read_domain(root / name, side) for name in ("trainA", "trainB"))
    test = [read_domain(root / name, config.size) for name in ("testA", "testB")]
    data = UnpairedImages(train_a, train_b, config.size, run.seed)
    if config.batch_size > len(data):
        raise UserError(f"--batch-size {config.batch_size} is more than the {len(data)} training images")
    dtype, reason = compat.fast_dtype(run.device)
    say(f"arithmetic: {str(dtype).split('.')[1]} ({reason})")
    trainer = Trainer(config, run.device, dtype)
    judge = measure.get_judge(run, train_a, train_b)
    train(trainer, data, test, judge, {"domains": domains, "sample": run.sample}, run)
    ways = [translate(trainer.gan, pixels, direction, run.device, dtype)
            for pixels, direction in zip(test, ("ab", "ba"))]  # fmt: skip
    return results.show_measures(run, judge, test, ways, domains)


def find_data(config: Config, run: Run) -> tuple[Path, list[str]]:
    """The folder that holds trainA, trainB, testA and testB, and what A and B are called."""
    if config.folder:
        return Path(config.folder), ["A", "B"]
    part = "apple2orange" if config.dataset == "apple2orange" else config.split
    root = run.dataset(config.dataset) / part
    if not root.is_dir():
        raise UserError(f"{part} is not among the images of {config.dataset} here",
                        f"./inv data {config.dataset} --split={part}")  # fmt: skip
    return root, part.split("2") if part.count("2") == 1 else ["A", "B"]


if __name__ == "__main__":
    start(main, Config, PRESETS)
