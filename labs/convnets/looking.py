"""What trained networks look at: class-activation maps on images, first filters and the maps that they make."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Mapping

import cv2
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from labkit.base.console import say
from labkit.base.errors import UserError
from labkit.base.language import both
from labkit.data.image_files import read_image
from labkit.runs import plots
from labkit.runs.checkpoints import latest_trained, load_checkpoint
from labkit.runs.pixels import Normalise
from labkit.runs.run import Run
from labs.convnets import fields, measured
from labs.convnets.config import Config
from labs.convnets.zoo import KINDS

SIDE = 32


def activation_map(network: nn.Sequential, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(probabilities (classes), map (h, w) from 0 to 1): where the likeliest class is seen in `image` (1, 3, H, W).

    Every map before the mean counts by the mean gradient of the class's logit with respect to it; what speaks against
    the class is left out. Where the mean and one linear layer follow, that is the class-activation map: the maps added
    up with the linear layer's own weights.
    Source: Selvaraju et al., Grad-CAM (2017), equations 1 and 2; Zhou et al., Learning Deep Features (2016).
    """
    network.eval()
    layers = fields.features(network)
    maps = layers(image).detach().requires_grad_()  # (1, C, h, w)
    logits = network[len(layers) :](maps)
    logits[0].max().backward()
    weights = maps.grad.mean(dim=(2, 3), keepdim=True)
    found = F.relu((weights * maps.detach()).sum(dim=1)[0])
    return F.softmax(logits.detach()[0], dim=0), found / found.max().clamp(min=1e-12)


def restored(row: Mapping[str, Any], width: float) -> nn.Sequential:
    """The network of a row of the race, on the CPU. Raises UserError where the weights are of another network."""
    try:
        classes = list(row["weights"].values())[-1].shape[0]
        network = measured.built(row["name"], width, classes)
        network.load_state_dict(row["weights"])
    except (KeyError, TypeError, IndexError, AttributeError, RuntimeError):
        raise UserError("the checkpoint is of another version of this lab", "./inv lab convnets -- --race") from None
    return network


def square(path: Path) -> np.ndarray:
    """The middle square of any image file at 32 x 32: uint8 RGB. Raises UserError for what is none."""
    image = read_image(path)
    side = min(image.shape[:2])
    top, left = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
    how = cv2.INTER_AREA if side >= SIDE else cv2.INTER_LINEAR
    return cv2.resize(image[top : top + side, left : left + side], (SIDE, SIDE), interpolation=how)


def show_maps(run: Run, networks: Mapping[str, nn.Sequential], pixels: torch.Tensor, normalise: Normalise,
              classes: list[str]) -> list[list[tuple[str, float]]]:  # fmt: skip
    """A row for every image of `pixels` uint8 (N, 32, 32, 3), a column for every network. Returns what they say."""
    figure, axes = plots.figure(len(pixels), len(networks) + 1, width=1.25 * (len(networks) + 1), height=1.5)
    said: list[list[tuple[str, float]]] = []
    for axis in axes.flat:
        axis.set_axis_off()
    for row, image in enumerate(pixels):
        axes[row, 0].imshow(image.numpy())
        said.append([])
        for column, (name, network) in enumerate(networks.items(), start=1):
            probabilities, found = activation_map(network, normalise(image.unsqueeze(0)).contiguous())
            wide = F.interpolate(found[None, None], size=(SIDE, SIDE), mode="bilinear", align_corners=False)
            best = int(probabilities.argmax())
            said[-1].append((classes[best], float(probabilities[best])))
            axes[row, column].imshow(image.numpy())
            axes[row, column].imshow(wide[0, 0].numpy(), cmap="inferno", vmin=0, vmax=1, alpha=0.55)
            title = f"{KINDS[name].title}\n" if row == 0 else ""
            axes[row, column].set_title(f"{title}{plots.plain(classes[best])} {probabilities[best]:.0%}", fontsize=6.5,
                                        fontweight="normal", loc="center", pad=2)  # fmt: skip
    figure.tight_layout(pad=0.3)
    run.figure("maps", figure, both(
        "Class-activation maps (Grad-CAM): bright where the last feature maps speak for the class that the network "
        "names. They have 4 x 4 or 8 x 8 places, and each place may see the whole image, so they point rather than "
        "outline.",
        "类激活图（Grad-CAM）：亮处表示最后的特征图支持网络所说的类别。它们只有 4 x 4 或 8 x 8 个位置，而每个位置都可"
        "能看到全图，所以只是指出大致方位，并不勾勒轮廓。"))  # fmt: skip
    return said


