"""The pictures of the report that explain one thing each."""

from __future__ import annotations

import cv2
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from labkit.base.language import both
from labkit.runs import plots
from labkit.runs.run import Run
from labs.opencv import canny, colours, features, filters, finding, pixels, shapes
from labs.opencv.operators_grey import RADIUS, corners, template_of

BLUE, ORANGE = plots.COLOURS[0], plots.COLOURS[1]


def panels(images: list[tuple[str, np.ndarray]], columns: int) -> Figure:
    """Named images uint8 (H, W) or (H, W, 3) side by side."""
    height, width = images[0][1].shape[:2]
    figure, axes = plots.figure(-(-len(images) // columns), columns,
                                height=8 / columns * min(height / width, 1.6) + 0.3)  # fmt: skip
    for axis in axes.ravel():
        axis.set_axis_off()
    for axis, (title, image) in zip(axes.ravel(), images):
        axis.imshow(image, cmap="gray", vmin=0, vmax=255, interpolation="antialiased")
        axis.set_title(title, fontsize=8)
    figure.tight_layout(pad=0.4)
    return figure


def channels(run: Run, picture: np.ndarray) -> None:
    """What each channel of each colour space holds."""
    spaces = (("RGB", "R G B", picture), ("HSV", "H S V", colours.hsv(picture)), ("HSL", "H L S", colours.hsl(picture)),
              ("YUV", "Y U V", colours.yuv(picture)), ("LAB", "L A B", colours.lab(picture)))  # fmt: skip
    images = [(f"{space}: {name}", values[..., k])
              for space, names, values in spaces for k, name in enumerate(names.split())]  # fmt: skip
    images += [(f"CMYK: {name}", colours.cmyk(picture)[..., k]) for k, name in enumerate("CMYK")]
    run.figure("channels", panels(images, 5), both(
        "What the channels hold. Red, green and blue are much alike: brightness is in all three. HSV, HSL, YUV and LAB "
        "keep it in one channel (V, L, Y, L), and the colour in the other two; H is an angle in steps of 2 degrees. "
        "In CMYK bright means much ink.",
        "各通道里是什么。R、G、B 很相像，因为三者都含亮度。HSV、HSL、YUV、LAB 把亮度单独放在一个通道（V、L、Y、L），"
        "颜色放在另外两个；H 是角度，单位为 2 度。CMYK 中越亮表示油墨越多。"))  # fmt: skip


def noise(run: Run, picture: np.ndarray) -> None:
    """Two kinds of noise, and which filter takes which away: in decibels, and as a picture."""
    random = np.random.RandomState(run.seed)
    grey = colours.grey(picture)
    rough = pixels.levels(grey + 20 * random.standard_normal(grey.shape))
    specks = np.where(random.random_sample(grey.shape) < 0.05, random.randint(0, 2, grey.shape) * 255, grey)
    specks = specks.astype(np.uint8)
    smoothed = {
        "noise": lambda x: x, "box 3": lambda x: filters.box(x, 3), "Gaussian 3": lambda x: filters.gaussian(x, 3, 0.8),
        "median 3": lambda x: filters.median(x, 3), "bilateral 5": lambda x: filters.bilateral(x, 5, 60, 2),
    }  # fmt: skip
    images, rows = [], []
    for name, smooth in smoothed.items():
        pair = [smooth(rough), smooth(specks)]
        images += [(name, image) for image in pair]
        rows.append([name, *(f"{cv2.PSNR(grey, image):.1f}" for image in pair)])
    run.figure("noise", panels(images[::2] + images[1::2], 5), both(
        "Above: Gaussian noise, every pixel a little wrong. Below: salt and pepper, one pixel in twenty lost. The "
        "median forgets what lies far out, so it takes the second kind away and leaves edges; means smear it.",
        "上：高斯噪声，每个像素都有小误差；下：椒盐噪声，每二十个像素坏掉一个。中值滤波不理会离群值，所以能去掉第二种噪声而保住边缘；"
        "求平均的滤波只会把它抹开。"))  # fmt: skip
    run.table("noise", [both("filter", "滤波器"), both("Gaussian noise, dB", "高斯噪声，dB"),
                        both("salt and pepper, dB", "椒盐噪声，dB")], rows, both(
        "How near the smoothed picture is to the one without noise, as PSNR: higher is nearer.",
        "平滑后的图像与无噪声原图的接近程度（PSNR，越高越近）。"))  # fmt: skip


def stages(run: Run, picture: np.ndarray) -> None:
    """Canny's edges, step by step."""
    grey = colours.grey(picture)
    dx, dy = (pixels.correlate(grey, kernel, border=pixels.replicated).astype(np.int64)
              for kernel in filters.sobel_kernels(3))  # fmt: skip
    size = np.abs(dx) + np.abs(dy)
    crest = canny.is_crest(dx, dy, size)
    weak, strong = crest & (size > 100), crest & (size > 200)
    images = [("|dx| + |dy|", pixels.levels(size / 4)), ("crests", pixels.levels(np.where(crest, size / 4, 0))),
              ("crests above 100", pixels.levels(255 * weak)), ("crests above 200", pixels.levels(255 * strong)),
              ("held by a strong one", pixels.levels(255 * canny.held(strong, weak))),
              ("cv2.Canny(x, 100, 200)", cv2.Canny(grey, 100, 200))]  # fmt: skip
    run.figure("canny", panels(images, 3), both(
        "Canny in four steps: slopes, of which only the crests stay (non-maximum suppression), two thresholds, and of "
        "the weak crests those that hang together with a strong one (hysteresis).",
        "Canny 的四步：求梯度；只留梯度的“山脊”（非极大值抑制）；用两个阈值；"
        "弱边缘中只留与强边缘相连的（滞后阈值）。"))  # fmt: skip


def histograms(run: Run, picture: np.ndarray) -> None:
    """A dull picture before and after equalisation, with its histograms."""
    dull = pixels.levels(90 + 0.25 * colours.grey(picture))
    figure, axes = plots.figure(2, 2, height=2.6)
    for row, (name, image) in enumerate((("dull", dull), ("equalized", shapes.equalize(dull)))):
        axes[row, 0].imshow(image, cmap="gray", vmin=0, vmax=255, interpolation="antialiased")
        axes[row, 0].set_axis_off()
        axes[row, 0].set_title(name, fontsize=9)
        many = shapes.counts(image)
        axes[row, 1].bar(np.arange(256), many, width=1.0, color=BLUE)
        axes[row, 1].plot(many.cumsum() * (many.max() / many.sum()), color=ORANGE, label="sum from the left")
        axes[row, 1].set_xlim(0, 255)
        axes[row, 1].set_ylabel("pixels")
    axes[0, 1].legend(fontsize=8)
    axes[1, 1].set_xlabel("grey level")
    figure.tight_layout()
    run.figure("equalized", figure, both(
        "Equalisation takes the sum of the histogram as its table, so that this sum becomes a straight line. The notes "
        "call the result uniform: levels move apart where many pixels are, but no level is split, so gaps come "
        "instead.",
        "均衡化以累积直方图为查找表，使累积曲线变成直线。笔记说结果是“均匀分布”：像素多的灰度级被拉开，"
        "但同一灰度级不会被拆开，于是出现空隙，只是近似均匀。"))  # fmt: skip


def places(run: Run, picture: np.ndarray) -> None:
    """Where the template is found, and the corners."""
    grey = colours.grey(picture)
    template = template_of(grey)
    like = cv2.matchTemplate(grey, template, cv2.TM_CCOEFF_NORMED)
    _, _, _, (x, y) = cv2.minMaxLoc(like)
    figure, axes = plots.figure(1, 3, height=2.3)
    for axis, image, title in zip(axes[0], (grey, pixels.levels(127.5 + 127.5 * like), grey),
                                  ("the best place", "likeness", "corners")):  # fmt: skip
        axis.imshow(image, cmap="gray", vmin=0, vmax=255, interpolation="antialiased")
        axis.set_axis_off()
        axis.set_title(title, fontsize=9)
    size = template.shape[::-1]
    axes[0, 0].add_patch(Rectangle((x, y), *size, fill=False, color=ORANGE, linewidth=2))
    axes[0, 2].scatter(*corners(grey).T, s=7, color=ORANGE)
    figure.tight_layout(pad=0.4)
    run.figure("places", figure, both(
        f"A part of the picture, found again at x = {x}, y = {y} with a likeness of {like[y, x]:.3f}; beside it the "
        "likeness everywhere, and the corners of cv2.goodFeaturesToTrack.",
        f"从图中取一块再找回来：位置 x = {x}、y = {y}，相似度 {like[y, x]:.3f}；旁边是各处的相似度，以及 "
        "cv2.goodFeaturesToTrack 找到的角点。"))  # fmt: skip


def frequencies(run: Run, picture: np.ndarray) -> None:
    """The spectrum, and the picture of its slow and of its fast part."""
    grey = colours.grey(picture)
    size = np.log1p(np.abs(np.fft.fftshift(finding.spectrum(grey))))
    images = [("grey", grey), ("spectrum, log, 0 in the middle", pixels.stretched(size)),
              (f"slower than {RADIUS} waves", finding.low_pass(grey, RADIUS)),
              ("faster", finding.high_pass(grey, RADIUS))]  # fmt: skip
    run.figure("spectrum", panels(images, 4), both(
        "High and low frequency: slow waves hold areas and brightness, fast ones edges and noise. The cross in the "
        "spectrum comes from level and upright lines, and from the picture's own border.",
        "高频与低频：低频是大块区域与明暗，高频是边缘与噪声。频谱中的十字来自水平与竖直的线条，"
        "以及图像的边界。"))  # fmt: skip


def feature_maps(run: Run, _: np.ndarray) -> None:
    """Stripes, the four kernels, and what they tell; the picture plays no part."""
    raw, four = features.pixels_and_features(run.seed)
    images, _ = features.textures(4, run.seed)
    kernels = [pixels.stretched(features.gabor(angle)) for angle in features.ANGLES]
    shown = [(f"kernel {k}", kernel) for k, kernel in enumerate(kernels)]
    shown += [(", ".join(f"{share:.2f}" for share in features.energies(image[None])[0]), image) for image in images]
    run.figure("features", panels(shown, 4), both(
        f"Section 51: design, extract, model. Four kernels, and below them four kinds of stripes with the share of "
        f"each kernel in the answer. New stripes are told apart by the nearest class mean in {raw:.0%} of cases from "
        f"24 x 24 pixels, in {four:.0%} from these four numbers. A CNN learns such kernels.",
        f"第 51 节：设计特征、提取特征、建模。上排是四个卷积核，下排是四种条纹及各核响应所占的比例。"
        f"对新的条纹用最近类均值判别：直接用 24 x 24 个像素，正确率 {raw:.0%}；"
        f"用这四个数，{four:.0%}。CNN 自己学出这样的卷积核。"))  # fmt: skip


# The sections after which they come.
AFTER = {
    "colours": (channels,), "smoothing": (noise,), "edges": (stages,), "histograms": (histograms,),
    "finding": (places,), "features": (feature_maps,), "frequencies": (frequencies,),
}  # fmt: skip
