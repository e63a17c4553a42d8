"""The training step, and networks trained one after the other, each of which can be stopped and resumed exactly."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from typing import Any, Mapping, Sequence

import torch
from torch import nn

from labkit.base.console import say
from labkit.runs import compat
from labkit.runs.loop import Loop, one_after_another
from labkit.runs.pairs import Batches, Corpus, loss_of
from labkit.runs.run import Run
from labs.seq2seq import scores
from labs.seq2seq.config import Kind, Sizes
from labs.seq2seq.networks import Seq2Seq

LOOKS, LOOKED_AT = 8, 100  # most times at which a network is judged while it trains, and by how many sources
WARM_UP = 0.05  # share of the steps in which the learning rate rises


def train_step(network: Seq2Seq, optimizer: torch.optim.Optimizer, source: torch.Tensor, given: torch.Tensor,
               wanted: torch.Tensor, clip: float, smoothing: float = 0.0) -> torch.Tensor:  # fmt: skip
    """One step down the gradient; the loss."""
    loss = loss_of(network((source, given)), wanted, smoothing)
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(network.parameters(), clip)
    optimizer.step()
    return loss.detach()


@torch.no_grad()
def own_words(network: Seq2Seq, source: torch.Tensor, given: torch.Tensor) -> torch.Tensor:
    """What the decoder is given without teacher forcing: at each place the word that it said before, (T, N)."""
    memory = network.encode(source)
    state, said = memory.context, [given[:1]]
    for _ in range(len(given) - 1):
        logits, state, _ = network.decode(said[-1], memory, state)
        said.append(logits.argmax(dim=2))
    return torch.cat(said)


@dataclass(frozen=True)
class Training:
    """One network to train on a corpus."""

    corpus: Corpus
    name: str  # "dot"
    kind: Kind
    sizes: Sizes
    forcing: float
    clip: float
    seed: int

    @property
    def key(self) -> str:
        return f"{self.corpus.task}/{self.name}"

    def network(self) -> Seq2Seq:
        """With its first weights, which follow from the seed."""
        with torch.random.fork_rng():
            torch.manual_seed(self.seed)
            return Seq2Seq(len(self.corpus.known), len(self.corpus.said), self.kind, self.sizes)

    def restored(self, row: Mapping[str, Any]) -> Seq2Seq:
        """As the training left it."""
        network = self.network()
        network.load_state_dict(row["weights"])
        network.eval()
        return network


def rate(step: int, steps: int) -> float:
    """The learning rate at a step, as a share of the highest: it rises, then falls to 0, both in straight lines."""
    return min((step + 1) / max(1.0, WARM_UP * steps), (1 - step / steps) / (1 - WARM_UP))


def train(run: Run, training: Training, saved: dict[str, Any] | None, facts: dict[str, Any]) -> dict[str, Any]:
    """Train and look; returns what the tables and plots need. `saved` is the state to go on from."""
    corpus, sizes = training.corpus, training.sizes
    network = training.network().to(run.device)
    optimizer = torch.optim.Adam(network.parameters(), lr=sizes.lr, betas=(0.9, 0.98), **compat.FUSED)
    batches = Batches(corpus, sizes.batch, training.seed)
    judged: list[float] = []
    at: list[int] = []
    looking: list[float] = []  # seconds of each look, which is no training
    parts = {"network": network, "optimizer": optimizer, "judged": judged, "at": at, "looking": looking}
    loop = Loop(run, sizes.steps, parts, saved=saved, facts=facts, looks=max(1, min(LOOKS, sizes.steps // 50)),
                offset=sum(row["steps"] for row in facts["finished"]))  # fmt: skip
    for step in loop:
        network.train()
        optimizer.param_groups[0]["lr"] = sizes.lr * rate(step, sizes.steps)
        source, given, wanted = (part.to(run.device) for part in batches(step))
        if training.forcing < 1:
            coin = torch.rand(1, generator=torch.Generator().manual_seed(1_000_003 * training.seed + step))
            given = given if float(coin) < training.forcing else own_words(network, source, given)
        loss = train_step(network, optimizer, source, given, wanted, training.clip, sizes.smoothing)
        loop.average({}, **{f"{corpus.task}_loss/{training.name}": loss})
        if loop.time_to_look:
            began = time.perf_counter()
            judged.append(scores.quick(network, corpus, LOOKED_AT))
            at.append(loop.step)
            looking.append(time.perf_counter() - began)
            loop.log(**{f"{corpus.task}_{scores.MEASURE[corpus.task]}/{training.name}": judged[-1]})
    seconds = loop.seconds - sum(looking)
    say(f"{training.key}: {sizes.steps} steps in {seconds:.1f} s")
    weights = {name: value.cpu().clone() for name, value in network.state_dict().items()}
    return {"name": training.key, "steps": sizes.steps, "seconds": seconds,
            "judged": list(judged), "at": list(at), "weights": weights}  # fmt: skip


def train_all(trainings: Sequence[Training], run: Run, facts: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """One after the other; the results by name. `facts` go into every checkpoint."""
    return {row["name"]: row for row in one_after_another(run, trainings, partial(train, run), facts)}
