"""Two folders of images that do not belong together in pairs, and the Dataset that serves them to the training."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch
from torch.utils.data import Dataset

from labkit.base.errors import UserError
from labkit.base.paths import shown
from labkit.data import folders
from labkit.data.image_files import read_image

# Shapes: N images of H x W pixels, uint8 0..255 RGB. Networks read float -1..1, (N, 3, H, W).


def resize(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """`image` (H, W, 3) as (height, width, 3): the mean of what a new pixel covers, or a curve between old ones."""
    shrinks = height * width < image.shape[0] * image.shape[1]
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)


def find_images(folder: Path) -> list[Path]:
    """The image files in `folder`, by name. Raises UserError where there is none."""
    found = folders.images(folder)
    if not found:
        raise UserError(f"there are no images in {shown(folder)}")
    return found


def read_domain(folder: Path, side: int) -> torch.Tensor:
    """All images in `folder`, each squeezed into a square as the authors do: uint8 (N, 3, side, side).

    Read once and kept in memory, 60 KB for 143 x 143 pixels, so a broken file is found before the training and not in
    its third hour.
    """
    paths = find_images(folder)
    pixels = np.empty((len(paths), side, side, 3), dtype=np.uint8)
    for k, path in enumerate(paths):
        pixels[k] = resize(read_image(path), side, side)
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()  # (N, 3, side, side)


def to_float(pixels: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Bytes 0..255 as float32 -1..1, the range of tanh."""
    return pixels.to(device).float() / 127.5 - 1


def to_bytes(images: torch.Tensor) -> torch.Tensor:
    """Float -1..1 as uint8 0..255, on the CPU."""
    return ((images.detach().float() + 1) * 127.5).round().clamp(0, 255).byte().cpu()


class UnpairedImages(Dataset):
    """One pass over two domains; item k is an image of each, uint8 (3, size, size), that do not belong together.

    A Dataset (section 89 of the notes) answers two questions: how many are you, and what is number k. The pass is as
    long as the larger domain; the smaller one begins anew where it ends. Images are cropped somewhere and mirrored by
    chance.
    Order, crops and mirrors follow from (seed, epoch) alone: that is how a resumed run goes on with the same images.
    """

    def __init__(self, a: torch.Tensor, b: torch.Tensor, size: int, seed: int) -> None:
        self.domains, self.size, self.seed = (a, b), size, seed
        self.set_epoch(0)

    def set_epoch(self, epoch: int) -> None:
        """Draw the order, the crops and the mirrors of another pass."""
        random = np.random.RandomState([self.seed, epoch])
        count, room = len(self), self.domains[0].shape[-1] - self.size
        self.orders = []
        for domain in self.domains:
            rounds = [random.permutation(len(domain)) for _ in range(-(-count // len(domain)))]
            self.orders.append(np.concatenate(rounds)[:count])
        self.corners = random.randint(0, room + 1, (2, count, 2))  # top and left
        self.mirrored = random.randint(0, 2, (2, count))

    def __len__(self) -> int:
        return max(len(domain) for domain in self.domains)

    def __getitem__(self, k: int) -> tuple[torch.Tensor, torch.Tensor]:
        return self._one(0, k), self._one(1, k)

    def _one(self, which: int, k: int) -> torch.Tensor:
        top, left = self.corners[which, k]
        image = self.domains[which][self.orders[which][k]]  # (3, side, side)
        crop = image[:, top : top + self.size, left : left + self.size]
        return crop.flip(2) if self.mirrored[which, k] else crop


class ImagePool:
    """Translations made earlier, `size` of them, to judge instead of only the newest.

    A discriminator that sees only the newest translations forgets what it knew, and the two networks run in circles.
    With probability a half a new image is judged as it is; else it takes the place of an older one, which is judged.
    Source: Shrivastava et al., Learning from Simulated and Unsupervised Images (2017), section 2.3.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.images: list[torch.Tensor] = []

    def exchange(self, new: torch.Tensor, random: np.random.RandomState) -> torch.Tensor:
        """For each of `new` (N, 3, H, W) itself or an older one, (N, 3, H, W)."""
        chosen = []
        for image in new.detach():
            if len(self.images) < self.size:
                self.images.append(image)
            elif self.size and random.uniform() > 0.5:
                place = random.randint(self.size)
                image, self.images[place] = self.images[place].to(image.device), image
            chosen.append(image)
        return torch.stack(chosen)

    def state_dict(self) -> list[torch.Tensor]:
        """The images (3, H, W) that are in it."""
        return [image.cpu().clone() for image in self.images]

    def load_state_dict(self, images: list[torch.Tensor]) -> None:
        self.images = list(images)
