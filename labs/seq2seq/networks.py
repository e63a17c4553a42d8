"""Encoder and decoder (section 98): the source becomes states, the answer is said word by word from them.

Shapes: S words of the source, T places of the answer, N sentences of one source length, E numbers for a word, H hidden
units, V words of the target language.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import nn

from labs.seq2seq.attention import Attention
from labs.seq2seq.config import Kind, Sizes


class Memory(NamedTuple):
    """What the decoder knows of a source: a state for each of its words, and the context c, its first own state."""

    states: torch.Tensor  # (S, N, H)
    context: torch.Tensor  # (1, N, H)

    def of(self, rows: torch.Tensor) -> Memory:
        """That of some of the sentences, each as often as it is named."""
        return Memory(self.states[:, rows], self.context[:, rows])


class Seq2Seq(nn.Module):
    """Sources int64 (S, N) and what the decoder is given, int64 (T, N), to logits (T, N, V) of what follows."""

    def __init__(self, source_words: int, target_words: int, kind: Kind, sizes: Sizes) -> None:
        super().__init__()
        embed, hidden = sizes.embed, sizes.hidden
        self.kind = kind
        self.read = nn.Embedding(source_words, embed)
        self.encoder = nn.GRU(embed, hidden // 2, bidirectional=True)  # its two directions are H numbers together
        if kind.context == "projected":
            self.project = nn.Linear(hidden, hidden)
        self.said = nn.Embedding(target_words, embed)
        self.decoder = nn.GRU(embed + hidden * (kind.attention == "fixed"), hidden)
        if kind.attends:
            self.attention = Attention(kind.attention, hidden)
        self.combine = nn.Linear(hidden * (1 + kind.attends), embed)
        self.bias = nn.Parameter(torch.zeros(target_words))
        self.dropout = nn.Dropout(sizes.dropout)
        for table in (self.read, self.said):
            nn.init.normal_(table.weight, std=embed**-0.5)

    def encode(self, source: torch.Tensor) -> Memory:
        """The states of the source, and the context in one of the notes' three ways."""
        states, last = self.encoder(self.dropout(self.read(source)))
        if self.kind.context == "mean":  # of all states
            context = states.mean(dim=0, keepdim=True)
        else:  # the last state of each direction; the backward one's is at the first word
            context = torch.cat([last[0], last[1]], dim=1)[None]
            if self.kind.context == "projected":
                context = torch.tanh(self.project(context))
        return Memory(states, context)

    def decode(self, given: torch.Tensor, memory: Memory, state: torch.Tensor) -> Any:
        """Words (T, N) from `state` (1, N, H) on: logits (T, N, V), the next state, weights (N, T, S) or None.

        The decoder runs over all T words in one call, and attention looks back from all its states at once: its
        queries need no context of the step before, so training has no loop over time. One word at a time is T = 1.
        """
        words = self.dropout(self.said(given))
        if self.kind.attention == "fixed":  # the same c at each step
            words = torch.cat([words, memory.context.expand(len(given), -1, -1)], dim=2)
        states, state = self.decoder(words, state)
        weights = None
        if self.kind.attends:  # another c at each step
            contexts, weights = self.attention(states, memory.states)
            states = torch.cat([states, contexts], dim=2)
        combined = self.dropout(torch.tanh(self.combine(states)))
        return combined @ self.said.weight.t() + self.bias, state, weights  # the table of words serves twice

    def forward(self, inputs: Any) -> torch.Tensor:
        source, given = inputs
        memory = self.encode(source)
        logits: torch.Tensor = self.decode(given, memory, memory.context)[0]
        return logits
