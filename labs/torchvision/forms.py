"""One image through the same operations in three forms: on PIL images, on tensors, and in transforms.v2.

All numbers are grey levels, 0..255. PIL images work in whole numbers and filter what they shrink; tensors of uint8 are
computed as floats and rounded once. 0.6 knows PIL images only.
"""

from __future__ import annotations

from typing import Any, Callable

import numpy as np
import torch
from PIL import Image
from torchvision import transforms
from torchvision.transforms import functional as v1

try:
    from torchvision.transforms.v2 import functional as v2
except ImportError:  # in 0.6
    v2 = None

MODERN = v2 is not None
Operation = Callable[[Any, Any], Any]  # (functional module, image) -> image
if MODERN:
    BILINEAR, NEAREST = transforms.InterpolationMode.BILINEAR, transforms.InterpolationMode.NEAREST
else:
    BILINEAR, NEAREST = Image.BILINEAR, Image.NEAREST

CORNERS = [[0, 0], [127, 0], [127, 95], [0, 95]]
MOVED = [[12, 8], [120, 0], [110, 90], [0, 95]]

OPERATIONS: dict[str, Operation] = {
    "crop": lambda f, x: f.crop(x, 8, 12, 64, 64),
    "center_crop": lambda f, x: f.center_crop(x, [80, 80]),
    "pad": lambda f, x: f.pad(x, 8),
    "hflip": lambda f, x: f.hflip(x),
    "vflip": lambda f, x: f.vflip(x),
    "resize to half": lambda f, x: f.resize(x, [48, 64], BILINEAR),
    "resize to double": lambda f, x: f.resize(x, [192, 256], BILINEAR),
    "resize, nearest": lambda f, x: f.resize(x, [48, 64], NEAREST),
    "resized_crop": lambda f, x: f.resized_crop(x, 10, 20, 60, 60, [96, 96], BILINEAR),
    "rotate by 30": lambda f, x: f.rotate(x, 30),
    "affine": lambda f, x: f.affine(x, 15, [6, 4], 0.9, [8.0] if MODERN else 8.0),
    "perspective": lambda f, x: f.perspective(x, CORNERS, MOVED, BILINEAR),
    "grey": lambda f, x: (f.to_grayscale if isinstance(x, Image.Image) and f is v1 else f.rgb_to_grayscale)(x, 3),
    "brightness 1.5": lambda f, x: f.adjust_brightness(x, 1.5),
    "contrast 1.5": lambda f, x: f.adjust_contrast(x, 1.5),
    "saturation 0.3": lambda f, x: f.adjust_saturation(x, 0.3),
    "hue 0.2": lambda f, x: f.adjust_hue(x, 0.2),
    "gamma 0.5": lambda f, x: f.adjust_gamma(x, 0.5),
    "gaussian_blur": lambda f, x: f.gaussian_blur(x, [5, 5], [1.5, 1.5]),
    "invert": lambda f, x: f.invert(x),
    "posterize to 3 bits": lambda f, x: f.posterize(x, 3),
    "solarize from 128": lambda f, x: f.solarize(x, 128),
    "autocontrast": lambda f, x: f.autocontrast(x),
    "equalize": lambda f, x: f.equalize(x),
    "sharpness 2": lambda f, x: f.adjust_sharpness(x, 2),
}


def as_pixels(image: Any) -> np.ndarray:
    """A PIL image, or a tensor uint8 (3, H, W), as int (H, W, 3)."""
    if isinstance(image, Image.Image):
        return np.asarray(image.convert("RGB")).astype(int)
    return image.permute(1, 2, 0).numpy().astype(int)


def tried(operation: Operation, functional: Any, image: Any) -> Any:
    """The pixels that the operation gives, or the name of the error in which it ends."""
    if functional is None:
        return "ImportError"
    try:
        return as_pixels(operation(functional, image))
    except (TypeError, AttributeError, ValueError, RuntimeError, AssertionError) as error:
        return type(error).__name__


def in_all_forms(image: np.ndarray) -> dict[str, dict[str, Any]]:
    """Of uint8 RGB (96, 128, 3): operation -> what v1 makes of the PIL image and of the tensor, and v2 of both."""
    picture, tensor = Image.fromarray(image), torch.from_numpy(image.transpose(2, 0, 1).copy())
    return {
        name: {
            "pil": tried(operation, v1, picture),
            "tensor": tried(operation, v1, tensor),
            "v2 pil": tried(operation, v2, picture),
            "v2 tensor": tried(operation, v2, tensor),
        }
        for name, operation in OPERATIONS.items()
    }


def apart(one: Any, other: Any) -> str:
    """How far two results are from each other: the mean and the largest difference, or the error of one of them."""
    for result in (one, other):
        if isinstance(result, str):
            return result
    if one.shape != other.shape:
        return f"{one.shape[0]} x {one.shape[1]} / {other.shape[0]} x {other.shape[1]}"
    difference = np.abs(one - other)
    return "0" if not difference.any() else f"{difference.mean():.2f}, {difference.max()}"