def show_first_layer(run: Run, networks: Mapping[str, nn.Sequential]) -> None:
    """The first filters of every network that has colour filters, each stretched from its least to its largest."""
    shown = {}
    for name, network in networks.items():
        weight = next(layer.weight for layer in network.modules() if isinstance(layer, nn.Conv2d)).detach()
        least = weight.flatten(1).min(dim=1)[0].reshape(-1, 1, 1, 1)
        most = weight.flatten(1).max(dim=1)[0].reshape(-1, 1, 1, 1)
        shown[name] = ((weight - least) / (most - least) * 255).round().byte().permute(0, 2, 3, 1).numpy()
    figure, axes = plots.figure(len(shown), 1, width=8.0, height=0.75)
    for axis, (name, filters) in zip(axes[:, 0], shown.items()):
        axis.imshow(plots.tiles(filters[:32], columns=32, gap=1))
        axis.set_axis_off()
        axis.set_title(KINDS[name].title, fontsize=7, fontweight="normal", pad=2)
    figure.tight_layout(pad=0.3)
    run.figure("first-filters", figure, both(
        "The first filters, up to 32 of each network, as small colour images: edges, blobs and colour contrasts.",
        "各网络第一层的卷积核（至多 32 个），画成小彩色图：边缘、斑点和颜色对比。"))  # fmt: skip


def show_feature_maps(run: Run, name: str, network: nn.Sequential, image: torch.Tensor) -> None:
    """What the first layers make of `image` (1, 3, 32, 32): eight maps after each of up to six layers."""
    rows, x = [], image
    with torch.no_grad():
        for layer in list(fields.features(network.eval()))[:6]:
            x = layer(x)
            maps = x[0, :8]
            low, high = maps.min(), maps.max()
            small = F.interpolate(((maps - low) / (high - low).clamp(min=1e-12) * 255)[:, None], size=(SIDE, SIDE))
            rows.append(small[:, 0].round().byte().numpy())
    figure = plots.gallery(np.concatenate(rows), columns=8, rows=[f"after layer {k}" for k in range(1, len(rows) + 1)])
    run.figure("feature-maps", figure, both(
        f"Your image in {KINDS[name].title}: eight maps after each of its first layers; they get smaller (drawn at one "
        "size) and mean less to the eye.",
        f"你的图在 {KINDS[name].title} 中：前几层各取八张特征图。"
        "越往后越小（这里画成同样大小），肉眼也越难看懂。"))  # fmt: skip


def main(config: Config, run: Run) -> dict[str, float]:
    """Show where the networks of a race look in the image `config.map`; the probability of the best one's class."""
    pixels = torch.from_numpy(square(Path(str(config.map)))).unsqueeze(0)
    path = config.checkpoint or latest_trained("convnets", "no race has been run yet, so no network is trained",
                                               "./inv lab convnets -- --race", race=True)  # fmt: skip
    state = load_checkpoint(path, "convnets", {"race": True})["state"]
    try:
        rows = sorted(state["finished"], key=lambda row: -row["accuracy"])
        classes, width = [str(name) for name in state["classes"]], float(state["width"])
        normalise = Normalise()
        normalise.mean.copy_(state["mean"])
        normalise.scale.copy_(state["scale"])
    except (KeyError, TypeError, ValueError, RuntimeError):
        raise UserError(f"{path} was left by another version of this lab", "./inv lab convnets -- --race") from None
    if not rows:
        raise UserError(f"no network of {path} has reached its end yet", "./inv lab convnets --resume=latest")
    networks = {row["name"]: restored(row, width) for row in rows[:7]}
    (said,) = show_maps(run, networks, pixels, normalise, classes)
    for (name, _), (word, probability) in zip(networks.items(), said):
        say(f"{KINDS[name].title}: {word}, {probability:.0%}")
    if state.get("sample"):
        warning = both("These networks were trained on the sample of synthetic shapes: they know nothing of real "
                       "images.",
                       "这些网络是用合成形状的样例训练的，不认识真实图片。")  # fmt: skip
        say(warning)
        run.note(warning)
    best = next(iter(networks))
    show_feature_maps(run, best, networks[best], normalise(pixels).contiguous())
    show_first_layer(run, networks)
    return {"probability": said[0][1]}
