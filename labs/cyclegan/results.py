"""What the report shows of a CycleGAN, and the user's own images: read, fitted, written."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch

from labkit.runs import measures, plots
from labkit.runs.run import Run
from labs.cyclegan import measure
from labs.cyclegan.data import resize

# Shapes: images are uint8 RGB, (3, H, W). `ways` is (translated, brought back), (N, 3, H, W) each, for A and for B.


def upright(images: torch.Tensor) -> np.ndarray:
    """(N, 3, H, W) as plots take them, (N, H, W, 3)."""
    return images.permute(0, 2, 3, 1).numpy()


def show_translations(run: Run, real: list[torch.Tensor], ways: Any, domains: list[str], step: int) -> None:
    """Test images, what became of them, and what came back."""
    for k, (source, target) in enumerate((domains, domains[::-1])):
        shown = [real[k][:6], ways[k][0][:6], ways[k][1][:6]]
        figure = plots.gallery(upright(torch.cat(shown)), len(shown[0]), rows=[source, f"as {target}", "and back"])
        run.figure(f"{source}_to_{target}", figure, f"Test images from {source} to {target} and back, after {step:,} "
                   "steps.", step=step)  # fmt: skip


class Judged(NamedTuple):
    """What the judge says of N images."""

    called_b: float  # the share of them that it calls a B
    features: np.ndarray  # float32 (N, FEATURES)


def show_measures(run: Run, judge: measure.Judge, real: list[torch.Tensor], ways: Any,
                  domains: list[str]) -> dict[str, float]:  # fmt: skip
    """The measures on all test images, as a table; returns those that count."""

    def judged(pixels: torch.Tensor) -> Judged:
        called_b, features = measure.judge_images(judge, pixels)
        return Judged(float(called_b.mean()), features)

    real_a, real_b = (judged(pixels) for pixels in real)
    a_as_b, b_as_a = (judged(fake) for fake, _ in ways)
    right = float(np.mean([1 - real_a.called_b, real_b.called_b]))
    metrics = {
        "translated_ab": a_as_b.called_b,
        "translated_ba": 1 - b_as_a.called_b,
        "kid_ab": measures.kid(a_as_b.features, real_b.features),
        "kid_ba": measures.kid(b_as_a.features, real_a.features),
        "cycle_error": float(np.mean([(cycled.float() - pixels.float()).abs().mean() for pixels, (_, cycled) in
                                      zip(real, ways)])),
        "spread": float(np.mean([measure.spread(fake) / measure.spread(pixels) for pixels, (fake, _) in
                                 zip(real, ways)])),
    }  # fmt: skip
    a, b = domains
    apart = measures.kid(real_a.features, real_b.features)
    count = " + ".join(str(len(pixels)) for pixels in real)
    rows = [
        [f"{a} called {b} after translation", f"{a_as_b.called_b:.1%}", f"{real_a.called_b:.1%}"],
        [f"{b} called {a} after translation", f"{1 - b_as_a.called_b:.1%}", f"{1 - real_b.called_b:.1%}"],
        [f"KID of translated {a} to real {b}", f"{metrics['kid_ab']:.4f}", f"{apart:.4f}"],
        [f"KID of translated {b} to real {a}", f"{metrics['kid_ba']:.4f}", f"{apart:.4f}"],
        ["error after there and back, 0..255", f"{metrics['cycle_error']:.1f}", "0"],
        ["spread, as a share of that of real images", f"{metrics['spread']:.2f}", "1"],
    ]
    run.table("measures", ["what", "translated", "left as they were"], rows,
              f"On {count} test images of {a} and {b}. The judge, a small network trained on the real training "
              f"images, names {right:.1%} of the real test images rightly; KID is by its features, so only runs on "
              "the same data compare.")  # fmt: skip
    return metrics


# ---- the user's own images ----


def fit(image: np.ndarray, size: int) -> torch.Tensor:
    """An image (H, W, 3) with its shorter side `size` and both divisible by 4: (1, 3, height, width)."""
    height, width = image.shape[:2]
    scale = size / min(height, width)
    height, width = (max(size, round(side * scale / 4) * 4) for side in (height, width))
    return torch.from_numpy(resize(image, height, width)).permute(2, 0, 1).unsqueeze(0)


def write_image(path: Path, image: torch.Tensor) -> None:
    """Write (3, H, W) as PNG."""
    _, content = cv2.imencode(".png", image.permute(1, 2, 0).numpy()[:, :, ::-1])  # uint8 0..255 HWC BGR
    path.write_bytes(content.tobytes())


def show_own(run: Run, pairs: list[tuple[torch.Tensor, torch.Tensor]], source: str, target: str) -> None:
    """The first of the user's images above their translations, cut to squares."""
    side = min(min(image.shape[1:]) for image, _ in pairs)

    def square(image: torch.Tensor) -> torch.Tensor:
        top, left = ((length - side) // 2 for length in image.shape[1:])
        return image[:, top : top + side, left : left + side]

    shown = torch.stack([square(pair[k]) for k in (0, 1) for pair in pairs])
    figure = plots.gallery(upright(shown), len(pairs), rows=[source, f"as {target}"])
    run.figure("own_images", figure, "Your images, and what became of them.")
