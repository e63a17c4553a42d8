"""Colour spaces by hand. Images are uint8 RGB (H, W, 3); where OpenCV counts in whole numbers, so do these."""

from __future__ import annotations

import numpy as np

from labs.opencv.pixels import levels


def planes(image: np.ndarray) -> list[np.ndarray]:
    """Red, green and blue as int64 (H, W): uint8 would overflow."""
    return [image[..., channel].astype(np.int64) for channel in range(3)]


def shifted(values: np.ndarray, bits: int) -> np.ndarray:
    """values / 2**bits, rounded: fixed-point arithmetic's way back to whole numbers."""
    return (values + (1 << bits - 1)) >> bits


def stacked(*channels: np.ndarray) -> np.ndarray:
    return np.clip(np.stack(channels, axis=-1), 0, 255).astype(np.uint8)


def grey(image: np.ndarray) -> np.ndarray:
    """0.299 R + 0.587 G + 0.114 B, the weights as shares of 2**15."""
    red, green, blue = planes(image)
    return shifted(9798 * red + 19235 * green + 3735 * blue, 15).astype(np.uint8)


def yuv(image: np.ndarray) -> np.ndarray:
    """Y as grey, U = 0.492 (B - Y) + 128, V = 0.877 (R - Y) + 128, in shares of 2**14."""
    red, green, blue = planes(image)
    y = shifted(4899 * red + 9617 * green + 1868 * blue, 14)
    return stacked(y, shifted(8061 * (blue - y) + (128 << 14), 14), shifted(14369 * (red - y) + (128 << 14), 14))


def ycrcb(image: np.ndarray) -> np.ndarray:
    """What JPEG stores: Y, Cr = 0.713 (R - Y) + 128, Cb = 0.564 (B - Y) + 128."""
    red, green, blue = planes(image)
    y = shifted(4899 * red + 9617 * green + 1868 * blue, 14)
    return stacked(y, shifted(11682 * (red - y) + (128 << 14), 14), shifted(9241 * (blue - y) + (128 << 14), 14))


def yuv_by_formula(image: np.ndarray) -> np.ndarray:
    """The same as a textbook has it, rounded at the end only."""
    red, green, blue = (image[..., channel].astype(np.float64) for channel in range(3))
    y = 0.299 * red + 0.587 * green + 0.114 * blue
    return levels(np.stack((y, 0.492 * (blue - y) + 128, 0.877 * (red - y) + 128), axis=-1))


def hue(image: np.ndarray, sixth: np.ndarray, span: np.ndarray) -> np.ndarray:
    """Where on the circle of 6 * `sixth`: which channel is the largest says which third, the other two the rest."""
    red, green, blue = planes(image)
    top = image.max(axis=-1)
    return np.where(top == red, (green - blue) * sixth, np.where(
        top == green, (blue - red) * sixth + 2 * span * sixth, (red - green) * sixth + 4 * span * sixth))  # fmt: skip


def hsv(image: np.ndarray) -> np.ndarray:
    """H in 0..179 (steps of 2 degrees, to fit a byte), S and V in 0..255; divisions by a table of shares of 2**12."""
    value = image.max(axis=-1).astype(np.int64)
    span = value - image.min(axis=-1)
    by = np.arange(1, 256)
    saturation = np.concatenate(([0], np.rint((255 << 12) / by))).astype(np.int64)[value] * span
    sixth = np.concatenate(([0], np.rint((180 << 12) / (6.0 * by)))).astype(np.int64)[span]
    h = shifted(hue(image, sixth, span), 12)
    return stacked(np.where(h < 0, h + 180, h), shifted(saturation, 12), value)


def hsv_by_formula(image: np.ndarray) -> np.ndarray:
    """The same as a textbook has it: S = (max - min) / max, H in degrees; rounded at the end only."""
    value = image.max(axis=-1).astype(np.float64)
    span = value - image.min(axis=-1)
    degrees = hue(image, 60 / np.maximum(span, 1), span) % 360
    saturation = np.where(value > 0, 255 * span / np.maximum(value, 1), 0)
    return np.stack((np.rint(degrees / 2) % 180, np.rint(saturation), value), axis=-1).astype(np.uint8)


