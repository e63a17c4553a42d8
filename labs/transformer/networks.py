"""Layers of attention, and three networks of them: one that translates, one that reads left to right, and a GRU.

Shapes: N sequences, T words of what is said, S words of the source, D numbers for a word, V words.
"""

from __future__ import annotations

from typing import Any, Callable, List, Sequence

import torch
from torch import nn
from torch.nn import functional as F

from labs.transformer import positions
from labs.transformer.attention import MultiHeadAttention, normed, past
from labs.transformer.config import Sizes
from labs.transformer.positions import Turn

Part = Callable[[torch.Tensor], torch.Tensor]
Cache = List[Any]  # for each attention of a network what it keeps, an empty list at first
MOST_PLACES = 512  # of a translation
ENCODED = ("sinusoidal", "offset", "randomised")  # schemes with sin and cos


class Layer(nn.Module):
    """Attention to itself, to a source where there is one, and two linear layers for each word.

    Each of these is added to what came in: norm(x + part(x)) as in 2017 ("post"), or x + part(norm(x)) ("pre"), where
    nothing stands in the way of the gradient. `modern`: RMS norm without weights, ReLU², no biases, outputs from 0.
    """

    def __init__(self, size: int, heads: int, norm: str = "pre", source: bool = False, dropout: float = 0.0,
                 modern: bool = False, activation: Part = F.relu) -> None:  # fmt: skip
        super().__init__()
        self.first, self.activation = norm == "pre", activation
        self.attention = MultiHeadAttention(size, heads, modern)
        self.source = MultiHeadAttention(size, heads) if source else None
        self.wide, self.narrow = nn.Linear(size, 4 * size, bias=not modern), nn.Linear(4 * size, size, bias=not modern)
        self.norms = nn.ModuleList([RMSNorm() if modern else nn.LayerNorm(size) for _ in range(3 if source else 2)])
        self.dropout = nn.Dropout(dropout)
        if modern:
            nn.init.zeros_(self.narrow.weight)
            self.activation = relu2

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None, source: torch.Tensor | None = None,
                turn: Turn | None = None, kept: Sequence[Any] = (None, None)) -> torch.Tensor:  # fmt: skip
        """(N, T, D) to (N, T, D); `mask` and `turn` are of the attention to itself, `kept` of both attentions."""
        x = self._add(x, self.norms[0], lambda y: self.attention(y, mask=mask, turn=turn, kept=kept[0]))
        if self.source is not None:
            seen: Any = self.source
            x = self._add(x, self.norms[1], lambda y: seen(y, source, kept=kept[1]))
        return self._add(x, self.norms[-1], lambda y: self.narrow(self.activation(self.wide(y))))

    def _add(self, x: torch.Tensor, norm: Any, part: Part) -> torch.Tensor:
        if self.first:
            return x + self.dropout(part(norm(x)))
        found: torch.Tensor = norm(x + self.dropout(part(x)))
        return found


