"""The one place that knows how PyTorch 1.5 (the notes' version) and today's PyTorch differ."""

from __future__ import annotations

import contextlib
import io
import os
import warnings
from pathlib import Path
from typing import Any, ContextManager

import torch

from labkit.base import files
from labkit.base.errors import UserError
from labkit.base.hardware import processor
from labkit.data.unpickle import Refused
from labkit.runs import tensor_file

MODERN = hasattr(torch, "autocast")  # since 1.10; the notes' 1.5.0 has neither this nor `weights_only`
# For Adam: its arithmetic in one pass over the weights. A step over 28 million of them took 0.03 s instead of 0.19 s
# (two cores of an AMD EPYC that tests shared, torch 2.11.0, 2026-11-25).
FUSED: dict[str, Any] = {"fused": True} if MODERN else {}
PAYS_FROM = 256  # numbers in a Transformer's vectors: see fast_dtype


def fast_dtype(device: torch.device, width: int = 0) -> tuple[torch.dtype, str]:
    """The dtype that `device` multiplies fastest without losing accuracy, and why: (dtype, reason).

    `width` is the length of a Transformer's vectors, 0 for a network of convolutions. With AMX a block's step was 1.01,
    1.52 and 2.22 times as fast in bfloat16 at a width of 128, 256 and 512, and whole models of 128 were slower in it
    (1,024 tokens, torch 2.11.0, 1 thread, 2026-11-26).

    bfloat16 on a processor pays with AMX, and with AVX-512 on AMD (1.6 to 2.1 times as fast on Zen 4). Intel's AVX-512
    without AMX has the instructions too, yet convolutions are slower in it than in float32 (177, not 310 GFLOP/s, on a
    Xeon, torch 2.11.0, 2 threads, 2026-11-23). The choice rests on the processor alone, never on a timing, because a
    resumed run must choose the same.
    """
    if not MODERN:
        return torch.float32, f"PyTorch {torch.__version__} has no autocast"
    if 0 < width < PAYS_FROM:
        return torch.float32, f"bfloat16 does not pay for vectors of {width} numbers, but from {PAYS_FROM} on"
    if device.type == "cuda":
        major, minor = torch.cuda.get_device_capability(device)
        if major >= 8:
            return torch.bfloat16, f"compute capability {major}.{minor} has bfloat16 tensor cores"
        return torch.float32, f"compute capability {major}.{minor} has no bfloat16"
    found = processor()
    if "amx_bf16" in found.flags:
        return torch.bfloat16, "the processor has AMX"
    if "avx512_bf16" in found.flags and found.vendor == "AuthenticAMD":
        return torch.bfloat16, "an AMD processor with avx512_bf16"
    return torch.float32, "bfloat16 is not faster on this processor"


def repeat_exactly() -> None:
    """Make a GPU compute the same bits in every run, where PyTorch has a way to.

    By itself it takes the fastest convolution, and lets many threads add to one place in whatever order they come.
    Operations without another way (those of `torch.use_deterministic_algorithms`'s list) stay as they are.
    """
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False
    if MODERN:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS reads it when it begins
        warnings.filterwarnings("ignore", message=".* does not have a deterministic implementation")
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.utils.deterministic.fill_uninitialized_memory = False  # it only finds defects, and takes time


def autocast(device: torch.device, dtype: torch.dtype) -> ContextManager[Any]:
    """A context in which the heavy operations run in `dtype`; for float32 it does nothing."""
    if dtype == torch.float32 or not MODERN:
        return contextlib.nullcontext()
    context: ContextManager[Any] = torch.autocast(device.type, dtype=dtype)
    return context


def save(obj: Any, path: Path) -> None:
    """Write tensors in plain containers to `path`; whoever looks sees the old file or the whole new one."""
    content = io.BytesIO()  # torch would report a full disk in words of its own
    torch.save(obj, content)
    with files.replacing(path) as file:
        file.write(content.getbuffer())


def load(path: Path) -> Any:
    """What `save` wrote, on the CPU. Nothing in the file can run: it may hold only tensors and plain containers.

    Raises UserError where `path` cannot be read, is no such file, or asks for anything else.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}", "./inv runs") from None
    try:
        return tensor_file.load(data)
    except Exception as error:  # a damaged file raises whatever its first wrong byte leads to
        reason = (str(error) or type(error).__name__).splitlines()[0].split(". ")[0].rstrip(".")
        if isinstance(error, Refused):
            reason = f"it asks for {error}, and only tensors and plain containers may be in it"
        raise UserError(f"{path} is not a checkpoint that can be loaded safely: {reason}", "./inv runs") from None


def add_graph(writer: Any, model: torch.nn.Module, example: torch.Tensor) -> None:
    """tensorboardX's `writer.add_graph(model, example)`, which hands torch 1.5 an argument that it does not know."""
    if MODERN:
        writer.add_graph(model, example)
        return
    from torch.utils.tensorboard._pytorch_graph import graph

    writer._get_file_writer().add_graph(graph(model, example))


def weight_norm(layer: torch.nn.Module, dim: int = 0) -> torch.nn.Module:
    """`layer` with its weight as a length for each slice along `dim` and a direction, which are learned apart."""
    if MODERN:
        parametrised: torch.nn.Module = torch.nn.utils.parametrizations.weight_norm(layer, dim=dim)
        return parametrised
    return torch.nn.utils.weight_norm(layer, dim=dim)
