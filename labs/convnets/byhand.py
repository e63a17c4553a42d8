"""The layers written out: loops over places, or one matrix product. Shapes as PyTorch's: maps (N, C, H, W).

Nothing here is fast; it is what the layers mean, and the steps hold it against PyTorch's own.
"""

from __future__ import annotations

import math

import torch
from torch.nn import functional as F

# ---- convolutions ----


def out_size(size: int, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1) -> int:
    """How many places a window of `kernel` has along `size` pixels: the last must not stick out."""
    return (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1


def conv2d(x: torch.Tensor, weight: torch.Tensor, stride: int = 1, padding: int = 0, dilation: int = 1,
           groups: int = 1) -> torch.Tensor:  # fmt: skip
    """Section 52: at every place the window times the kernel, added up. `weight` (outputs, C / groups, k, k)."""
    count, _, height, width = x.shape
    outputs, depth, kernel, _ = weight.shape
    x = F.pad(x, (padding,) * 4)
    rows, columns = (out_size(size, kernel, stride, padding, dilation) for size in (height, width))
    made = torch.zeros(count, outputs, rows, columns, dtype=x.dtype)
    reach = dilation * (kernel - 1) + 1
    for out in range(outputs):
        group = out // (outputs // groups)
        own = slice(group * depth, (group + 1) * depth)  # the channels that this output reads
        for i in range(rows):
            for j in range(columns):
                top, left = i * stride, j * stride
                window = x[:, own, top : top + reach : dilation, left : left + reach : dilation]
                made[:, out, i, j] = (window * weight[out]).sum(dim=(1, 2, 3))
    return made


def conv2d_matrix(x: torch.Tensor, weight: torch.Tensor, stride: int = 1, padding: int = 0) -> torch.Tensor:
    """The same as one matrix product: every window laid out as a column (im2col)."""
    count, _, height, width = x.shape
    outputs, _, kernel, _ = weight.shape
    columns = F.unfold(x, kernel, stride=stride, padding=padding)  # (N, C k k, places)
    rows, places = (out_size(size, kernel, stride, padding) for size in (height, width))
    return (weight.reshape(outputs, -1) @ columns).reshape(count, outputs, rows, places)


def conv_transpose2d(x: torch.Tensor, weight: torch.Tensor, stride: int = 1, padding: int = 0) -> torch.Tensor:
    """Every input stamps the kernel, times its value, onto the output; stamps that overlap add up.

    `weight` (C, outputs, k, k). `padding` cuts a rim off the result, where a convolution would add one.
    """
    count, channels, height, width = x.shape
    _, outputs, kernel, _ = weight.shape
    made = torch.zeros(count, outputs, (height - 1) * stride + kernel, (width - 1) * stride + kernel, dtype=x.dtype)
    for i in range(height):
        for j in range(width):
            for c in range(channels):
                stamp = x[:, c, i, j].reshape(count, 1, 1, 1) * weight[c]
                made[:, :, i * stride : i * stride + kernel, j * stride : j * stride + kernel] += stamp
    return made[:, :, padding : made.shape[2] - padding, padding : made.shape[3] - padding]


def bilinear_at(plane: torch.Tensor, y: float, x: float) -> torch.Tensor:
    """The value of (H, W) between the pixels, from the four around; outside of the plane are zeros."""
    top, left = math.floor(y), math.floor(x)
    total = torch.zeros((), dtype=plane.dtype)
    for row, share_y in ((top, 1 - (y - top)), (top + 1, y - top)):
        for column, share_x in ((left, 1 - (x - left)), (left + 1, x - left)):
            if 0 <= row < plane.shape[0] and 0 <= column < plane.shape[1]:
                total = total + plane[row, column] * (share_y * share_x)
    return total


def deform_conv2d(x: torch.Tensor, offset: torch.Tensor, weight: torch.Tensor, padding: int = 0) -> torch.Tensor:
    """A convolution each of whose taps reads beside its place: offset (N, 2 k k, H, W) has y, x for each tap.

    Source: Dai et al., Deformable Convolutional Networks (2017), equations 2 to 4.
    """
    count, channels, _, _ = x.shape
    outputs, _, kernel, _ = weight.shape
    rows, columns = offset.shape[2:]
    made = torch.zeros(count, outputs, rows, columns, dtype=x.dtype)
    for n in range(count):
        for i in range(rows):
            for j in range(columns):
                for tap in range(kernel * kernel):
                    dy, dx = offset[n, 2 * tap : 2 * tap + 2, i, j].tolist()
                    u, v = tap // kernel, tap % kernel
                    for c in range(channels):
                        value = bilinear_at(x[n, c], i - padding + u + dy, j - padding + v + dx)
                        made[n, :, i, j] += weight[:, c, u, v] * value
    return made


# ---- pooling and upsampling ----


def max_pool2d(x: torch.Tensor, kernel: int, stride: int) -> torch.Tensor:
    """The largest of each window."""
    rows, columns = (out_size(size, kernel, stride) for size in x.shape[2:])
    made = x.new_zeros(*x.shape[:2], rows, columns)
    for i in range(rows):
        for j in range(columns):
            window = x[:, :, i * stride : i * stride + kernel, j * stride : j * stride + kernel]
            made[:, :, i, j] = window.flatten(2).max(dim=2)[0]
    return made


def avg_pool2d(x: torch.Tensor, kernel: int, stride: int) -> torch.Tensor:
    """The mean of each window: a depthwise convolution whose weights are all 1 / k²."""
    channels = x.shape[1]
    weight = torch.full((channels, 1, kernel, kernel), 1 / kernel**2, dtype=x.dtype)
    return conv2d(x, weight, stride, groups=channels)


def nearest(x: torch.Tensor, times: int) -> torch.Tensor:
    """Every pixel becomes times x times of the same."""
    return x.repeat_interleave(times, dim=2).repeat_interleave(times, dim=3)


def bilinear(x: torch.Tensor, times: int) -> torch.Tensor:
    """Between the middles of pixels; at the rim the last pixel goes on (align_corners=False)."""
    height, width = x.shape[2:]
    made = torch.zeros(*x.shape[:2], height * times, width * times, dtype=x.dtype)
    for i in range(height * times):
        for j in range(width * times):
            y, u = (min(max((k + 0.5) / times - 0.5, 0), size - 1) for k, size in ((i, height), (j, width)))
            for n in range(x.shape[0]):
                for c in range(x.shape[1]):
                    made[n, c, i, j] = bilinear_at(x[n, c], y, u)
    return made


# ---- normalisation and dropout ----


def batch_norm(x: torch.Tensor, scale: torch.Tensor, shift: torch.Tensor, eps: float = 1e-5) -> torch.Tensor:
    """In training: each channel less its mean over batch and places, by its deviation; then `scale` and `shift` (C)."""
    mean = x.mean(dim=(0, 2, 3), keepdim=True)
    var = ((x - mean) ** 2).mean(dim=(0, 2, 3), keepdim=True)  # divided by N H W, not by one less
    return (x - mean) / (var + eps).sqrt() * scale.reshape(1, -1, 1, 1) + shift.reshape(1, -1, 1, 1)


def dropout(x: torch.Tensor, p: float) -> torch.Tensor:
    """In training: each number is 0 with probability p, and the rest grows by 1 / (1 - p), so that the mean stays."""
    return x * (torch.rand(x.shape) >= p) / (1 - p)


# ---- losses (section 55) ----


def bce(p: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """nn.BCELoss: p is a probability, the target 0 or 1 (or between)."""
    return -(target * p.log() + (1 - target) * (1 - p).log()).mean()


def cross_entropy(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """nn.CrossEntropyLoss: of logits (N, K), not of probabilities; minus the log of what the right class gets."""
    log_p = logits - logits.exp().sum(dim=1, keepdim=True).log()
    return -torch.stack([log_p[n, k] for n, k in enumerate(target.tolist())]).mean()


def l1(x: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return (x - target).abs().mean()


def mse(x: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return ((x - target) ** 2).mean()


def smooth_l1(x: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """A parabola within 1, straight beyond: no jump of the slope at 0, and no rule of far outliers."""
    apart = (x - target).abs()
    return torch.where(apart < 1, 0.5 * apart**2, apart - 0.5).mean()


def focal(logits: torch.Tensor, target: torch.Tensor, gamma: float) -> torch.Tensor:
    """Cross-entropy that forgets what is already right: times (1 - p)^gamma, p being what the right class gets.

    Source: Lin et al., Focal Loss for Dense Object Detection (2017), equation 4.
    """
    p = F.softmax(logits, dim=1).gather(1, target.unsqueeze(1)).squeeze(1)
    return (-((1 - p) ** gamma) * p.log()).mean()
