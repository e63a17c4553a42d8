"""A sentence of the user's: the answer of the trained networks, and a map of what they looked at."""

from __future__ import annotations

import unicodedata
from typing import Any, NamedTuple, Sequence

from labkit.base.console import say, warn
from labkit.base.errors import UserError
from labkit.base.language import both
from labkit.runs import plots
from labkit.runs.checkpoints import latest_trained, load_checkpoint
from labkit.runs.options import from_record
from labkit.runs.pairs import MARK, MOST_WORDS
from labkit.runs.run import Run
from labkit.runs.text import Vocabulary
from labs.seq2seq import shown
from labs.seq2seq.config import TASKS, Config
from labs.seq2seq.corpus import words, written
from labs.seq2seq.decoding import Answer, answers
from labs.seq2seq.networks import Seq2Seq

EXAMPLE = './inv lab seq2seq -- --predict "I love you."'
SHADES = "·░▒▓█"  # of a weight from 0 to 1


class Trained(NamedTuple):
    """The networks of one task by name, their words, and where they were read."""

    task: str
    networks: dict[str, Seq2Seq]
    known: Vocabulary
    said: Vocabulary
    source: str


def newest(task: str | None) -> str:
    """The newest finished run, of the task where one is named. Raises UserError where there is none."""
    missing = f"no network has been trained on {task} yet" if task else "no network has been trained yet"
    command = f"./inv lab seq2seq -- --task {task}" if task else "./inv lab seq2seq"
    for options in ({"task": task}, {"task": "all"}) if task else ({},):
        try:
            return latest_trained("seq2seq", missing, command, **options)
        except UserError:
            continue
    raise UserError(missing, command)


def trained(config: Config) -> Trained:
    """The networks for the sentence. Raises UserError for a checkpoint that has none, or has others than its words."""
    if config.task in ("claims", "all"):
        raise UserError(f"--predict: the task {config.task} has no answer", f"{EXAMPLE} --task translation")
    chosen = config.checkpoint or newest(config.task)
    saved = load_checkpoint(str(chosen), "seq2seq", {})
    networks: dict[str, Seq2Seq] = {}
    try:
        had, state = from_record(Config, saved["config"]), saved["state"]
        there = [task for task in TASKS if any(row["name"].startswith(f"{task}/") for row in state["finished"])]
        task = config.task or (there or [""])[-1]
        if task in there:
            known, said = (Vocabulary.from_state(state[task][name]) for name in ("known", "said"))
            if said.words[1:2] != [MARK]:
                raise ValueError("it holds no vocabulary")
            for row in state["finished"]:
                own, _, name = row["name"].partition("/")
                if own == task:
                    networks[name] = Seq2Seq(len(known), len(said), had.kinds[name], had.sizes(task))
                    networks[name].load_state_dict(row["weights"])
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError, UserError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        if isinstance(error, RuntimeError):
            reason = "its weights do not fit its vocabulary and options"
        raise UserError(f"{chosen} does not fit this version of the lab: {reason}", "./inv lab seq2seq") from None
    if not networks:
        raise UserError(f"{chosen} holds no network for {config.task or 'any task'}",
                        f"./inv lab seq2seq -- --task {config.task or 'translation'}")  # fmt: skip
    return Trained(task, networks, known, said, str(chosen))


def read(sentence: str, made: Trained) -> tuple[tuple[str, ...], list[str]]:
    """Its words, and those that are unknown. Raises UserError for none, too many, or none that is known."""
    found = words(made.task, sentence)
    if not found:
        raise UserError("--predict: the sentence has no word", EXAMPLE)
    if len(found) > MOST_WORDS:
        raise UserError(f"--predict: the sentence has {len(found):,} words, and {MOST_WORDS} are the most", EXAMPLE)
    unknown = list(dict.fromkeys(word for word in found if word not in made.known))
    if all(word in unknown for word in found):
        raise UserError(f"--predict: the task {made.task} knows none of its words: {', '.join(unknown[:5])}", EXAMPLE)
    return found, unknown


def width(text: str) -> int:
    """Columns of a terminal: Chinese takes two."""
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


def padded(text: str, columns: int) -> str:
    return text + " " * (columns - width(text))


def drawn(source: Sequence[str], answer: Answer) -> list[str]:
    """The map in lines: a row for each word of the answer, a column for each of the source, its tenths as digits."""
    left = max(3, *(width(word) for word in answer.words)) if answer.words else 3
    lines = [" " * left + "  " + " ".join(source)]
    for word, row in zip([*answer.words, "end"], answer.weights.tolist()):
        cells = [SHADES[min(4, int(5 * weight))] * width(name) for weight, name in zip(row, source)]
        place = max(range(len(row)), key=row.__getitem__)
        lines.append(f"{padded(word, left)}  {' '.join(cells)}  {source[place]} {row[place]:.0%}")
    return lines


def main(config: Config, run: Run) -> dict[str, float]:
    """Print and report each network's answer, greedy and searched, and the attention of the last one that has it."""
    made = trained(config)
    source, unknown = read(str(config.predict), made)
    if unknown:
        note = both(f"not in the vocabulary, and read as <unk>: {', '.join(unknown[:20])}",
                    f"不在词表中，按 <unk> 读：{'、'.join(unknown[:20])}")  # fmt: skip
        warn(str(note))
        run.note(note)
    say(f"{made.task}, by the networks of {made.source}:")
    rows: list[list[Any]] = []
    found: dict[str, Answer] = {}
    for name, network in made.networks.items():
        (found[name],) = answers(network, [source], made.known, made.said)
        (wide,) = answers(network, [source], made.known, made.said, config.beam)
        rows.append([name, written(made.task, found[name].words), written(made.task, wide.words)])
        other = f"   (width {config.beam}: {rows[-1][2]})" * (rows[-1][1] != rows[-1][2])
        say(f"  {name:<10} {rows[-1][1]}{other}")
    run.table("answer", [both("network", "网络"), both("greedy", "贪心"), both(f"beam of {config.beam}",
                                                                             f"束宽 {config.beam}")], rows,
              both(f"Answers to: {' '.join(source)}", f"对此的回答：{' '.join(source)}"))  # fmt: skip
    mapped = [name for name, network in made.networks.items() if network.kind.attends]
    if mapped:
        answer = found[mapped[-1]]
        say(f"what {mapped[-1]} looked at:")
        for line in drawn(source, answer):
            say(f"  {line}")
        figure, axes = plots.figure(width=1.5 + 0.4 * len(source), height=1.2 + 0.3 * len(answer.weights))
        shown.draw_map(axes[0, 0], source, answer)
        figure.tight_layout()
        run.figure("map", figure, both(f"What {mapped[-1]} looked at, word by word of its answer; dark is 1.",
                                       f"{mapped[-1]} 说每个词时看了哪里；深色为 1。"))  # fmt: skip
    return {"words": len(found[list(found)[-1]].words), "unknown": len(unknown)}
