"""What is in a run's folder: the type of each record, and how they are read.

Anybody may have written what is in a run folder. So no file is read that lies outside of it, and what does not fit its
type is left out: a broken file costs what it tells, never the run, the page or the list of runs. Text passes as it is;
templates and terminals must take care of it. docs/RUN_FOLDER.md is made from the types here.
"""

# The types are looked at while the program runs, also by Python 3.8: hence Dict and Optional, and no `annotations`.

import io
import json
import os
import struct
from math import isfinite, nan
from pathlib import Path
from typing import Any, Dict, Iterator, List, Literal, Mapping, Optional, Tuple, Type, Union

import msgspec

from labkit.base import typed
from labkit.base.language import Both
from labkit.base.typed import Annotated, Kind, Record, said

Number = Union[int, float, None]  # null where it was no finite number, which JSON cannot say
Plain = Union[bool, int, float, str, None]
History = Dict[str, Tuple[List[int], List[float]]]  # {name: (steps, values)}

BEYOND = 1e100  # nothing that is measured is as large, and sums of what is smaller stay finite
MOST_RECORD_BYTES = 8 << 20  # of a record of a run
MOST_LOG_BYTES, MOST_LINES = 64 << 20, 1_000_000
MOST_NAMES, MOST_NAME_BYTES = 1000, 200  # under which a run logs; each is drawn, into a file of that name
TRUST = ("sample", "unverified", "recorded", "verified")  # kinds of data, the least trustworthy first


class Config(Record, frozen=True):
    """What was asked for. Written once, when the run is opened."""

    lab: Annotated[str, said("name of the lab", "实验名")]
    started: Annotated[str, said('UTC, "2026-11-23 17:15:00"', 'UTC 时间，如 "2026-11-23 17:15:00"')]
    preset: Annotated[str, said('"smoke", a preset of the lab, or ""', '"smoke"、实验的某个预设，或 ""')]
    smoke: Annotated[bool, said("whether this is a smoke run", "是否为冒烟运行")]
    sample: Annotated[bool, said("whether it reads synthetic samples", "是否读取合成的样例而非真实数据")]
    seed: Annotated[int, msgspec.Meta(ge=0, lt=2**32), said("what all random numbers follow from", "所有随机数的种子")]
    options: Annotated[
        Dict[str, Union[bool, int, float, str, List[Plain], None]],
        said("the lab's own options, after defaults and preset", "实验自己的参数，已含默认值与预设"),
    ]
    title: Annotated[str, said("title of the lab", "实验的英文标题")] = ""
    title_zh: Annotated[str, said("its title in Chinese", "实验的中文标题")] = ""
    practice: Annotated[bool, said("whether it is a practice", "是否为练习")] = False
    command: Annotated[str, said("what to type to train again in the same way", "以同样方式再次训练的命令")] = ""


class DataUsed(msgspec.Struct, frozen=True):
    """A data set that the run read."""

    kind: Annotated[str, said("sample, unverified, recorded, verified", "sample、unverified、recorded、verified")] = ""
    source: Annotated[str, said("host, path, or program that drew it", "来源主机、路径或绘制它的程序")] = ""
    when: Annotated[str, said("when it arrived, UTC, ISO 8601", "到达时间，UTC，ISO 8601")] = ""


class Environment(Record, frozen=True):
    """What the result depends on besides the code and the options. Written when the run begins; null is not known."""

    stack: Annotated[Optional[str], said('stack and build, "cpu/index"', '环境与构建，如 "cpu/index"')] = None
    python: Annotated[Optional[str], said("version of Python", "Python 版本")] = None
    torch: Annotated[Optional[str], said("version of PyTorch", "PyTorch 版本")] = None
    device: Annotated[Optional[str], said("cpu or cuda", "cpu 或 cuda")] = None
    device_reason: Annotated[Optional[str], said("why that, or which GPU", "选择该设备的原因，或 GPU 型号")] = None
    threads: Annotated[Optional[int], said("threads that PyTorch computes with", "PyTorch 计算所用的线程数")] = None
    processes: Annotated[Optional[int], said("processes that train together", "共同训练的进程数")] = None
    allocator: Annotated[Optional[str], said("who hands out memory", "内存分配器")] = None
    cpu: Annotated[Optional[str], said("name of the processor", "处理器名称")] = None
    platform: Annotated[Optional[str], said("operating system and C library", "操作系统与 C 库")] = None
    cuda: Annotated[Optional[str], said("version of CUDA, on a GPU", "CUDA 版本（使用 GPU 时）")] = None
    driver: Annotated[Optional[str], said("NVIDIA's driver, on a GPU", "NVIDIA 驱动版本（使用 GPU 时）")] = None
    commit: Annotated[Optional[str], said('of torch-labs; "" without git', 'torch-labs 的提交；无 git 时为 ""')] = None
    dirty: Annotated[bool, said("whether files differed from it: code.diff", "是否与提交不同：见 code.diff")] = False
    seed: Annotated[Optional[int], said("as in config.json", "同 config.json")] = None
    data: Annotated[Dict[str, DataUsed], said("data sets that were read, by name", "所读的数据集，以名称为键")] = (
        msgspec.field(default_factory=dict)
    )
    packages: Annotated[Dict[str, str], said("installed packages and their versions", "已安装的包及版本")] = (
        msgspec.field(default_factory=dict)
    )


