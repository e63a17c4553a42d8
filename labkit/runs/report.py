"""A run's report.html: one page that needs nothing else, made from the files of the run folder."""

from __future__ import annotations

import base64
import re
import struct
from html import escape
from pathlib import Path
from typing import Any, Iterable

from labkit.base.files import megabytes, write_text
from labkit.runs import records
from labkit.runs.options import flag

WORDS = {
    "running": ("running", "训练中"),
    "finished": ("finished", "已完成"),
    "stopped": ("stopped", "已停止"),
    "failed": ("failed", "失败"),
    "killed": ("killed", "被中断"),
    "verified": ("verified data", "已验证的数据"),
    "recorded": ("recorded data", "已记录的数据"),
    "unverified": ("unverified data", "未验证的数据"),
    "sample": ("sample data", "样例数据"),
}
NUMBER = re.compile(r"[-+]?[\d.,]+(e[-+]?\d+)?\s?%?$")
REFRESH_S = 10
MOST_FILES = 300  # listed; a lab may derive one for each picture of its data


def render(folder: Path) -> Path:
    """Write report.html from what the run `folder` holds so far, and return its path."""
    run = records.read(folder)
    config, summary, env = (records.load_json(folder / f"{part}.json") for part in ("config", "summary", "env"))
    title = str(config.get("title", run.lab))
    sections = [
        _header(run, config, env),
        *_banners(run, summary, env),
        _results(run),
        _curves(folder / "plots" / "curves"),
        *_items(folder),
        _commands(run, config),
        _options(config),
        _environment(env, summary),
        _files(folder),
    ]
    # Only a run that goes on has anything new to show.
    refresh = f'<meta http-equiv="refresh" content="{REFRESH_S}">' if run.status == "running" else ""
    body = "".join(section for section in sections if section)
    write_text(folder / "report.html", page(f"{title} · {folder.name}", body, refresh))
    return folder / "report.html"


