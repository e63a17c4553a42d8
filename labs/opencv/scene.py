"""The picture that the lab works on: a house by a road in the evening, drawn the same on every machine."""

from __future__ import annotations

from typing import Any

import numpy as np

from labkit.data.scenes import clip, disc

HEIGHT, WIDTH = 240, 320
WINDOW = (118, 98, 34, 26)  # y, x, height, width of the left window, with its frame: what is looked for later


def scene(seed: int = 0) -> np.ndarray:
    """uint8 RGB (240, 320, 3): smooth sky, rough leaves, straight bricks, thin wires, a round sun, a sensor's noise."""
    random = np.random.RandomState(seed)
    image = _sky(random)
    _hills(random, image)
    _road(random, image)
    _house(random, image)
    _tree(random, image)
    _fence(image)
    return clip(image + random.randint(-7, 8, image.shape))


def _noise(random: Any, cell: int) -> np.ndarray:
    """Soft noise, 0..1, whose hills are about `cell` pixels wide: (HEIGHT, WIDTH)."""
    grid = random.randint(0, 256, (HEIGHT // cell + 2, WIDTH // cell + 2)) / 255.0
    (y, dy), (x, dx) = (np.divmod(np.arange(size), cell) for size in (HEIGHT, WIDTH))
    dy, dx = dy[:, None] / cell, dx[None, :] / cell
    upper = grid[y][:, x] * (1 - dx) + grid[y][:, x + 1] * dx
    lower = grid[y + 1][:, x] * (1 - dx) + grid[y + 1][:, x + 1] * dx
    return upper * (1 - dy) + lower * dy


def _sky(random: Any) -> np.ndarray:
    share = np.arange(HEIGHT)[:, None, None] / 150.0
    image = np.array([86.0, 132, 190]) * (1 - share) + np.array([246.0, 190, 140]) * share + np.zeros((1, WIDTH, 1))
    clouds = 0.6 * _noise(random, 40) + 0.4 * _noise(random, 13)
    image += np.clip((clouds - 0.5) * 4, 0, 1)[..., None] * 0.6 * (np.array([250.0, 238, 228]) - image)
    sun, _, _ = disc(HEIGHT, WIDTH, 262, 62, 20, 20)
    return image + sun * (np.array([255.0, 244, 190]) - image)


def _hills(random: Any, image: np.ndarray) -> None:
    rows, columns = np.arange(HEIGHT)[:, None], np.arange(WIDTH)
    for base, tall, colour in ((128, 34, (92, 112, 128)), (146, 22, (74, 104, 70))):
        ridge = base - tall * _noise(random, 64)[0][columns]
        texture = 0.75 + 0.5 * _noise(random, 3)[..., None]
        image[:] = np.where((rows >= ridge)[..., None], np.array(colour) * texture, image)
    grass = 0.6 + 0.45 * _noise(random, 2)[..., None] + 0.15 * _noise(random, 24)[..., None]
    image[150:] = (np.array([86, 122, 58]) * grass)[150:]


def _road(random: Any, image: np.ndarray) -> None:
    rows, columns = np.arange(HEIGHT)[:, None], np.arange(WIDTH)[None, :]
    middle, half = 250 - (rows - 150) * 0.4, 4 + (rows - 150) * 0.62
    road = (rows >= 150) & (np.abs(columns - middle) < half)
    image[road] = (96 + 40 * (_noise(random, 2)[..., None] - 0.5) + np.array([4.0, 0, 6]))[road]
    stripe = (rows >= 156) & (np.abs(columns - middle) < half * 0.05 + 0.4) & (rows // 9 % 2 == 0)
    image[stripe] = (226, 222, 208)


def _house(random: Any, image: np.ndarray) -> None:
    rows, columns = np.arange(HEIGHT)[:, None], np.arange(WIDTH)[None, :]
    y, x = np.divmod(np.arange(96), 6)[1][:, None], np.arange(120)[None, :] + np.arange(96)[:, None] // 6 % 2 * 7
    brick = 1 + 0.22 * (random.randint(-9, 10, (16, 10))[np.arange(96)[:, None] // 6, x // 14] / 9.0)
    wall = np.array([158.0, 82, 64]) * brick[..., None]
    wall[(y == 0) | (x % 14 == 0)] = (186, 174, 160)
    light = 1.05 - 0.3 * np.arange(120)[None, :, None] / 120
    image[100:196, 80:200] = wall * light
    roof = (rows >= 58) & (rows < 102) & (np.abs(columns - 140) < 26 + (rows - 58) * 1.05)
    tiles = 0.8 + 0.25 * ((rows // 5 + columns // 7) % 2) - 0.25 * (rows % 5 == 4)
    image[roof] = (np.array([84, 58, 66]) * tiles[..., None])[roof]
    image[44:72, 160:172] = (128, 84, 74)
    for left in (WINDOW[1], WINDOW[1] + 58):
        _window(image, WINDOW[0], left)
    image[146:196, 131:151] = np.array([64.0, 70, 92]) * (0.85 + 0.3 * (np.arange(20)[None, :, None] % 7 == 0))
    knob, _, _ = disc(HEIGHT, WIDTH, 147, 172, 1.7, 1.7)
    image += knob * (np.array([236.0, 206, 120]) - image)


def _window(image: np.ndarray, top: int, left: int) -> None:
    _, _, height, width = WINDOW
    image[top : top + height, left : left + width] = (232, 228, 216)
    glow = np.array([255.0, 214, 130]) - 2.0 * np.arange(height - 6)[:, None, None] * np.array([0.4, 1.0, 1.4])
    image[top + 3 : top + height - 3, left + 3 : left + width - 3] = glow + np.zeros((1, width - 6, 1))
    image[top + height // 2 - 1 : top + height // 2 + 1, left : left + width] = (232, 228, 216)
    image[top : top + height, left + width // 2 - 1 : left + width // 2 + 1] = (232, 228, 216)


def _tree(random: Any, image: np.ndarray) -> None:
    rows, columns = np.arange(HEIGHT)[:, None], np.arange(WIDTH)[None, :]
    image[140:204, 36:44] = np.array([78.0, 58, 44]) * (0.8 + 0.06 * np.arange(8)[None, :, None])
    leaves = 0.5 * _noise(random, 9) + 0.5 * _noise(random, 3)
    round_ = np.sqrt((columns - 40.0) ** 2 + ((rows - 106.0) * 0.85) ** 2) / 46
    crown = leaves > 0.18 + 0.5 * round_ * round_
    crown &= round_ < 1.1
    shade = (0.45 + 0.9 * _noise(random, 2)) * (1.15 - 0.35 * (rows - 60) / 90)
    image[crown] = (np.array([62, 112, 48]) * shade[..., None])[crown]


def _fence(image: np.ndarray) -> None:
    image[206:208] = image[218:220] = (206, 196, 176)
    for left in range(4, WIDTH, 18):
        image[200:232, left : left + 4] = (222, 214, 196)
    rows, columns = np.arange(HEIGHT)[:, None], np.arange(WIDTH)[None, :]
    for drop in (0, 12):  # two wires that hang between masts outside the picture
        line = 24 + drop + (columns - 150) ** 2 * 0.0009
        image[np.abs(rows - line) < 0.7] = (52, 52, 60)
