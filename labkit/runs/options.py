"""A lab's options: the fields of its `Config` dataclass, as a command line that answers mistakes in one sentence."""

from __future__ import annotations

import argparse
import dataclasses
import math
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Mapping, NoReturn, Sequence

from labkit.base import labs
from labkit.base.command import as_typed
from labkit.base.errors import UserError, nearest

Presets = Mapping[str, Mapping[str, Any]]
KINDS = {"str": str, "int": int, "float": float, "bool": bool}
SAVE_EVERY_S = 60.0


def option(
    default: Any,
    help: str,
    choices: Sequence[Any] = (),
    path: bool = False,
    at_least: float | None = None,
    above: float | None = None,
    rest: bool = False,
    instead: bool = False,
    reads: Sequence[str] = (),
    or_run: bool = False,
) -> Any:
    """A field of a lab's Config: `epochs: int = option(8, "passes over the training set", at_least=1)`.

    The annotation says what is read: str, int, float or bool; with ` | None` it may be left out, and None means that.
    A `path` arrives absolute, and a missing file is refused; `or_run`: a word without a suffix may also be the name of
    a run, or what else the lab knows by name. `rest` takes all words that belong to no option, joined as a shell would
    read them. `instead`: with this option the lab does something else than train on its data set, and reads none. Of
    the other options it then looks at those that it `reads`, and typing another is refused ((): it looks at any); those
    of them that are `or_run` say what it works with, and do not go without it.
    """
    extra = {"help": help, "choices": tuple(choices), "path": path, "at_least": at_least, "above": above, "rest": rest,
             "instead": instead, "reads": tuple(reads), "or_run": or_run}  # fmt: skip
    return dataclasses.field(default=default, metadata=extra)


@dataclass(frozen=True)
class Request:
    """What one command line asked for. `typed` holds only the lab options that were written out."""

    typed: dict[str, Any]
    preset: str
    smoke: bool
    sample: bool
    resume: str
    seed: int | None
    save_every_s: float
    words_for: str = ""  # the field that took the words that belong to no option
    practice: bool = False  # the lab's exercises, in place of its run
    hint: str = ""  # name of an exercise
    solution: str = ""


def flag(name: str) -> str:
    """How the field `name` is written on the command line."""
    return "--" + name.replace("_", "-")


def parse(
    argv: Sequence[str],
    config_class: type,
    presets: Presets,
    lab: str,
    about: str = "",
    folder: Path | None = None,
) -> Request:
    """Read `argv`; paths in it start from `folder` (default: the current one).

    Raises UserError for what is wrong with it; `--help` prints and leaves with status 0.
    """
    words_for = next((field.name for field in dataclasses.fields(config_class) if field.metadata.get("rest")), "")
    parser = _Parser(
        usage=f"./inv lab {lab} -- [options]{' [words]' * bool(words_for)}",
        description=about,
        epilog=_describe(presets, words_for),
        formatter_class=lambda prog: argparse.RawDescriptionHelpFormatter(prog, max_help_position=28),
        allow_abbrev=False,
        add_help=False,
    )
    _add_lab_options(parser.add_argument_group("options of this lab"), config_class, folder or Path.cwd())
    group = parser.add_argument_group("options of every lab")
    names = ", ".join(presets)
    if presets:
        group.add_argument("--preset", metavar="NAME", default="", help=f"a named set of options: {names}")
    group.add_argument("--smoke", action="store_true", help="one short run on the CPU and the sample that must learn")
    group.add_argument("--sample", action="store_true", help="train on the small synthetic stand-in, not the real data")
    group.add_argument("--seed", metavar="N", type=_reader("--seed", int, at_least=0, at_most=2**32 - 1),
                       help="random seed (default: 0)")  # fmt: skip
    group.add_argument("--resume", metavar="RUN", default="", help="continue a run that stopped: its name, or latest")
    group.add_argument(
        "--save-every", metavar="SECONDS", type=_reader("--save-every", float, at_least=0),
        default=SAVE_EVERY_S,
        help="time between checkpoints (default: 60)",
    )  # fmt: skip
    if (labs.LABS / lab / "practice.py").exists():
        group.add_argument("--practice", action="store_true", help="the lab's exercises, which check themselves")
        group.add_argument("--hint", metavar="EXERCISE", default="", help="print a hint for an exercise")
        group.add_argument("--solution", metavar="EXERCISE", default="", help="print the solution of an exercise")
    group.add_argument("--help", "-h", action="help", help="show this help and exit")

    help_command = f"./inv lab {lab} -- --help"
    try:
        given, rest = parser.parse_known_args(list(argv))
    except UserError as error:
        raise UserError(error.message, help_command) from None
    unknown = [word for word in rest if not words_for or re.match(r"-[^\d.]", word)]
    if unknown:
        raise UserError(_unknown(unknown[0], parser), help_command)
    values = vars(given)
    if rest:
        values[words_for] = " ".join(map(shlex.quote, rest))
    preset = values.get("preset", "")
    if preset and preset not in presets:
        raise UserError(f"--preset: there is no {preset}; {nearest(preset, list(presets))}", help_command)
    if preset and given.smoke:
        raise UserError(f"--smoke is a preset itself and cannot be joined with --preset {preset}", help_command)
    practice = bool(values.get("practice") or values.get("hint") or values.get("solution"))
    if practice and (given.smoke or preset):
        raise UserError("--practice trains nothing: --smoke and --preset do not go with it", f"./inv practice {lab}")
    typed = {field.name: values[field.name] for field in dataclasses.fields(config_class) if field.name in values}
    return Request(
        typed=typed,
        preset="smoke" if given.smoke and "smoke" in presets else preset,
        smoke=given.smoke,
        sample=given.sample or given.smoke,
        resume=given.resume,
        seed=given.seed,
        save_every_s=given.save_every,
        words_for=words_for,
        practice=practice,
        hint=values.get("hint", ""),
        solution=values.get("solution", ""),
    )


