"""A sentence of the user's with one [MASK], filled in by what was pre-trained."""

from __future__ import annotations

import difflib
import re
from pathlib import Path

import torch

from labkit.base.console import say
from labkit.base.errors import UserError
from labkit.base.language import both
from labkit.runs import text
from labkit.runs.checkpoints import latest_trained, load_checkpoint
from labkit.runs.options import from_record
from labkit.runs.run import Run
from labs.bert.config import Config
from labs.bert.network import Bert
from labs.bert.words import CLS, FIRST, LONGEST, MARKS, MASK, SEP

EXAMPLE = './inv lab bert -- --predict "to be or [MASK] to be"'
SHOWN = 8  # of the likeliest words


def newest() -> str:
    """The run to ask: the newest that read a real text, else the newest of scenes."""
    found = []
    for dataset in ("shakespeare", "snips", None, "scenes"):  # None: a text of the user's
        try:
            found.append(latest_trained("bert", "nothing has been pre-trained yet", "./inv lab bert -- --preset plays",
                                        dataset=dataset))  # fmt: skip
        except UserError:
            if dataset == "scenes" and not found:
                raise
    real = found[:-1] if len(found) > 1 else found
    return max(real, key=lambda folder: Path(folder).name)


def trained(config: Config) -> tuple[Bert, text.Vocabulary, str]:
    """The pre-trained network, its words, and where it was read."""
    source = config.checkpoint or newest()
    saved = load_checkpoint(source, "bert", {})
    try:
        had, state = from_record(Config, saved["config"]), saved["state"]
        known = text.Vocabulary.from_state(state["words"])
        if tuple(known.words[1:FIRST]) != MARKS:
            raise ValueError("its vocabulary lacks the marks")
        (row,) = [row for row in state["finished"] if row["name"] == "pretrain/both ways"]
        network = Bert(len(known), had.width, had.layers, had.heads)
        network.load_state_dict(row["weights"])
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError, UserError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        if isinstance(error, RuntimeError):
            reason = "its weights do not fit its vocabulary and options"
        if isinstance(error, KeyError) or reason.startswith("not enough values"):
            reason = "it holds no pre-trained network"
        raise UserError(f"{source} does not fit this version of the lab: {reason}", "./inv lab bert") from None
    return network.eval(), known, str(source)


def read(sentence: str, known: text.Vocabulary) -> list[int]:
    """Its words as numbers. Raises UserError unless it has words, one [MASK], and no word that was never learned."""
    parts = [text.words(part) for part in re.split(r"\[mask\]", sentence, flags=re.IGNORECASE)]
    words = [word for part in parts for word in part]
    if not words:
        raise UserError("--predict: the sentence has no word", EXAMPLE)
    if len(parts) != 2:
        count = "no [MASK]" if len(parts) == 1 else f"{len(parts) - 1} times [MASK]"
        raise UserError(f"--predict: the sentence has {count}, and exactly one is filled in", EXAMPLE)
    if len(words) >= LONGEST:
        raise UserError(f"--predict: the sentence has {len(words):,} words, and {LONGEST - 1} are the most", EXAMPLE)
    unknown = [word for word in dict.fromkeys(words) if word not in known]
    if unknown:
        close = difflib.get_close_matches(unknown[0], known.words[FIRST:], n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise UserError(f"--predict: what was pre-trained has never seen {', '.join(unknown[:5])}{hint}", EXAMPLE)
    return [*known.numbers(parts[0]), MASK, *known.numbers(parts[1])]


@torch.no_grad()
def main(config: Config, run: Run) -> dict[str, float]:
    """Print and report the likeliest words for the [MASK]."""
    sentence = str(config.predict)
    network, known, source = trained(config)
    numbers = [CLS, *read(sentence, known), SEP]
    vectors = network.encoder(torch.tensor([numbers]))
    logits = network.guesses(vectors[0, numbers.index(MASK)])
    logits[:FIRST] = -float("inf")  # marks and <unk> are no answer
    chances, best = torch.softmax(logits, dim=0).topk(min(SHOWN, len(known) - FIRST))
    say(f"filled in by {source}:")
    rows = []
    for chance, number in zip(chances.tolist(), best.tolist()):
        word = known.words[number]
        filled = re.sub(r"\[mask\]", lambda _: word, sentence, flags=re.IGNORECASE)  # noqa: B023 - used at once
        say(f"  {chance:6.1%}  {filled}")
        rows.append([word, f"{100 * chance:.1f} %", filled])
    heads = [both("word", "词"), both("chance", "概率"), both("the sentence", "填好的句子")]
    run.table("filled", heads, rows, both(
        "The likeliest words for [MASK], by all that stands around it.",
        "[MASK] 处最可能的词，依据是它两边的全部内容。"))  # fmt: skip
    return {"likeliest": float(chances[0])}
