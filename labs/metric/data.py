"""Digits in memory as they are stored, uint8; which of them are seen; and batches of P classes with K images each.

A batch follows from the seed and its number alone, so a resumed run makes the same ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch.nn import functional as F

from labkit.base.errors import UserError
from labkit.data import mnist

DIGITS = 10


@dataclass(frozen=True)
class Digits:
    pixels: torch.Tensor  # uint8 (N, 28, 28), ink bright on black
    labels: torch.Tensor  # int64 (N,)

    def __getitem__(self, part: slice | torch.Tensor) -> Digits:
        return Digits(self.pixels[part], self.labels[part])

    def __len__(self) -> int:
        return len(self.labels)

    def only(self, wanted: str, each: int = 0) -> Digits:
        """The digits in the text `wanted`, "01234"; with `each`, the first so many of each."""
        places = [(self.labels == int(digit)).nonzero(as_tuple=True)[0] for digit in wanted]
        return self[torch.cat([place[:each] if each else place for place in places])]


def read(folder: Path) -> tuple[Digits, Digits]:
    """The training and the test images. Raises UserError where the files hold anything else."""
    loaded = [map(torch.from_numpy, mnist.load(folder, split)) for split in ("train", "test")]
    (pixels, labels), (test, answers) = loaded
    return Digits(pixels, labels.long()), Digits(test, answers.long())


def unseen(seen: str) -> str:
    """The digits that are not in `seen`."""
    return "".join(str(digit) for digit in range(DIGITS) if str(digit) not in seen)


def in_forms(digits: Digits, forms: int) -> Digits:
    """Each image in so many forms, of which each makes a class of its own: class = digit * `forms` + form.

    Form 0 to 3 is the image turned by so many right angles, 4 to 7 its mirror image turned alike. Five classes are few
    to learn from what makes classes differ, and twenty are more: so those who learn from Omniglot's letters turn them
    (Vinyals et al., Matching Networks, 2016, section 4.1.1). Some forms look the same, such as a 0 and its half turn.
    """
    both_ways = [digits.pixels, digits.pixels.flip(2)]
    pixels = torch.cat([torch.rot90(both_ways[form // 4], form % 4, (1, 2)) for form in range(forms)])
    return Digits(pixels, torch.cat([digits.labels * forms + form for form in range(forms)]))


def form_name(label: int, forms: int) -> str:
    """"3", "3, 90°" or "3 mirrored, 90°"."""
    digit, form = divmod(label, forms)
    return f"{digit}{' mirrored' * (form // 4)}{f', {90 * (form % 4)}°' * (forms > 1)}"


def windows(pixels: torch.Tensor, shift: int) -> torch.Tensor:
    """Each image moved by up to `shift` pixels: (N, H, W) -> (N, 2 shift + 1, 2 shift + 1, H, W).

    Nothing is copied but for a border of paper: the windows overlap in memory.
    """
    height, width = pixels.shape[1:]
    return F.pad(pixels, (shift,) * 4).unfold(1, height, 1).unfold(2, width, 1)


class Source:
    """P x K batches: P classes by chance, and of each K different images by chance, shifted by chance."""

    def __init__(self, digits: Digits, classes: int, images: int, shift: int, seed: int) -> None:
        """Raises UserError where there are fewer classes, or where a class has fewer images."""
        self.names = digits.labels.unique()  # the classes, ascending
        self.members = [(digits.labels == name).nonzero(as_tuple=True)[0] for name in self.names]
        fewest = min(self.members, key=len)
        if classes > len(self.names):
            raise UserError(f"--classes {classes} is more than the {len(self.names)} classes that there are to learn "
                            "from",
                            f"./inv lab metric -- --classes {len(self.names)}")  # fmt: skip
        if len(fewest) < 2:
            raise UserError("a class has one training image alone, of which no positive pair can be made")
        if images > len(fewest):
            raise UserError(f"--images {images} is more than a class has: the smallest has {len(fewest)} training "
                            "images",
                            f"./inv lab metric -- --images {len(fewest)}")  # fmt: skip
        self.windows, self.labels = windows(digits.pixels, shift), digits.labels
        self.classes, self.images, self.places, self.seed = classes, images, 2 * shift + 1, seed

    def __getitem__(self, number: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Batch `number`: images uint8 (P K, H, W), class after class, and the places of their classes in `names`."""
        random = torch.Generator().manual_seed(1_000_003 * (self.seed + 1) + number)
        chosen = torch.randperm(len(self.names), generator=random)[: self.classes]
        rows = [self.members[k][torch.randperm(len(self.members[k]), generator=random)[: self.images]] for k in chosen]
        y, x = torch.randint(self.places, (2, self.classes * self.images), generator=random)
        return self.windows[torch.cat(rows), y, x], chosen.repeat_interleave(self.images)