Status = Literal["running", "finished", "stopped", "failed"]


class Summary(Record, frozen=True):
    """Where the run stands. Written anew every 20 s or more, and at the end."""

    status: Annotated[
        Status,
        said("how it ended; stopped: it can be resumed. running, where no process holds the folder: it was killed",
             "如何结束；stopped：可继续。若为 running 而无进程持有此文件夹，则是被中断"),
    ] = "running"  # fmt: skip
    metrics: Annotated[
        Dict[str, Number],
        said("results, the most important first; until then, what was logged last",
             "结果，最重要的在前；尚未结束时为最近的记录"),
    ] = msgspec.field(default_factory=dict)  # fmt: skip
    seconds: Annotated[float, said("in all its processes, without pauses, s", "各次运行的总时长，不含停顿，秒")] = 0.0
    logging_share: Annotated[Number, said("of the time, what logging took; 0 to 1", "记录所占时间比例，0 到 1")] = None
    error: Annotated[str, said("why it failed", "失败原因")] = ""
    traceback: Annotated[str, said("where in the code", "出错的代码位置")] = ""
    epoch_steps: Annotated[int, said("steps in an epoch; 0 where there are none", "一轮的步数；没有轮次时为 0")] = 0


class Words(msgspec.Struct, frozen=True):
    """A text in two languages."""

    en: Annotated[str, said("in English", "英文")]
    zh: Annotated[str, said("in Chinese", "中文")]


Text = Union[str, Words]
Cell = Union[bool, int, float, str, None, Words]


class Item(msgspec.Struct, frozen=True):
    """Something that the report shows."""

    kind: Annotated[Literal["figure", "table", "note"], said("what it is", "类型")]
    name: Annotated[str, said("plots/NAME.png, tables/NAME.json", "plots/NAME.png、tables/NAME.json")] = ""
    caption: Annotated[Text, said("what stands with it", "标题文字")] = ""
    step: Annotated[Optional[int], said("when it was drawn, if shown live", "绘制时的步数（实时显示时）")] = None


class Items(Record, frozen=True):
    """What the report shows besides curves and facts, in the order in which the lab gave it."""

    items: Annotated[List[Item], said("figures, tables, notes", "图、表与说明")] = msgspec.field(default_factory=list)


class Table(Record, frozen=True):
    """A table of the report."""

    columns: Annotated[List[Cell], said("heads", "表头")]
    rows: Annotated[List[List[Cell]], said("cells: text or numbers", "单元格：文字或数")]


class Row(Record, frozen=True):
    """A line of a log. There the values stand beside `step`, and `format` only where it is not 1."""

    step: Annotated[int, said("how many steps were done", "已完成的步数")]
    values: Annotated[
        Dict[str, Number], said("what was logged under a NAME; null is nan", "以 NAME 记录的数；null 为 nan")
    ]


RECORDS: Dict[str, Type[Record]] = {
    "config.json": Config, "env.json": Environment, "summary.json": Summary, "report.json": Items,
}  # fmt: skip


def text(value: str) -> Text:
    """A text for a record: in both languages where it is known in both (`language.both`), and plain."""
    if isinstance(value, Both) and value.en != value.zh:
        return Words(value.en, value.zh)
    return str.__str__(value)  # also of a subclass, as NumPy has one


def cell(value: Any) -> Cell:
    """What a lab puts into a table, for its record."""
    if isinstance(value, str):
        return text(value)
    return int(value) if isinstance(value, int) else plain_number(value)


def plain_number(value: Any, whole: bool = False) -> Number:
    """`value`, also of NumPy or a tensor with a gradient, as a number of JSON, which knows neither nan nor infinity.

    It is a float, or as it is where it may be `whole` and is.
    """
    if whole and type(value) is int:
        return value
    return finite(float(value.item() if hasattr(value, "item") else value))


def both_of(value: Text) -> Both:
    """A text of a record, as it was given to `text`."""
    return Both(value.en, value.zh) if isinstance(value, Words) else Both(value, value)


# ---- reading ----