class RMSNorm(nn.Module):
    """`normed`, as a layer without weights."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return normed(x)


def relu2(x: torch.Tensor) -> torch.Tensor:
    """max(x, 0)². Source: So and others, Primer (2021)."""
    return F.relu(x).square()


class Stack(nn.Module):
    """Layers one after the other, then a last norm; `shared`: one and the same layer, run as often.

    The shared layer is the Universal Transformer's (Dehghani and others, 2018), without its halting and its signal of
    the depth. nn.Transformer has the last norm too; the paper, post-norm, does without.
    """

    def __init__(self, depth: int, shared: bool, size: int, heads: int, modern: bool = False, **more: Any) -> None:
        super().__init__()
        made = [Layer(size, heads, modern=modern, **more) for _ in range(1 if shared else depth)]
        self.layers = nn.ModuleList(made)
        self.depth = depth
        self.norm: Any = RMSNorm() if modern else nn.LayerNorm(size)

    def forward(self, x: torch.Tensor, cache: Cache | None = None, **more: Any) -> torch.Tensor:
        """(N, T, D) to (N, T, D); `more` goes to every layer."""
        for k in range(self.depth):
            kept = (None, None) if cache is None else (cache[2 * k], cache[2 * k + 1])
            x = self.layers[k % len(self.layers)](x, kept=kept, **more)
        found: torch.Tensor = self.norm(x)
        return found

    def empty(self) -> Cache:
        return [[] for _ in range(2 * self.depth)]


class LeftToRight(nn.Module):
    """A decoder alone: numbers of words (N, T) to logits (N, T, V) of the next, each from those before it."""

    def __init__(self, words: int, sizes: Sizes, scheme: str, shared: bool = False, recipe: str = "",
                 places: int = positions.MOST) -> None:  # fmt: skip
        """`scheme` as in config.SCHEMES. `recipe`: modern or plain as in config.RECIPES; else ReLU and LayerNorm."""
        super().__init__()
        modern = recipe == "modern"
        self.scheme, self.heads = scheme, sizes.heads
        self.words, self.output = nn.Embedding(words, sizes.width), nn.Linear(sizes.width, words)
        self.stack = Stack(sizes.layers, shared, sizes.width, sizes.heads, modern=modern,
                           activation=F.gelu if recipe == "plain" else F.relu)  # fmt: skip
        if scheme in ENCODED:
            self.register_buffer("encoded", positions.sinusoidal(torch.arange(places), sizes.width).float())
        if scheme == "learned":
            self.places = nn.Embedding(places, sizes.width)
        if scheme == "relative":
            self.relative = positions.Relative(sizes.heads)
        if modern:
            nn.init.zeros_(self.output.weight)

    def forward(self, words: torch.Tensor, places: torch.Tensor | None = None,
                cache: Cache | None = None) -> torch.Tensor:  # fmt: skip
        """`places` (T) or (N, T) are 0, 1, 2, ... where they are left out. `cache` is what was read before."""
        t = words.shape[1]
        before = cache[0][0].shape[2] if cache and cache[0] else 0
        if places is None:
            places = torch.arange(before, before + t, device=words.device)
        x = self.words(words)
        size, turn = x.shape[2], None
        mask: torch.Tensor | None = past(t, before, words.device)
        if self.scheme in ENCODED:
            encoded: Any = self.encoded
            x = x + encoded[places]
        elif self.scheme == "learned":
            x = x + self.places(places)
        elif self.scheme == "rotary":
            turn = positions.angles(places, size // self.heads, x.dtype)
        elif self.scheme == "relative":
            keys = torch.arange(before + t, device=words.device)
            mask = self.relative(keys[before:], keys).masked_fill(~mask, -float("inf"))  # type: ignore[operator]
        if t == 1:
            mask = mask if self.scheme == "relative" else None  # one word sees all before it
        logits: torch.Tensor = self.output(self.stack(x, mask=mask, turn=turn, cache=cache))
        return logits

    def empty(self) -> Cache:
        return self.stack.empty()


class GRUReader(nn.Module):
    """The same by a recurrent network, whose state is all it keeps; it counts for itself and needs no places."""

    def __init__(self, words: int, hidden: int) -> None:
        super().__init__()
        self.words, self.output = nn.Embedding(words, hidden // 2), nn.Linear(hidden, words)
        self.gru = nn.GRU(hidden // 2, hidden, batch_first=True)

    def forward(self, words: torch.Tensor, places: torch.Tensor | None = None,
                cache: Cache | None = None) -> torch.Tensor:  # fmt: skip
        """As LeftToRight's."""
        states, last = self.gru(self.words(words), cache[0] if cache else None)
        if cache is not None:
            cache[:] = [last]
        logits: torch.Tensor = self.output(states)
        return logits

    def empty(self) -> Cache:
        return []


class Translator(nn.Module):
    """Encoder and decoder. Sources are (N, S) of one length, so that nothing in them is padding."""

    def __init__(self, source_words: int, target_words: int, sizes: Sizes, norm: str = "pre", shared: bool = False,
                 dropout: float = 0.0) -> None:  # fmt: skip
        super().__init__()
        size = sizes.width
        self.read, self.said = nn.Embedding(source_words, size), nn.Embedding(target_words, size)
        self.encoder = Stack(sizes.layers, shared, size, sizes.heads, norm=norm, dropout=dropout)
        self.decoder = Stack(sizes.layers, shared, size, sizes.heads, norm=norm, dropout=dropout, source=True)
        self.bias = nn.Parameter(torch.zeros(target_words))
        self.dropout = nn.Dropout(dropout)
        for table in (self.read, self.said):
            nn.init.normal_(table.weight, std=size**-0.5)
        self.register_buffer("places", positions.sinusoidal(torch.arange(MOST_PLACES), size).float())

    def encode(self, source: torch.Tensor) -> torch.Tensor:
        """A vector for each word of the source: (N, S, D)."""
        found: torch.Tensor = self.encoder(self._placed(self.read(source), 0))
        return found

    def decode(self, given: torch.Tensor, memory: torch.Tensor, cache: Cache | None = None) -> torch.Tensor:
        """Words (N, T), which follow those in the cache, to logits (N, T, V); the table of words serves twice."""
        t = given.shape[1]
        before = cache[0][0].shape[2] if cache and cache[0] else 0
        x = self.decoder(self._placed(self.said(given), before), mask=past(t, before, given.device), source=memory,
                         cache=cache)  # fmt: skip
        return F.linear(x, self.said.weight, self.bias)

    def forward(self, source: torch.Tensor, given: torch.Tensor) -> torch.Tensor:
        return self.decode(given, self.encode(source))

    def _placed(self, x: torch.Tensor, first: int) -> torch.Tensor:
        size = x.shape[2]
        places: Any = self.places
        placed: torch.Tensor = self.dropout(x * size**0.5 + places[first : first + x.shape[1]])
        return placed


@torch.no_grad()
def write(network: Any, words: torch.Tensor, count: int, places: torch.Tensor | None = None) -> torch.Tensor:
    """The `count` likeliest words after `words` (N, T), one by one: (N, count). `places` are of all, or 0, 1, 2, ..."""
    cache, told, t = network.empty(), [words], words.shape[1]
    places = torch.arange(t + count, device=words.device) if places is None else places
    for k in range(t, t + count):
        read = told[-1]
        told.append(network(read, places[k - read.shape[1] : k], cache)[:, -1:].argmax(dim=2))
    return torch.cat(told[1:], dim=1)