def build(config_class: type, presets: Presets, request: Request) -> Any:
    """The Config for `request`: defaults, then the preset, then what was typed. Refuses what would not be looked at."""
    config = config_class(**{**presets.get(request.preset, {}), **request.typed})
    for field in dataclasses.fields(config_class):
        name, reads, given = flag(field.name), field.metadata["reads"], field.name in request.typed
        others = [other for other in request.typed if other not in (field.name, *reads)]
        if given and reads and others:
            raise UserError(f"{name} trains nothing and does not look at {flag(others[0])}")
        if given and reads and request.preset and not request.smoke:
            raise UserError(f"{name} trains nothing and does not look at --preset")
        for other in dataclasses.fields(config_class):
            if other.name in reads and other.metadata["or_run"] and other.name in request.typed and not given:
                raise UserError(f"{flag(other.name)} goes with {name}, which is not given")
    return config


def words(request: Request) -> list[str]:
    """The command line of `request`, as `parse` read it: paths absolute, defaults left out."""
    said: list[str] = []
    for name, value in request.typed.items():
        if name != request.words_for:
            off = "--no-" + flag(name)[2:]
            said += [flag(name) if value else off] if isinstance(value, bool) else [flag(name), str(value)]
    said += ["--preset", request.preset] if request.preset and not request.smoke else []
    said += ["--smoke"] if request.smoke else ["--sample"] if request.sample else []
    said += ["--practice"] if request.practice else []
    said += ["--hint", request.hint] if request.hint else []
    said += ["--solution", request.solution] if request.solution else []
    said += ["--seed", str(request.seed)] if request.seed is not None else []
    said += [f"--resume={request.resume}"] if request.resume else []
    said += ["--save-every", f"{request.save_every_s:g}"] if request.save_every_s != SAVE_EVERY_S else []
    return said + shlex.split(request.typed.get(request.words_for, ""))


def dataset_for(config: Any, known: Sequence[str]) -> tuple[str, bool]:
    """The data set that a lab with this Config will read, "" for none, and whether its sample is enough.

    `known` are the lab's data sets, the first being the default. A Config whose `dataset` was left out and is None
    wants the sample; one whose `trains` is false reads none.
    """
    fields = dataclasses.fields(config)
    instead = any(field.metadata["instead"] and getattr(config, field.name) for field in fields)
    if not known or instead or not getattr(config, "trains", True):
        return "", False
    asked = getattr(config, "dataset", known[0])
    return asked or known[0], asked is None


def downloads(config: Any) -> dict[str, tuple[str, ...]]:
    """What the lab reads beside its data set, such as published weights: data set -> parts, from Config.downloads."""
    return dict(config.downloads()) if hasattr(config, "downloads") else {}


def files_of(config: Any) -> list[Path]:
    """The existing files and folders that the path options name."""
    fields = [field for field in dataclasses.fields(config) if field.metadata["path"]]
    values = [getattr(config, field.name) or "" for field in fields]
    named = [word for value in values for word in ([value] if Path(value).exists() else value.split(","))]
    return [Path(word) for word in named if word and Path(word).exists()]


def resolve(name: str, value: str, folder: Path, or_run: bool = False) -> str:
    """`value` of the path option `name` as an absolute path, or several separated by commas.

    With `or_run`, a word that is no path and has no suffix stays as it is: it may be the name of a run.
    """
    path = folder / Path(value).expanduser()
    if path.exists():
        return str(path.absolute())
    if "," in value:
        return ",".join(resolve(name, word, folder, or_run) for word in value.split(","))
    if path.suffix or not or_run:
        raise UserError(f"{name}: there is no file {value}")
    return value


