"""The state of what a training consists of: taken from its parts, and put back only where it fits."""

from __future__ import annotations

from typing import Any, Mapping

import torch

COUNTERS = ("step", "eta", "mu", "mu_product")  # what PyTorch's optimizers keep that is no tensor in some versions
MOST = 1e15  # no number of a training is as large; what is not a number or infinite is not less either


def on_cpu(value: Any) -> Any:
    """A tensor on the CPU; anything else as it is."""
    return value.cpu() if isinstance(value, torch.Tensor) else value


def of(part: Any) -> Any:
    """What `load` makes the part out of again: of a thing with `state_dict`, a list of such, a tensor, list or dict."""
    if hasattr(part, "state_dict"):
        return part.state_dict()
    if isinstance(part, (list, tuple)):
        return [of(member) for member in part]
    return on_cpu(part)


def load(part: Any, saved: Any) -> None:
    """Make `part` what `_state_of` said of it. Raises where it cannot be, before a step does: see Loop."""
    if isinstance(part, torch.optim.Optimizer):
        check_optimizer(part, saved)
        part.load_state_dict(saved)
    elif hasattr(part, "load_state_dict"):
        part.load_state_dict(saved)
    elif isinstance(part, torch.Tensor):
        if part.shape != saved.shape:
            raise ValueError(f"a tensor has shape {tuple(saved.shape)}, not {tuple(part.shape)}")
        part.copy_(saved)
    elif isinstance(part, dict):
        for name, value in part.items():
            if _kind(saved[name]) != _kind(value):
                raise ValueError(f"{name} is {_kind(saved[name])}, not {_kind(value)}")
        part.clear()
        part.update(saved)
    elif part and all(hasattr(member, "load_state_dict") for member in part):
        if len(part) != len(saved):
            raise ValueError(f"{len(saved)} states for {len(part)} parts")
        for member, state in zip(part, saved):
            load(member, state)
    else:
        if not isinstance(saved, list) or {_kind(value) for value in saved} not in (set(), {"number"}, {"Tensor"}):
            raise ValueError("what was kept is no list of numbers or tensors")
        part[:] = saved


def _kind(value: Any) -> str:
    """What a value is, so far as it matters to who computes with it."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return "number" if abs(value) < MOST else "number that is none"
    return type(value).__name__


def check_optimizer(optimizer: torch.optim.Optimizer, saved: Any) -> None:
    """Raise where `saved` is no state of this optimizer, which itself looks at little and fails at the next step."""
    own = optimizer.state_dict()
    if [_kinds(group) for group in saved["param_groups"]] != [_kinds(group) for group in own["param_groups"]]:
        raise ValueError("the settings of an optimizer are others")
    for group in saved["param_groups"]:
        settings = [value for value in group.values() if _kind(value) == "number"] + list(group.get("betas", ()))
        if min(settings, default=0) < 0 or max(group.get("betas", ()), default=0) >= 1:
            raise ValueError("a setting of an optimizer is a number that it cannot be")
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    numbers = [number for group in saved["param_groups"] for number in group["params"]]
    shapes = {number: parameter.shape for number, parameter in zip(numbers, parameters)}
    if not all(isinstance(state, dict) for state in saved["state"].values()):
        raise ValueError("what an optimizer keeps for a parameter is none")
    kept = {number: state for number, state in saved["state"].items() if state}
    if len({tuple(sorted((name, _kind(value)) for name, value in state.items())) for state in kept.values()}) > 1:
        raise ValueError("an optimizer keeps other things for one parameter than for another")
    for number, state in kept.items():
        for name, value in state.items():
            if _kind(value) not in (("number", "Tensor") if name in COUNTERS else ("Tensor", "NoneType")):
                raise ValueError(f"an optimizer keeps a {_kind(value)} as {name}")
            if isinstance(value, torch.Tensor) and value.dim() and value.shape != shapes[number]:
                raise ValueError(f"an optimizer keeps {tuple(value.shape)} for a parameter of {tuple(shapes[number])}")


def _kinds(group: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of an optimizer, as far as they must be the same: numbers of any value, all else as it is."""
    known = {name: value for name, value in group.items() if name != "initial_lr"}
    return {
        name: len(value) if name == "params" else [_kind(one) for one in value] if isinstance(value, (list, tuple)) else
        _kind(value) if _kind(value) == "number" else value
        for name, value in known.items()
    }  # fmt: skip


def check_means(sums: Mapping[str, Any], looks: list[Any]) -> None:
    """Raise ValueError where a Loop could not go on with these sums and looks."""
    for total, count in sums.values():
        if not isinstance(count, int) or count < 1 or not (_kind(total) == "number" or total.numel() == 1):
            raise ValueError("a mean is of no numbers")
    if not all(isinstance(look, torch.Tensor) and look.shape == looks[0].shape for look in looks):
        raise ValueError("what was seen on the way is no row of images")
