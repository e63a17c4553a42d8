"""BERT: words, places and segments into vectors, layers of attention over them, and two heads that pre-train it.

Source: Devlin and others, BERT: Pre-training of Deep Bidirectional Transformers for Language Understanding (2018).
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from labs.bert.attention import Layer
from labs.bert.words import PLACES


class Encoder(nn.Module):
    """A vector for each word that depends on all the words around it, or on those before it if `left_to_right`."""

    def __init__(self, words: int, size: int, layers: int, heads: int, dropout: float = 0.0,
                 left_to_right: bool = False) -> None:  # fmt: skip
        super().__init__()
        self.words, self.places = nn.Embedding(words, size), nn.Embedding(PLACES, size)
        self.segments = nn.Embedding(2, size)
        for table in (self.words, self.places, self.segments):
            nn.init.normal_(table.weight, std=size**-0.5)  # with BERT's 0.02 a network of this size learns later
        self.norm, self.dropout = nn.LayerNorm(size), nn.Dropout(dropout)
        self.layers = nn.ModuleList([Layer(size, heads, dropout) for _ in range(layers)])
        self.left_to_right = left_to_right

    def forward(self, words: torch.Tensor, segments: torch.Tensor | None = None,
                allowed: torch.Tensor | None = None) -> torch.Tensor:  # fmt: skip
        """Numbers of words int64 (N, T), and of their segments, 0 or 1: vectors (N, T, D)."""
        t = words.shape[1]
        x = self.words(words) + self.places.weight[:t]
        x = x + (self.segments.weight[0] if segments is None else self.segments(segments))
        x = self.dropout(self.norm(x))
        if self.left_to_right:
            allowed = torch.ones(t, t, dtype=torch.bool, device=words.device).tril()
        for layer in self.layers:
            x = layer(x, allowed)
        return x


class Bert(nn.Module):
    """The encoder, and what is asked of it in pre-training: the hidden words, and whether the second text follows."""

    def __init__(self, words: int, size: int, layers: int, heads: int, left_to_right: bool = False) -> None:
        super().__init__()
        self.encoder = Encoder(words, size, layers, heads, left_to_right=left_to_right)
        self.transform, self.norm = nn.Linear(size, size), nn.LayerNorm(size)
        self.bias = nn.Parameter(torch.zeros(words))
        self.follows = nn.Sequential(nn.Linear(size, size), nn.Tanh(), nn.Linear(size, 2))

    def guesses(self, vectors: torch.Tensor) -> torch.Tensor:
        """Logits (..., V) of the words at places with these vectors (..., D); the table of words is used once more."""
        x = self.norm(F.gelu(self.transform(vectors)))
        return F.linear(x, self.encoder.words.weight, self.bias)


class Classifier(nn.Module):
    """The encoder with a new head: a class for the text, or for each of its words."""

    def __init__(self, encoder: Encoder, size: int, classes: int, tags: int = 0) -> None:
        super().__init__()
        self.encoder, self.classes = encoder, nn.Linear(size, classes)
        self.tags = nn.Linear(size, tags) if tags else None

    def forward(self, words: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """int64 (N, T) to logits (N, classes), of the mean over the words, and (N, T, tags) where there are tags."""
        x = self.encoder(words)
        return self.classes(x.mean(dim=1)), None if self.tags is None else self.tags(x)