def several(lab: str, name: str, typed: str, known: Sequence[str]) -> tuple[str, ...]:
    """The names in `--name a,b`, each once. Raises UserError for one that is not `known`, or for none."""
    names = tuple(dict.fromkeys(word.strip().lower() for word in typed.split(",") if word.strip()))
    example = f"./inv lab {lab} -- {flag(name)} {','.join(known[:2])}"
    if not names:
        raise UserError(f"{flag(name)} names nothing", example)
    for word in names:
        if word not in known:
            raise UserError(f"{flag(name)}: there is no {word}; {nearest(word, list(known))}", example)
    return names


FORMER = {"pictures": "images"}  # names of options that older runs wrote down -> today's


def from_record(config_class: type, recorded: Mapping[str, Any]) -> Any:
    """The Config that a run wrote down. Raises TypeError for options that this version does not have.

    Until 27 November 2026 an option that was left out was written as 0 or "", and some had other names.
    """
    values = {FORMER.get(name, name): value for name, value in recorded.items()}
    for field in dataclasses.fields(config_class):
        kind, may_be_left_out = str(field.type).replace(" | None", ""), "None" in str(field.type)
        if may_be_left_out and not values.get(field.name):
            values[field.name] = None
        elif field.name in values and type(values[field.name]) not in (KINDS[kind], int if kind == "float" else None):
            raise TypeError(f"{field.name} is not a {kind}")
    return config_class(**values)


class _Parser(argparse.ArgumentParser):
    def format_help(self) -> str:
        return as_typed(super().format_help())

    def error(self, message: str) -> NoReturn:
        raise UserError(message[len("argument ") :] if message.startswith("argument ") else message)


def _add_lab_options(group: Any, config_class: type, folder: Path) -> None:
    for field in dataclasses.fields(config_class):
        kind, extra = KINDS[str(field.type).replace(" | None", "")], field.metadata
        about = str(extra["help"]).replace("%", "%%")
        if extra["rest"]:
            group.description = f"[words]: {about}"
            continue
        name = flag(field.name)
        keywords: dict[str, Any] = {"dest": field.name, "default": argparse.SUPPRESS}
        if kind is bool:
            state = "on" if field.default else "off"
            group.add_argument(name, action="store_const", const=True, help=f"{about} (default: {state})", **keywords)
            group.add_argument(
                "--no-" + name[2:], action="store_const", const=False, help=argparse.SUPPRESS, **keywords
            )
            continue
        if field.default is not None:
            about += f" (default: {field.default})"
        metavar = {int: "N", float: "X", str: "PATH" if extra["path"] else "TEXT"}[kind]
        if extra["choices"]:
            metavar = "|".join(str(choice) for choice in extra["choices"])
        start = folder if extra["path"] else None
        read = _reader(name, kind, extra["choices"], start, extra["at_least"], extra["above"], extra["or_run"])
        group.add_argument(name, metavar=metavar, type=read, help=about, **keywords)


def _reader(
    name: str,
    kind: type,
    choices: Sequence[Any] = (),
    folder: Path | None = None,
    at_least: float | None = None,
    above: float | None = None,
    or_run: bool = False,
    at_most: float | None = None,
) -> Any:
    """What reads the text of one option; `folder` is where a path starts, None where it is no path."""

    def read(text: str) -> Any:
        try:
            value = kind(text)
        except ValueError:
            raise UserError(f"{name}: {text} is not a {'whole number' if kind is int else 'number'}") from None
        if kind is float and not math.isfinite(value):
            raise UserError(f"{name}: {text} is not a finite number")
        if choices and value not in choices:
            raise UserError(f"{name}: unknown value {text}; {nearest(text, [str(choice) for choice in choices])}")
        if at_least is not None and value < at_least:
            raise UserError(f"{name} must be at least {at_least}, not {text}")
        if at_most is not None and value > at_most:
            raise UserError(f"{name} must be at most {at_most}, not {text}")
        if above is not None and value <= above:
            raise UserError(f"{name} must be more than {above}, not {text}")
        return resolve(name, text, folder, or_run) if folder and text else value

    return read


def _unknown(word: str, parser: argparse.ArgumentParser) -> str:
    if not word.startswith("-"):
        return f"unexpected word '{word}'; options begin with --"
    word = word.split("=")[0]
    known: list[str] = [name for name in parser._option_string_actions if name.startswith("--")]
    return f"unknown option {word}; {nearest(word, known)}"


def _describe(presets: Presets, words_for: str) -> str:
    def spelled(values: Mapping[str, Any]) -> str:
        words = []
        for name, value in values.items():
            if value is None:
                continue
            if isinstance(value, bool):
                words.append(flag(name) if value else "--no-" + flag(name)[2:])
            else:
                words.append(value if name == words_for else f"{flag(name)} {value}")
        return " ".join(words)

    lines = [f"  {name}: {spelled(values)}" for name, values in presets.items()]
    return "\n".join(["presets:", *lines]) if lines else ""