def page(title: str, body: str, head: str = "", script: str = "") -> str:
    """A whole page, with its style and script inside."""
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
{head}
<link rel="icon" href="data:,">
<title>{escape(title)}</title>
<style>
{(Path(__file__).with_name("pages") / "report.css").read_text(encoding="utf-8")}</style>
</head>
<body>
<main>{body}</main>
<footer>torch-labs</footer>
{f"<script>{script}</script>" if script else ""}
</body>
</html>
"""


def _header(run: records.RunInfo, config: dict[str, Any], env: dict[str, Any]) -> str:
    title_zh = str(config.get("title_zh", ""))
    badges = [(kind, WORDS[kind]) for kind in (run.status, run.data) if kind]
    facts = [
        f'<span class="badge {kind}">{english} <span lang="zh-CN">{chinese}</span></span>'
        for kind, (english, chinese) in badges
    ]
    facts += [escape(fact) for fact in (f"{run.started} UTC", duration(run.seconds), _device(env)) if fact]
    return (
        f'<header><p class="lab">{escape(run.name)}</p><h1>{escape(str(config.get("title", run.lab)))}</h1>'
        + (f'<p class="zh" lang="zh-CN">{escape(title_zh)}</p>' if title_zh else "")
        + f'<ul class="facts">{"".join(f"<li>{fact}</li>" for fact in facts)}</ul></header>'
    )


def _device(env: dict[str, Any]) -> str:
    if env.get("device") == "cpu":
        return f"{env['cpu']}, {env['threads']} threads"
    return str(env.get("device_reason", ""))


def _banners(run: records.RunInfo, summary: dict[str, Any], env: dict[str, Any]) -> Iterable[str]:
    for name, state in env.get("data", {}).items():
        if state["kind"] == "sample":
            yield _banner(
                "Sample data, not the real thing",
                f"This run learned from a small stand-in for {escape(name)}, drawn by this course's own code. Its "
                "numbers show that everything works; they say nothing about the real data set. To get that: "
                f"<code>invoke data {escape(name)}</code>",
            )
        if state["kind"] == "unverified":
            source = f" It came from {escape(state['source'])}." if state.get("source") else ""
            yield _banner(
                "Unverified data",
                f"Nobody has checked that this {escape(name)} is the published data set.{source} "
                "Do not compare these numbers with published ones.",
            )
    if run.status == "killed":
        yield _banner("Killed", "The process ended without a word: killed, or the machine went down.", "wrong")
    if summary.get("error"):
        trace = str(summary.get("traceback", ""))
        details = f"<details><summary>where</summary><pre>{escape(trace)}</pre></details>" if trace else ""
        yield _banner("Failed", escape(str(summary["error"])) + details, "wrong")


def _banner(heading: str, body: str, extra: str = "") -> str:
    return f'<div class="banner {extra}"><strong>{heading}</strong><div>{body}</div></div>'


def _results(run: records.RunInfo) -> str:
    cards = [
        f"<div><dt>{escape(name.replace('_', ' '))}</dt><dd>{records.number(value)}</dd></div>"
        for name, value in run.metrics.items()
    ]
    return section("Results", "结果", f'<dl class="cards">{"".join(cards)}</dl>') if cards else ""


def _curves(folder: Path) -> str:
    pictures = "".join(_image(path, f"{path.stem} against the step") for path in sorted(folder.glob("*.png")))
    return section("Curves", "曲线", f'<figure class="curves">{pictures}</figure>') if pictures else ""


def _items(folder: Path) -> Iterable[str]:
    """Figures, tables and notes, in the order in which the lab gave them."""
    items = records.load_json(folder / "report.json").get("items", [])
    if items:
        yield _heading("A closer look", "细看")
    for item in items:
        caption = escape(item["caption"])
        if item["kind"] == "note":
            yield f'<p class="note">{caption}</p>'
        elif item["kind"] == "figure":
            picture = _image(folder / "plots" / f"{item['name']}.png", item["caption"])
            yield f"<figure>{picture}<figcaption>{caption}</figcaption></figure>"
        else:
            content = records.load_json(folder / "tables" / f"{item['name']}.json")
            yield _table(content["columns"], content["rows"], caption)


def _table(columns: list[str], rows: list[list[Any]], caption: str) -> str:
    texts = [[cell if isinstance(cell, str) else records.number(cell) for cell in row] for row in rows]
    kinds = [' class="number"' if all(NUMBER.match(cell) for cell in column) else "" for column in zip(*texts)]
    head = "".join(f"<th{kind}>{escape(column)}</th>" for kind, column in zip(kinds, columns))
    body = "".join(
        f"<tr>{''.join(f'<td{kind}>{escape(cell)}</td>' for kind, cell in zip(kinds, row))}</tr>" for row in texts
    )
    return (
        f'<figure class="table"><figcaption>{caption}</figcaption>'
        + scroller(f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>", "table")
        + "</figure>"
    )


def _commands(run: records.RunInfo, config: dict[str, Any]) -> str:
    commands = []
    if run.status in ("stopped", "killed", "failed"):
        commands.append(("Continue where it stopped", records.resume_command(run.lab, run.folder.name)))
    commands.append(("Train again, in the same way", str(config.get("command", ""))))
    blocks = [
        f'<p class="label">{label}</p><div class="command" tabindex="0">{escape(text)}</div>'
        for label, text in commands
    ]
    return section("Commands", "命令", "".join(blocks))


def _options(config: dict[str, Any]) -> str:
    rows = [(flag(name), value) for name, value in config.get("options", {}).items() if value != ""]
    return section("Options", "参数", _pairs(rows)).replace("<th>", '<th class="flag">')


def _environment(env: dict[str, Any], summary: dict[str, Any]) -> str:
    if not env:
        return ""
    packages = env.get("packages", {})
    data = ", ".join(
        " ".join(part for part in (name, f"({state['kind']})", state.get("when", "")) if part)
        for name, state in env.get("data", {}).items()
    )
    shown = {
        "stack": env.get("stack"),
        "Python": env.get("python"),
        "PyTorch": env.get("torch"),
        "device": f"{env.get('device')} ({env.get('device_reason')})",
        "processor": f"{env.get('cpu')}, {env.get('threads')} threads used",
        "processes": env.get("processes") if env.get("processes") != 1 else "",
        "allocator": env.get("allocator"),
        "NVIDIA driver": env.get("driver"),
        "system": env.get("platform"),
        "commit": env.get("commit"),
        "uncommitted changes": "yes" if env.get("dirty") else "",
        "seed": env.get("seed"),
        "data": data,
        "logging": f"{summary['logging_share']:.2%} of the time" if "logging_share" in summary else "",
    }
    listed = "".join(f"<li>{escape(name)} {escape(version)}</li>" for name, version in packages.items())
    details = f'<details><summary>{len(packages)} packages</summary><ul class="columns">{listed}</ul></details>'
    pairs = [(name, value) for name, value in shown.items() if value not in (None, "")]
    return section("Environment", "环境", _pairs(pairs) + details)


def _files(folder: Path) -> str:
    found = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "report.html")
    rows = "".join(
        f'<tr><td><a href="{escape(name)}">{escape(name)}</a></td><td class="number">{megabytes(size)}</td></tr>'
        for name, size in ((path.relative_to(folder).as_posix(), path.stat().st_size) for path in found[:MOST_FILES])
    )
    if len(found) > MOST_FILES:
        rows += f"<tr><td>and {len(found) - MOST_FILES:,} more</td><td></td></tr>"
    return section("Files", "文件", scroller(f"<table><tbody>{rows}</tbody></table>", "files"))


def section(heading: str, chinese: str, body: str) -> str:
    """A part of a page with its heading in both languages."""
    return f"<section>{_heading(heading, chinese)}{body}</section>"


def scroller(body: str, label: str) -> str:
    """`body` in a box that scrolls sideways, with the keyboard too."""
    return f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(label)}">{body}</div>'


def _heading(heading: str, chinese: str) -> str:
    return f'<h2>{heading}<span lang="zh-CN">{chinese}</span></h2>'


def _pairs(pairs: Iterable[tuple[str, Any]]) -> str:
    rows = "".join(f"<tr><th>{escape(str(key))}</th><td>{value(content)}</td></tr>" for key, content in pairs)
    return f'<table class="pairs"><tbody>{rows}</tbody></table>'


def value(content: Any) -> str:
    """How an option or a fact is written on a page."""
    if isinstance(content, bool):
        return "on" if content else "off"
    return escape(str(content))


def _image(path: Path, description: str) -> str:
    content = path.read_bytes()
    width, height = struct.unpack(">II", content[16:24])  # from the PNG's first chunk
    source = base64.b64encode(content).decode()
    # Drawn at 144 dots per inch, shown at CSS's 96.
    return (
        f'<img src="data:image/png;base64,{source}" alt="{escape(description)}"'
        f' width="{width * 2 // 3}" height="{height * 2 // 3}">'
    )


def duration(seconds: float) -> str:
    """`seconds` as one would say it: "48 s", "3 min 20 s", "2 h 05 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
