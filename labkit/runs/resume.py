"""Whether a run can go on: found out from its records, without torch, before anything is prepared."""

from __future__ import annotations

import os
import shlex
import stat
from pathlib import Path
from typing import Any

from labkit.base import paths
from labkit.base.errors import UserError
from labkit.runs import options, records


def require_plain(folder: Path) -> None:
    """Raise UserError where something in the run folder is no plain file or folder; a run makes nothing else.

    A link would lead what is written elsewhere, and who opens a pipe waits for ever.
    """
    if folder.is_symlink():
        raise UserError(f"{paths.shown(folder)} is a link, and a resumed run might write through it", "./inv runs")
    for place, folders, names in os.walk(str(folder)):
        for name in [*folders, *names]:
            mode = os.lstat(os.path.join(place, name)).st_mode
            if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
                strange = paths.shown(Path(place) / name)
                what = "link, and a resumed run might write through it" if stat.S_ISLNK(mode) else "pipe or a device"
                raise UserError(f"{strange} is a {what}", f"rm {shlex.quote(strange)}, then the same command")


def find(request: options.Request, config_class: type, lab: str) -> tuple[Path, dict[str, Any], Any]:
    """The folder of the run that `--resume` names, its config.json, and the Config that it started with.

    Raises UserError where there is no such run of `lab`, it has finished, or other options are asked for than it has.
    """
    found = records.read(records.find(request.resume, lab, request.practice))
    if found.lab != lab:
        command = records.resume_command(found.lab, found.folder.name)
        raise UserError(f"{found.name} is a run of {found.lab}, not of {lab}", command)
    if found.status == "finished":
        raise UserError(f"the run {found.name} has finished; there is nothing to resume", f"./inv report {found.name}")
    require_plain(found.folder)
    facts = records.load_json(found.folder / "config.json")
    try:
        config = options.from_record(config_class, facts["options"])
    except (KeyError, TypeError):
        raise UserError(f"the run {found.name} was started by another version of {lab}", f"./inv lab {lab}") from None
    asked = {options.flag(name): (value, getattr(config, name)) for name, value in request.typed.items()}
    if request.seed is not None:
        asked["--seed"] = (request.seed, facts["seed"])
    if request.preset:
        asked["--preset"] = (request.preset, facts["preset"])
    for name in ("smoke", "sample", "practice"):
        if getattr(request, name):
            asked[f"--{name}"] = (True, facts[name])
    for name, (new, old) in asked.items():
        if new != old:
            raise UserError(
                f"the run {found.name} was started with {name} {old}, and a resumed run keeps its options",
                records.resume_command(lab, found.folder.name),
            )
    return found.folder, facts, config
