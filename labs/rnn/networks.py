"""Networks of the cells: a tagger in one direction or both, in one layer or several.

Shapes: T words, N sentences of one length, E numbers for a word, H hidden units, K classes.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from labs.rnn import cells
from labs.rnn.config import kind_of


def cell_of(name: str, inputs: int, hidden: int, forget_bias: float) -> nn.Module:
    """A cell by name: rnn, gru, lstm, clockwork, grid."""
    kinds: dict[str, Any] = {"rnn": cells.SimpleRNN, "gru": cells.GRU, "clockwork": cells.Clockwork}
    if name in kinds:
        made: nn.Module = kinds[name](inputs, hidden)
    else:
        made = (cells.LSTM if name == "lstm" else cells.GridLSTM)(inputs, hidden, forget_bias=forget_bias)
    return made


class Layers(nn.Module):
    """Layers of a cell over each other; in both directions each reads forwards and backwards, side by side."""

    def __init__(self, name: str, inputs: int, hidden: int, forget_bias: float) -> None:
        super().__init__()
        kind = kind_of(name)
        ways = 2 if kind.both_ways else 1
        self.outputs = ways * hidden
        sizes = [inputs] + [self.outputs] * (kind.layers - 1)
        self.layers = nn.ModuleList(
            [nn.ModuleList([cell_of(kind.cell, size, hidden, forget_bias) for _ in range(ways)]) for size in sizes]
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(T, N, inputs) to (T, N, outputs)."""
        for layer in self.layers:
            outputs = [layer[0](x)[0]]
            if len(layer) == 2:  # the other one reads the sentence from its end; its outputs are put back in order
                outputs.append(layer[1](x.flip(0))[0].flip(0))
            x = torch.cat(outputs, dim=2)
        return x


class Tagger(nn.Module):
    """A class for every word: numbers of words int64 (T, N) to logits (T, N, K)."""

    def __init__(self, name: str, words: int, tags: int, embed: int, hidden: int, forget_bias: float) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words, embed)
        self.encoder = Layers(name, embed, hidden, forget_bias)
        self.output = nn.Linear(self.encoder.outputs, tags)

    def forward(self, words: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.output(self.encoder(self.embedding(words)))
        return logits
