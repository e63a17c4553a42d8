"""A sentence of the user's: translated by what learned pairs, or written on by what learned a text."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import torch

from labkit.base.console import say, warn
from labkit.base.errors import UserError
from labkit.base.language import both
from labkit.runs import text
from labkit.runs.checkpoints import latest_trained, load_checkpoint
from labkit.runs.options import from_record
from labkit.runs.pairs import MARK, MOST_WORDS, written
from labkit.runs.run import Run
from labkit.runs.text import Vocabulary
from labs.transformer import characters, translation
from labs.transformer.config import Config

EXAMPLES = {"translation": './inv lab transformer -- --predict "I love you."',
            "characters": './inv lab transformer -- --predict "ROMEO:" --part characters'}  # fmt: skip
MOST_CHARACTERS = 10_000  # of a beginning


class Trained(NamedTuple):
    """The network of one part, its words (of the sources, of the answers; or the letters), and where it was read."""

    part: str
    network: Any
    known: Vocabulary
    said: Vocabulary
    letters: list[str]
    source: str


def newest(part: str | None) -> str:
    """The newest finished run that can answer, of the part where one is named. Raises UserError where none can."""
    found = []
    for own in ("translation", "all", "characters"):
        if part in (None, own) or (part, own) == ("translation", "all"):
            try:
                found.append(latest_trained("transformer", "", "", part=own))
            except UserError:
                continue
    if not found:
        wanted = part or "translation"
        raise UserError(f"no network has been trained on {part or 'translation or characters'} yet",
                        f"./inv lab transformer -- --part {wanted}")  # fmt: skip
    return max(found, key=lambda folder: Path(folder).name)


def trained(config: Config) -> Trained:
    """The network for the sentence. Raises UserError for a checkpoint that has none, or has another than its words."""
    if config.part not in (None, *EXAMPLES):
        raise UserError(f"--predict: the part {config.part} answers nothing", EXAMPLES["translation"])
    chosen = config.checkpoint or newest(config.part)
    saved = load_checkpoint(str(chosen), "transformer", {})
    made: Trained | None = None
    try:
        had, state = from_record(Config, saved["config"]), saved["state"]
        rows = {row["name"].partition("/")[0]: row for row in state["finished"]}
        part = config.part or next((own for own in EXAMPLES if own in rows), "")
        if part in rows and part in EXAMPLES:
            words, known, said = state[part], Vocabulary([]), Vocabulary([])
            letters: list[str] = []
            if part == "translation":
                known, said = (Vocabulary.from_state(words[name]) for name in ("known", "said"))
                if said.words[1:2] != [MARK]:
                    raise ValueError("it holds no vocabulary")
                network: Any = translation.build(had, len(known), len(said))
            else:
                letters = words["letters"]
                if not isinstance(letters, list) or not all(isinstance(one, str) and len(one) == 1 for one in letters):
                    raise ValueError("it holds no letters")
                recipe = rows[part]["name"].partition("/")[2]
                network = characters.build(len(letters), had.sizes(part), recipe)
            network.load_state_dict(rows[part]["weights"])
            made = Trained(part, network.eval(), known, said, letters, str(chosen))
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError, UserError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        if isinstance(error, RuntimeError):
            reason = "its weights do not fit its vocabulary and options"
        if isinstance(error, KeyError):
            reason = "it holds no words"
        raise UserError(f"{chosen} does not fit this version of the lab: {reason}", "./inv lab transformer") from None
    if made is None:
        wanted = config.part or "translation"
        raise UserError(f"{chosen} holds no network for {config.part or 'translation or characters'}",
                        f"./inv lab transformer -- --part {wanted}")  # fmt: skip
    return made


def words_of(sentence: str, made: Trained) -> tuple[list[str], list[str]]:
    """Its words, and those that are unknown. Raises UserError for none, too many, or none that is known."""
    example = EXAMPLES["translation"]
    found = text.words(sentence)
    if not found:
        raise UserError("--predict: the sentence has no word", example)
    if len(found) > MOST_WORDS:
        raise UserError(f"--predict: the sentence has {len(found):,} words, and {MOST_WORDS} are the most", example)
    unknown = list(dict.fromkeys(word for word in found if word not in made.known))
    if all(word in unknown for word in found):
        raise UserError(f"--predict: the network knows none of its words: {', '.join(unknown[:5])}", example)
    return found, unknown


def letters_of(beginning: str, made: Trained) -> torch.Tensor:
    """Its letters as numbers (T,). Raises UserError for none, too many, or one that the text does not have."""
    example = EXAMPLES["characters"]
    if not beginning:
        raise UserError("--predict: there is no character to go on from", example)
    if len(beginning) > MOST_CHARACTERS:
        raise UserError(f"--predict: it has {len(beginning):,} characters, and {MOST_CHARACTERS:,} are the most",
                        example)  # fmt: skip
    unknown = list(dict.fromkeys(letter for letter in beginning if letter not in made.letters))
    if unknown:
        raise UserError(f"--predict: the text that was learned has no {', '.join(map(repr, unknown[:5]))}", example)
    return torch.tensor([made.letters.index(letter) for letter in beginning])


def main(config: Config, run: Run) -> dict[str, float]:
    """Print and report the translation, or the text that goes on."""
    made, given = trained(config), str(config.predict)
    say(f"{made.part}, by the network of {made.source}:")
    if made.part == "characters":
        numbers = characters.write(made.network, letters_of(given, made), config.count, config.temperature, run.seed)
        answer = "".join(made.letters[number] for number in numbers)
        say(f"{given}{answer}")
        run.table("written", [both("given", "开头"), both("written on", "续写")], [[given, answer]], both(
            f"Drawn letter by letter at temperature {config.temperature:g}.",
            f"逐个字符抽取，温度 {config.temperature:g}。"))  # fmt: skip
        return {"letters": len(answer)}
    source, unknown = words_of(given, made)
    if unknown:
        note = both(f"not in the vocabulary, and read as <unk>: {', '.join(unknown[:20])}",
                    f"不在词表中，按 <unk> 读：{'、'.join(unknown[:20])}")  # fmt: skip
        warn(str(note))
        run.note(note)
    (words,) = translation.answers(made.network, [source], made.known, made.said)
    say(f"  {written(words)}")
    run.table("answer", [both("source", "原文"), both("translation", "译文")], [[" ".join(source), written(words)]],
              both("The likeliest word each time.", "每步取最可能的词。"))  # fmt: skip
    return {"words": len(words), "unknown": len(unknown)}
