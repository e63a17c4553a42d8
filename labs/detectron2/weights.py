"""Weights: of a run of this lab, of detectron2's model zoo, or from a file; opening them runs nothing in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from detectron2.checkpoint import DetectionCheckpointer
from detectron2.config import CfgNode
from torch import nn

from labkit.base.console import say
from labkit.base.errors import UserError, nearest
from labkit.base.paths import shown
from labkit.data import pickles
from labkit.runs import compat, records
from labkit.runs.checkpoints import load_checkpoint
from labs.detectron2 import configs, zoo


class SafeCheckpointer(DetectionCheckpointer):
    """detectron2's own, with its names and conversions, but it opens files without running what is in them."""

    def _load_file(self, filename: str) -> dict[str, Any]:
        if filename.endswith(".pkl"):  # the zoo's format: a pickle of NumPy arrays
            content = pickles.load(Path(filename))
            if isinstance(content, dict) and "model" in content and "__author__" in content:
                return content
            blobs = {name: value for name, value in content.items() if not name.endswith("_momentum")}
            return {"model": blobs, "__author__": "Caffe2", "matching_heuristics": True}  # R-50.pkl
        content = compat.load(Path(filename))
        if isinstance(content, dict) and isinstance(content.get("state"), dict):  # a checkpoint of this lab
            content = content["state"]
        return content if "model" in content else {"model": content}

    def _log_incompatible_keys(self, incompatible: Any) -> None:
        self.incompatible = incompatible


def load(model: nn.Module, path: Path, whole: bool) -> None:
    """Load the weights at `path` into `model`. UserError where it is `whole` that is wanted and something does not fit.

    Without `whole`, as before fine-tuning, what fits is taken and the rest keeps its random start.
    """
    checkpointer = SafeCheckpointer(model)
    try:
        checkpointer.load(str(path), checkpointables=[])
        missing, _, shapes = checkpointer.incompatible
    except (KeyError, AttributeError, TypeError, AssertionError) as error:
        raise UserError(f"{shown(path)} holds no weights of a detectron2 model ({error})") from None
    own = {name for name, _ in model.named_parameters()}
    lacking = [name for name in missing if name in own or "running_" in name]
    if whole and (lacking or shapes):
        example = f"{lacking[0]} is missing" if lacking else "{} is {} there and {} here".format(*shapes[0])
        raise UserError(
            f"the weights in {shown(path)} are of another architecture: {len(lacking) + len(shapes)} of {len(own)} "
            f"tensors do not fit ({example})", "the same command with the --config that they were trained with",
        )  # fmt: skip
    if lacking or shapes:
        count = len(lacking) + len(shapes)
        say(f"weights: {count} of {len(own)} tensors start at random, the others come from {path.name}")


def find(wanted: str | None, config: str) -> tuple[Path, dict[str, Any]]:
    """The file with the weights to use, and, of a run of this lab, its state (else {}).

    `wanted` is a file, a name of the model zoo, a run, or None for the newest run of `config` and else the zoo's
    weights of that name.
    """
    published = zoo.asked(wanted, config)
    if published:
        return zoo.path(published), {}
    wanted = wanted or str(zoo.trained(config) or "")
    if not wanted:
        command = f"./inv lab detectron2 -- --task train --config {config}"
        raise UserError(f"no network has been trained with --config {config} yet", command)
    path = Path(wanted)
    if path.is_file() and path.suffix in (".pkl", ".pth"):
        return path, {}
    if not path.exists() and wanted != "latest" and not any(found.name.endswith(wanted) for found in records.table()):
        hint = nearest(wanted, zoo.parts())
        raise UserError(f"--weights: {wanted} is neither a file, nor a run, nor in the model zoo; {hint}", "./inv runs")
    state = load_checkpoint(wanted, "detectron2", {"config": config})["state"]
    folder = path if path.is_dir() else records.find(wanted, "detectron2") if not path.is_file() else None
    return (folder / "checkpoints" / "last.pt" if folder else path), state


def initial(cfg: Any) -> Path | None:
    """What training starts from: cfg.MODEL.WEIGHTS, None for nothing. UserError where that is not to be had."""
    wanted = cfg.MODEL.WEIGHTS
    if not wanted or wanted == zoo.NONE:
        return None
    if Path(wanted).is_file():
        return Path(wanted)
    published = zoo.by_file(Path(wanted).name)
    if not published:
        raise UserError(f"training would start from {wanted}, of which no hash is known here",
                        f"give a file of yours with MODEL.WEIGHTS FILE, or MODEL.WEIGHTS {zoo.NONE}")  # fmt: skip
    return zoo.path(published)


def config_of(state: dict[str, Any]) -> Any:
    """The config with which a run of this lab was trained."""
    cfg = configs.default()
    try:
        cfg.merge_from_other_cfg(CfgNode.load_cfg(state["cfg"]))
        if not all(isinstance(name, str) for name in [*state["things"], *state["stuff"]]):
            raise ValueError("a class is no text")
    except Exception as error:  # of a checkpoint of somebody else's, whatever its first wrong value leads to
        problem = f"the checkpoint holds no config that can be used ({type(error).__name__}: {error})"
        raise UserError(" ".join(problem.split()), "./inv runs") from None
    return cfg