def hsl(image: np.ndarray) -> np.ndarray:
    """In OpenCV's order H, L, S (its HLS): L = (max + min) / 2, and S is the span as a share of what L allows."""
    top, bottom = (each.astype(np.float32) / np.float32(255) for each in (image.max(axis=-1), image.min(axis=-1)))
    span, total = top - bottom, top + bottom
    allowed = np.where(total < 1, total, 2 - total)
    saturation = span / np.where(span > 0, allowed, 1)
    whole = image.max(axis=-1).astype(np.float64) - image.min(axis=-1)
    degrees = hue(image, 60 / np.maximum(whole, 1), whole) % 360
    return levels(np.stack((np.rint(degrees / 2) % 180, total / 2 * 255, saturation * 255), axis=-1))


TO_XYZ = np.array([[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]])
WHITE = np.array([0.950456, 1.0, 1.088754])  # D65: what R = G = B = 1 must become


def linear(share: np.ndarray) -> np.ndarray:
    """sRGB 0..1 as it is stored, to the light that it stands for."""
    return np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)


def cube_root(t: np.ndarray) -> np.ndarray:
    """Lab's f: the cube root, with a straight piece near 0, where the root is too steep."""
    return np.where(t > 216 / 24389, np.cbrt(t), (24389 / 27 * t + 16) / 116)


def lab_by_formula(image: np.ndarray) -> np.ndarray:
    """L, a, b as float64 are 0..100 and about -128..127; as bytes L * 255 / 100, a + 128, b + 128."""
    x, y, z = np.moveaxis(cube_root(linear(image / 255.0) @ (TO_XYZ / WHITE[:, None]).T), -1, 0)
    return levels(np.stack(((116 * y - 16) * 2.55, 500 * (x - y) + 128, 200 * (y - z) + 128), axis=-1))


def lab(image: np.ndarray) -> np.ndarray:
    """As OpenCV counts it: light in shares of 2**3, weights of 2**12, roots of 2**15, each from a table."""
    light = np.rint(linear(np.arange(256) / 255) * (255 << 3)).astype(np.int64)
    t = np.arange(3 * 256 // 2 << 3) / (255 << 3)
    roots = np.where(t < 216 / 24389, t * (841 / 108) + 16 / 116, np.cbrt(t))
    # Rounded to float32 first, as OpenCV does. A root that is taken in float32 differs with the processor.
    roots = np.rint(roots.astype(np.float32) * np.float32(1 << 15)).astype(np.int64)
    weights = np.rint(TO_XYZ / WHITE[:, None] * (1 << 12)).astype(np.int64)
    x, y, z = np.moveaxis(roots[shifted(light[image] @ weights.T, 12)], -1, 0)
    l_scale, l_shift = (116 * 255 + 50) // 100, -((16 * 255 * (1 << 15) + 50) // 100)
    return stacked(shifted(l_scale * y + l_shift, 15), shifted(500 * (x - y) + (128 << 15), 15),
                   shifted(200 * (y - z) + (128 << 15), 15))  # fmt: skip


def cmyk(image: np.ndarray) -> np.ndarray:
    """Printing: K, the black ink, is what all three lack, and C, M, Y are what is left, as shares of what K leaves.

    uint8 (H, W, 4). OpenCV has no CMYK.
    """
    light = image.astype(np.float64)
    most = light.max(axis=-1, keepdims=True)
    return levels(np.concatenate((255 * (most - light) / np.maximum(most, 1), 255 - most), axis=-1))


def from_cmyk(inks: np.ndarray) -> np.ndarray:
    """Back to RGB: (1 - K) (1 - C), and so on."""
    left = 255.0 - inks[..., 3:]
    return (left - np.rint(inks[..., :3] * left / 255)).astype(np.uint8)


def blended(image: np.ndarray, factor: float) -> np.ndarray:
    """Saturation: away from the grey of each pixel for a factor above 1, towards it below 1."""
    still = grey(image)[..., None].astype(np.float64)
    return levels(factor * image + (1 - factor) * still)
