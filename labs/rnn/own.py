"""A sentence of the user's: each word with the slot that the trained networks give it."""

from __future__ import annotations

import re
from typing import Any

import torch

from labkit.base.console import say, warn
from labkit.base.errors import UserError
from labkit.base.language import both
from labkit.runs import text
from labkit.runs.checkpoints import latest_trained, load_checkpoint
from labkit.runs.iob import spans
from labkit.runs.options import from_record
from labkit.runs.run import Run
from labs.rnn import slots
from labs.rnn.config import Config, kind_of
from labs.rnn.corpus import LONGEST
from labs.rnn.networks import Tagger

EXAMPLE = './inv lab rnn -- --predict "Leave Beijing on November 2nd"'


def trained(config: Config) -> tuple[dict[str, Tagger], text.Vocabulary, list[str], str]:
    """The networks of a run of slots by name, its words and tags, and where they were read."""
    chosen = config.checkpoint
    for part in ("slots", "all"):
        if not chosen:
            try:
                chosen = latest_trained("rnn", "no network has been trained yet", "./inv lab rnn", part=part)
            except UserError:
                if part == "all":
                    raise
    saved = load_checkpoint(str(chosen), "rnn", {})
    try:
        had = from_record(Config, saved["config"])
        state = saved["state"]
        vocabulary, tags = text.Vocabulary.from_state(state["words"]), [str(tag) for tag in state["tags"]]
        networks = {}
        for row in state["finished"]:
            part, _, name = row["name"].partition("/")
            if part == "slots":
                networks[name] = slots.build(name, len(vocabulary), len(tags), had)
                networks[name].load_state_dict(row["weights"])
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError, UserError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        if isinstance(error, RuntimeError):
            reason = "its weights do not fit its vocabulary and options"
        raise UserError(f"{chosen} does not fit this version of the lab: {reason}", "./inv lab rnn") from None
    if not networks:
        raise UserError(f"{chosen} holds no network that fills slots", "./inv lab rnn")
    return networks, vocabulary, tags, str(chosen)


def read(sentence: str) -> list[str]:
    """Its words. Raises UserError for none, or for more than `LONGEST`."""
    words = text.words(sentence)
    if not words:
        raise UserError("--predict: the sentence has no word", EXAMPLE)
    if len(words) > LONGEST:
        raise UserError(f"--predict: the sentence has {len(words):,} words, and {LONGEST} are the most", EXAMPLE)
    return words


def written(words: list[str]) -> str:
    """Words as people write them: with spaces between, but for Chinese."""
    return re.sub(r"(?<=[\u3400-\u9fff]) (?=[\u3400-\u9fff])", "", " ".join(words))


@torch.no_grad()
def main(config: Config, run: Run) -> dict[str, float]:
    """Print and report every word with its slot, of the last network that reads one way and of the last of both."""
    words = read(str(config.predict))
    networks, vocabulary, tags, source = trained(config)
    shown = [names[-1] for both_ways in (False, True)
             if (names := [name for name in networks if kind_of(name).both_ways == both_ways])]  # fmt: skip
    numbers = torch.tensor(vocabulary.numbers(words)).reshape(-1, 1)
    chances = {name: torch.softmax(networks[name].eval()(numbers)[:, 0], dim=1) for name in shown}
    said = {name: [tags[int(k)] for k in chances[name].argmax(dim=1)] for name in shown}
    unknown = list(dict.fromkeys(word for word in words if word not in vocabulary))
    say(f"read by {' and '.join(shown)} of {source}:")
    width = max(map(len, words))
    for k, word in enumerate(words):
        say(f"  {word:<{width}}  " + "  ".join(f"{said[name][k]:<12}" for name in shown))
    final = shown[-1]
    slots_found = [f"{slot}: {written(words[first:behind])}" for slot, first, behind in
                   sorted(spans(said[final]), key=lambda span: span.first)]  # fmt: skip
    say("slots: " + ("; ".join(slots_found) or "none"))
    if unknown:
        note = both(f"not in the vocabulary, and read as <unk>: {', '.join(unknown[:20])}",
                    f"不在词表中，按 <unk> 读：{'、'.join(unknown[:20])}")  # fmt: skip
        warn(str(note))
        run.note(note)
    table: list[list[Any]] = [[word, *(f"{said[name][k]} ({float(chances[name][k].max()):.0%})" for name in shown)]
                              for k, word in enumerate(words)]  # fmt: skip
    run.table("reading", [both("word", "词"), *shown], table, both(
        "Each word with the slot that the networks give it, and how likely they find it.",
        "每个词的槽，以及网络给出的概率。"))  # fmt: skip
    return {"slots": len(slots_found), "unknown": len(unknown)}
