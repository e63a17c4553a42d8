"""How an answer is written: the likeliest word each time (greedy), or the best of several beginnings (beam search)."""

from __future__ import annotations

from typing import Any, NamedTuple, Sequence

import torch

from labkit.runs import text
from labkit.runs.pairs import END, chances, in_words, most_words
from labkit.runs.text import Vocabulary
from labs.seq2seq.networks import Memory, Seq2Seq

AT_ONCE = 200  # sentences of one length


class Answer(NamedTuple):
    """Words without the mark at the end, and the attention (words, and the end; source words) where there was one."""

    words: tuple[str, ...]
    weights: Any = None


@torch.no_grad()
def greedy(network: Seq2Seq, source: torch.Tensor) -> tuple[torch.Tensor, Any]:
    """Sources (S, N) of one length to answers (T, N), END behind each, and weights (N, T, S) or None."""
    memory = network.encode(source)
    state, given = memory.context, torch.full_like(source[:1], END)
    said: list[torch.Tensor] = []
    weights: list[Any] = []
    ended = torch.zeros(source.shape[1], dtype=torch.bool, device=source.device)
    while len(said) < most_words(len(source)) and not bool(ended.all()):
        logits, state, looked = network.decode(given, memory, state)
        given = chances(logits).argmax(dim=2)
        said.append(given[0].masked_fill(ended, END))
        weights.append(looked)
        ended = ended | (given[0] == END)
    return torch.stack(said), None if weights[0] is None else torch.cat(weights, dim=1)


@torch.no_grad()
def beam(network: Seq2Seq, source: torch.Tensor, width: int) -> list[int]:
    """The answer of one source (S, 1) with the highest mean log-probability, END included, that the search finds.

    It keeps the `width` likeliest beginnings, lengthens each by every word, and puts aside those that end. With width 1
    it is `greedy`. By the sum alone short answers would win, since each word more can only lower it.
    """
    memory: Memory = network.encode(source)
    state = memory.context
    beginnings, scores = source.new_full((1, 1), END), torch.zeros(1, device=source.device)
    best, best_score = [END], -float("inf")
    for length in range(1, most_words(len(source)) + 1):
        rows = source.new_zeros(len(beginnings))
        logits, state, _ = network.decode(beginnings[:, -1:].t(), memory.of(rows), state)
        longer = scores[:, None] + chances(logits[0])  # (beginnings, words)
        scores, places = longer.flatten().topk(min(width, longer.numel()))
        rows, word = places // longer.shape[1], places % longer.shape[1]
        beginnings = torch.cat([beginnings[rows], word[:, None]], dim=1)
        ends = (word == END) | torch.full_like(word == END, length == most_words(len(source)))
        for k in ends.nonzero().flatten().tolist():
            if float(scores[k]) / length > best_score:
                best, best_score = beginnings[k, 1:].tolist(), float(scores[k]) / length
        width -= int(ends.sum())
        if width <= 0:
            break
        beginnings, scores, state = beginnings[~ends], scores[~ends], state[:, rows][:, ~ends]
    return best


def answers(network: Seq2Seq, sources: Sequence[Sequence[str]], known: Vocabulary, said: Vocabulary,
            width: int = 1) -> list[Answer]:  # fmt: skip
    """The answer to each source, in their order; only greedy ones have their attention."""
    device = next(network.parameters()).device
    network.eval()
    found: list[Answer] = [Answer(())] * len(sources)
    for batch in text.by_length([len(source) for source in sources], AT_ONCE if width == 1 else 1):
        read = torch.tensor([known.numbers(sources[k]) for k in batch], device=device).t()
        if width > 1:
            found[batch[0]] = Answer(in_words(beam(network, read, width), said))
            continue
        numbers, weights = greedy(network, read)
        for column, k in enumerate(batch):
            words = in_words(numbers[:, column].tolist(), said)
            looked = None if weights is None else weights[column, : len(words) + 1].cpu()
            found[k] = Answer(words, looked)
    return found
