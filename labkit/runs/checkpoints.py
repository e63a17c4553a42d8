"""Checkpoints: what is in one, and how it is read without trusting it."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any, Mapping

from labkit.base.console import warn
from labkit.base.errors import UserError
from labkit.runs import records
from labkit.runs.options import flag

CONTENT = {"lab": str, "config": dict, "step": int, "state": dict, "rng": dict, "metrics_bytes": int}

MOST = 2**62  # steps, or bytes


def load_checkpoint(path_or_run: str | Path, lab: str, expect: Mapping[str, Any]) -> dict[str, Any]:
    """What `read_checkpoint` says of a trained model's; warns where its run has not finished.

    `path_or_run` is a file, a run's folder, a run's name, or `latest`: the newest run that has one. Raises UserError
    where it is none of these, or was trained with another value of an option in `expect`.
    """
    path = Path(path_or_run).expanduser()
    if str(path_or_run) == "latest":
        trained = [run.checkpoint for run in records.table() if run.lab == lab and run.checkpoint.exists()]
        if not trained:
            raise UserError(f"no run of {lab} has a checkpoint yet", f"./inv lab {lab}")
        path = trained[0]
    elif not path.is_file():
        path = records.find(str(path_or_run), lab) / "checkpoints" / "last.pt"
    saved = read_checkpoint(path, lab)
    for name, value in expect.items():
        trained = saved["config"].get(name)
        if trained != value:
            raise UserError(f"{path} was trained with {flag(name)} {trained}, not {value}", "./inv runs")
    run = path.parent.parent
    if (run / "summary.json").exists() and (status := records.read(run).status) != "finished":
        warn(f"the run {run.name} is {status}: after {saved['step']:,} steps its training is not done")
    return saved


def read_checkpoint(path: Path, lab: str) -> dict[str, Any]:
    """A checkpoint: {"lab", "config", "step", "state", ...}, tensors on the CPU.

    Raises UserError where the file is none, or belongs to another lab.
    """
    from labkit.runs import compat

    saved = compat.load(path)
    if not isinstance(saved, dict) or not all(isinstance(saved.get(name), kind) for name, kind in CONTENT.items()):
        raise UserError(f"{path} is not a checkpoint of a lab", "./inv runs")
    if not saved["state"] or not 0 <= saved["step"] < MOST or not 0 <= saved["metrics_bytes"] < MOST:
        raise UserError(f"{path} is damaged: it holds no state, or counts what cannot be", "./inv runs")
    if saved["lab"] != lab:
        raise UserError(f"{path} is a checkpoint of the lab {saved['lab']}, not of {lab}", "./inv runs")
    return saved


def latest_trained(lab: str, missing: str, next_command: str, **options: Any) -> str:
    """The folder of the newest finished run of `lab` with these `options`; on real data where there is one.

    Raises UserError with the sentence `missing` where there is none.
    """
    trained = [run for run in records.table() if (run.lab, run.status) == (lab, "finished") and run.checkpoint.exists()]
    for run in sorted(trained, key=lambda run: run.data == "sample"):
        had = records.load_json(run.folder / "config.json").get("options", {})
        # An option that was left out is None, and was "" or 0 in older runs.
        if all((had.get(name) or None) == (value or None) for name, value in options.items()):
            return str(run.folder)
    raise UserError(missing, next_command)


def random_state() -> dict[str, Any]:
    """The global generators of Python, NumPy and PyTorch, as tensors and plain containers."""
    import numpy
    import torch

    name, keys, *rest = numpy.random.get_state()
    return {
        "python": random.getstate(),
        "numpy": [name, torch.from_numpy(keys.astype("int64")), *rest],
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def set_random_state(saved: Mapping[str, Any]) -> None:
    """Put the generators back to where `random_state` found them. Raises ValueError for what is no such state."""
    import numpy
    import torch

    try:
        version, state, gauss = saved["python"]
        random.setstate((version, tuple(state), gauss))
        name, keys, position, has_gauss, gauss = saved["numpy"]
        if name != "MT19937" or keys.shape != (624,) or not 0 <= position <= 624:  # an older NumPy reads behind its end
            raise ValueError
        numpy.random.set_state((name, keys.numpy().astype("uint32"), int(position), int(has_gauss), float(gauss)))
        own, other = torch.get_rng_state(), saved["torch"]
        if other.dtype != own.dtype or other.shape != own.shape:  # PyTorch 1.5 would read behind its end
            raise ValueError
        torch.set_rng_state(other)
        if torch.cuda.is_available() and len(saved["cuda"]) == torch.cuda.device_count():
            torch.cuda.set_rng_state_all(saved["cuda"])
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError, OverflowError) as error:
        raise ValueError(f"its random numbers cannot be continued ({type(error).__name__})") from None