def read(folder: Path, name: str, kind: Type[Kind]) -> Optional[Kind]:
    """The record `name` of the run folder; None where there is none, or none that can be used, which one line says."""
    path = inside(folder, name)
    if path is not None:
        return typed.read(path, kind, MOST_RECORD_BYTES)
    if os.path.lexists(folder / name):
        typed.leave_out(folder / name, "it is no file of this folder")
    return None


def history(folder: Path, name: str = "metrics.jsonl") -> History:
    """What the run in `folder` logged; a value that is no number is nan.

    Names that no file can have, and all after the first `MOST_NAMES`, are left out.
    """
    found: History = {}
    undrawn = ""
    for row in rows(folder, name):
        for key, value in row.values.items():
            if key not in found:
                if len(found) == MOST_NAMES or not key.isprintable() or len(key.encode()) > MOST_NAME_BYTES:
                    undrawn = undrawn or key
                    continue
                found[key] = ([], [])
            steps, values = found[key]
            steps.append(row.step)
            values.append(countable(value))
    if undrawn:
        typed.leave_out(folder / name, f"there are names in it that cannot be drawn, as {undrawn[:40]!r}")
    return found


def rows(folder: Path, name: str) -> Iterator[Row]:
    """The lines of the log `name`. One that cannot be used is left out, and so is a last one that was cut off."""
    path = inside(folder, name)
    if path is None:
        return
    try:
        content = typed.read_bytes(path, MOST_LOG_BYTES)
        if content.count(b"\n") > MOST_LINES:
            raise ValueError(f"it has more than {MOST_LINES:,} lines")
    except (OSError, ValueError) as error:
        typed.leave_out(path, error)
        return
    first, wrong = "", 0
    for place, line in enumerate(io.BytesIO(content), start=1):
        try:
            if line.count(b",") > MOST_NAMES:
                raise ValueError(f"more than {MOST_NAMES} values")
            text = line.decode("utf-8", "replace")
            row = _plain_row(text) or _row(json.loads(text))
        except (ValueError, RecursionError) as error:
            if line.endswith(b"\n"):  # else it was cut off as the run was killed
                first, wrong = first or f"line {place}: {error}", wrong + 1
        else:
            yield row
    if wrong:
        typed.leave_out(path, first + (f", and {wrong - 1} more" if wrong > 1 else ""))


_PLAIN = msgspec.json.Decoder(Dict[str, Number])


def _plain_row(text: str) -> Optional[Row]:
    """The row in `text` where it is as we write it, ten times as fast as `_row`; None for `_row` to look at."""
    try:
        values = _PLAIN.decode(text)
    except msgspec.DecodeError:
        return None
    step = values.pop("step", None)
    if type(step) is not int or "format" in values:
        return None
    whole = [value for value in (step, *values.values()) if type(value) is int]
    return None if any(abs(value) > typed.MOST_WHOLE for value in whole) else Row(step=step, values=values)


def _row(content: Any) -> Row:
    if not isinstance(content, dict):
        raise ValueError("it is no object")
    heads = {key: content.pop(key) for key in ("format", "step") if key in content}
    return typed.taken({**heads, "values": content}, Row)


def line(step: int, values: Mapping[str, Number]) -> str:
    """A line for a log."""
    return json.dumps({"step": step, **values}) + "\n"


def png_size(png: bytes) -> Tuple[int, int]:
    """Width and height of a PNG in pixels, from its first chunk; (0, 0) for what is none."""
    if len(png) < 24 or not png.startswith(b"\x89PNG"):
        return 0, 0
    width, height = struct.unpack(">II", png[16:24])
    return width, height


def read_bytes(folder: Path, name: str) -> bytes:
    """The content of the file `name` of the run folder; b"" where there is none that can be read."""
    path = inside(folder, name)
    try:
        return typed.read_bytes(path) if path else b""
    except (OSError, ValueError):
        return b""


def inside(folder: Path, name: str) -> Optional[Path]:
    """Where the file `name` of the run folder is; None where there is none, or it lies outside: `..`, or a link."""
    try:
        if name in RECORDS and not os.path.islink(folder / name):  # a list of thousands of runs asks for nothing else
            return folder / name if os.path.isfile(folder / name) else None
        path = os.path.realpath(folder / name)
        within = path.startswith(os.path.join(os.path.realpath(folder), ""))
        return Path(path) if within and os.path.isfile(path) else None
    except (OSError, ValueError, RuntimeError):  # a name that no disk takes; links in a circle
        return None


def countable(value: Any) -> float:
    """`value` if it is a number that can be counted and drawn with, else nan."""
    return value if isinstance(value, (int, float)) and abs(value) < BEYOND else nan


def finite(value: float) -> Number:
    """`value` for a record: None where it is no finite number."""
    return value if isfinite(value) else None
