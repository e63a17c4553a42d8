"""Measure the text labs beside the best-known tutorials, on the same text in one run; each trains for as long.

    LAB_STACK=cpu/index .venv/cpu/bin/python scripts/bench/text.py translation --pairs cmn.txt \\
        --tutorials PATH --d2l PATH [--seconds 120]
    ... text.py hidden-words --bert PATH
    ... text.py encoder-decoder --pairs cmn.txt --annotated PATH
    ... text.py characters --text input.txt --nanogpt PATH

PATHs are checkouts of github.com/pytorch/tutorials, d2l-ai/d2l-en, codertimo/BERT-pytorch, karpathy/nanoGPT and
harvardnlp/annotated-transformer. Their own code is run as it is, with the sizes and learning rates that they print
(scripts/bench/text_peers.py). All translators read the same training pairs, in the words that our vocabularies have,
and answer the same held-out sources; the clock stands still meanwhile.
"""

from __future__ import annotations

import argparse
import platform
import random
import sys
import time
from pathlib import Path
from typing import Any, Callable, Iterator, NamedTuple

import numpy as np
import torch
from torch.nn import functional as F

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))


from labkit.runs import compat  # noqa: E402
from labkit.runs import pairs as files  # noqa: E402
from labkit.runs.bleu import bleu  # noqa: E402
from labkit.runs.pairs import Batches, Corpus  # noqa: E402
from labkit.runs.text import by_length  # noqa: E402
from labs.bert import speed  # noqa: E402
from labs.seq2seq import decoding, training  # noqa: E402
from labs.seq2seq.config import DEFAULTS, Kind, Sizes  # noqa: E402
from labs.transformer import characters  # noqa: E402
from labs.transformer import training as transformer_training  # noqa: E402
from labs.transformer import translation as translation_part  # noqa: E402
from labs.transformer.config import Config as TransformerConfig  # noqa: E402
from scripts.bench.text_peers import CPU, Annotated, BertPytorch, D2l, NanoGPT, Tutorial  # noqa: E402

LONG = 9  # words of a source from which on it is long
WRITTEN = 96  # words that are decoded


class Ours:
    """The lab seq2seq with dot attention. Its learning rate falls to 0 at the end, so it has to know how many steps."""

    def __init__(self, pairs: Corpus, sizes: Sizes, steps: int) -> None:
        self.corpus, self.count, self.sizes = pairs, steps, sizes
        kind = Kind("dot", "projected")
        self.network = training.Training(pairs, "dot", kind, sizes, 1.0, 1.0, 0).network()
        self.optimizer = torch.optim.Adam(self.network.parameters(), betas=(0.9, 0.98), **compat.FUSED)
        self.batches = Batches(pairs, sizes.batch, 0)

    @classmethod
    def within(cls, pairs: Corpus, sizes: Sizes, seconds: float) -> Ours:
        """With as many steps as fit into the time, which a tenth of it tells."""
        tried = cls(pairs, sizes, 10**9)
        count, took = 0, time.perf_counter()
        for _ in tried.steps():
            count += 1
            if time.perf_counter() - took > seconds / 10:
                break
        return cls(pairs, sizes, 10 * count)

    def steps(self) -> Iterator[int]:
        """Train; after each step the number of pairs that were in it."""
        self.network.train()
        for step in range(self.count):
            self.optimizer.param_groups[0]["lr"] = self.sizes.lr * training.rate(step, self.count)
            source, given, wanted = self.batches(step)
            training.train_step(self.network, self.optimizer, source, given, wanted, 1.0, self.sizes.smoothing)
            yield source.shape[1]

    def answers(self, sources: list[list[str]]) -> list[tuple[str, ...]]:
        return [one.words for one in decoding.answers(self.network, sources, self.corpus.known, self.corpus.said)]


class Found(NamedTuple):
    """Of a training: pairs in a second, in a core-second and in all; BLEU of all held-out sources, and of long ones."""

    a_second: float
    a_core_second: float
    pairs: int
    bleu: float
    long: float


def train(steps: Iterator[int], seconds: float) -> tuple[int, float, float]:
    """Step until the seconds are over: (pairs, seconds, processor's seconds)."""
    began, core, pairs = time.perf_counter(), time.process_time(), 0
    for count in steps:
        pairs += count
        if time.perf_counter() - began > seconds:
            break
    return pairs, time.perf_counter() - began, time.process_time() - core


def translate(make: Callable[[], Any], pairs: Corpus, seconds: float) -> Found:
    contestant = make()
    trained, took, core = train(contestant.steps(), seconds)
    given = contestant.answers(in_words(pairs, [list(one.source) for one in pairs.test], pairs.known))
    wanted = [one.answers for one in pairs.test]
    long = [k for k, one in enumerate(pairs.test) if len(one.source) >= LONG]
    return Found(trained / took, trained / core, trained, bleu(given, wanted),
                 bleu([given[k] for k in long], [wanted[k] for k in long]))  # fmt: skip


def in_words(pairs: Corpus, sentences: list[list[str]], vocabulary: Any) -> list[list[str]]:
    """With <unk> for words that the vocabulary does not have, as our networks see them."""
    return [[word if vocabulary.numbers([word])[0] else "<unk>" for word in sentence] for sentence in sentences]


def translation(arguments: argparse.Namespace) -> None:
    pairs = files.read(arguments.pairs)
    sources = in_words(pairs, [list(pair.source) for pair in pairs.train], pairs.known)
    answers = in_words(pairs, [list(pair.target) for pair in pairs.train], pairs.said)
    own = DEFAULTS["translation"]._replace(dropout=0.2, smoothing=0.1)
    contestants: dict[str, Callable[[], Any]] = {
        "seq2seq": lambda: Ours.within(pairs, own, arguments.seconds),
        "seq2seq, 128 units": lambda: Ours.within(pairs, own._replace(hidden=128, batch=128), arguments.seconds),
    }
    if arguments.tutorials:
        contestants[Tutorial.name] = lambda: Tutorial(arguments.tutorials, sources, answers)
    if arguments.d2l:
        contestants[D2l.name] = lambda: D2l(arguments.d2l, sources, answers)
    print(f"{len(pairs.train):,} pairs to train on, {len(pairs.test):,} sources held out")
    heads = ("pairs/s", "pairs/core-s", "pairs", "BLEU", f"from {LONG} words")
    print(f"{'':20}{heads[0]:>10}{heads[1]:>14}{heads[2]:>10}{heads[3]:>8}{heads[4]:>14}  ours in its pairs/s")
    ours: dict[str, float] = {}
    for name, make in contestants.items():
        torch.manual_seed(0)
        random.seed(0)
        found = translate(make, pairs, arguments.seconds)
        if name.startswith("seq2seq"):
            ours[name] = found.a_second
        print(f"{name:20}{found.a_second:10.1f}{found.a_core_second:14.1f}{found.pairs:10,}{found.bleu:8.1f}"
              f"{found.long:14.1f}", *(f"{own / found.a_second:9.1f}" for own in ours.values()),
              flush=True)  # fmt: skip


def hidden_words(arguments: argparse.Namespace) -> None:
    """Words a core-second of a step of pre-training, the peer's and ours in turn; what is padded does not count."""
    random_lengths = np.random.RandomState(0)
    lengths = speed.lengths_of(random_lengths, speed.POOL)
    mixed = [lengths[k : k + speed.BATCH] for k in range(0, len(lengths), speed.BATCH)]
    equal = [[lengths[k] for k in own] for own in by_length(lengths, speed.BATCH) if len(own) == speed.BATCH]
    order = random_lengths.permutation(len(equal))
    peer = BertPytorch(arguments.bert, speed.VOCABULARY, speed.WIDTH, speed.LAYERS, speed.HEADS)
    padded, ours = speed.WAYS[0], speed.WAYS[-1]
    network = speed.network_for(ours)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4, **compat.FUSED)
    words, seconds = [0, 0], [0.0, 0.0]
    for turn in range(1 + arguments.rounds):
        made, _, places, hidden = speed.batch(padded, mixed[turn % len(mixed)], torch.Generator().manual_seed(turn))
        began = time.process_time()
        peer.step(made, places, hidden)
        took = [(sum(mixed[turn % len(mixed)]), time.process_time() - began)]
        own = [equal[order[(8 * turn + k) % len(order)]] for k in range(8)]
        steps = [speed.rate(ours, network, optimizer, each, CPU, turn) for each in own]
        took.append((sum(count for count, _ in steps), sum(each for _, each in steps)))
        for k, (count, each) in enumerate(took):
            if turn:  # the first is not counted
                words[k], seconds[k] = words[k] + count, seconds[k] + each
    report("words", (BertPytorch.name, "bert"), [count / each for count, each in zip(words, seconds)])


def encoder_decoder(arguments: argparse.Namespace) -> None:
    """Pairs a core-second of a training step, the peer's and ours in turn; words a core-second, one after the other."""
    found = files.read(arguments.pairs)
    config = TransformerConfig(part="translation")
    sizes = config.sizes("translation")
    (plan,) = translation_part.trainings(config, found, 0)
    network = plan.network()
    optimizers = plan.optimizers(network)
    sources = [found.known.numbers(pair.source) for pair in found.train]
    answers = [found.said.numbers(pair.target) for pair in found.train]
    peer = Annotated(arguments.annotated, sources, answers, (len(found.known), len(found.said)), sizes.width,
                     sizes.layers, sizes.heads, 4 * sizes.width)  # fmt: skip
    theirs = peer.steps()
    counts, seconds = [0, 0], [0.0, 0.0]
    for turn in range(1 + arguments.rounds):
        began = time.process_time()
        pairs = next(theirs)
        took = [(pairs, time.process_time() - began)]
        began, pairs = time.process_time(), 0
        for step in range(8 * turn, 8 * turn + 8):
            transformer_training.train_step(network, optimizers, plan.loss(network, step))
            pairs += sizes.batch
        took.append((pairs, time.process_time() - began))
        for k, (count, each) in enumerate(took):
            if turn:  # the first is not counted
                counts[k], seconds[k] = counts[k] + count, seconds[k] + each
    report("pairs", (Annotated.name, "transformer"), [count / each for count, each in zip(counts, seconds)])
    network.eval()
    source = sources[0]
    rates = []
    for decode in (lambda: peer.decode(source, WRITTEN), lambda: translate_on(network, source, WRITTEN)):
        decode()
        began = time.process_time()
        for _ in range(3):
            decode()
        rates.append(3 * WRITTEN / (time.process_time() - began))
    report(f"words, of {WRITTEN} for one sentence,", (Annotated.name, "transformer"), rates)


@torch.no_grad()
def translate_on(network: Any, source: list[int], count: int) -> None:
    """Write `count` words for one source with what is kept, whether it has ended or not."""
    memory, cache = network.encode(torch.tensor([source])), network.decoder.empty()
    given = torch.full((1, 1), files.END)
    for _ in range(count):
        given = files.chances(network.decode(given, memory, cache)[:, -1]).argmax(dim=1, keepdim=True)


def report(what: str, names: tuple[str, str], rates: list[float]) -> None:
    """How many of `what` a core-second of each, and how many times as many the second makes."""
    for name, rate in zip(names, rates):
        print(f"{name:24}{rate:12,.0f} {what} a core-second")
    print(f"{names[1]} makes {rates[1] / rates[0]:.1f} times as many")


def written_text(arguments: argparse.Namespace) -> None:
    """The peer's recipe for a laptop to its end, then ours for a share of its core-seconds; both judged alike."""
    play = characters.of_text(arguments.text, "")
    learned = play.numbers[: play.border]
    peer = NanoGPT(arguments.nanogpt, len(play.letters), arguments.steps)
    began = time.process_time()
    seen = sum(peer.steps(learned))
    core = time.process_time() - began
    line(NanoGPT.name, core, seen, judged(peer.logits, play))

    def ours(steps: int, most: float) -> tuple[Any, int, float]:
        """The network after `steps`, or as many as `most` core-seconds allow; characters that it saw, core-seconds."""
        (plan,) = characters.trainings(TransformerConfig(part="characters", steps=steps), play, 0)
        network = plan.network()
        optimizers = plan.optimizers(network)
        highest = [group["lr"] for optimizer in optimizers for group in optimizer.param_groups]
        began, step = time.process_time(), 0
        while step < steps and time.process_time() - began < most:
            groups = [group for optimizer in optimizers for group in optimizer.param_groups]
            for group, lr in zip(groups, highest):
                group["lr"] = lr * transformer_training.rate(step, steps)
            transformer_training.train_step(network, optimizers, plan.loss(network, step))
            step += 1
        return network.eval(), step, time.process_time() - began

    share = arguments.share * core
    _, tried, took = ours(10**6, share / 10)
    network, steps, took = ours(int(tried * share / took), float("inf"))
    sizes = TransformerConfig(part="characters").sizes("characters")
    line("transformer", took, steps * sizes.batch * characters.T, judged(network, play))


def line(name: str, core: float, seen: int, loss: float) -> None:
    print(f"{name:16}{core:8.1f} core-seconds{seen:12,} characters   held-out loss {loss:.3f}", flush=True)


@torch.no_grad()
def judged(logits: Callable[[torch.Tensor], torch.Tensor], play: Any) -> float:
    """The loss on held-out windows, nats a character: the same for both."""
    room = len(play.numbers) - play.border - characters.T - 1
    starts = play.border + torch.arange(characters.JUDGED) * (room // characters.JUDGED)
    losses = []
    for part in starts.split(80):
        inputs, targets = characters.windows(play, part)
        losses.append(F.cross_entropy(logits(inputs).flatten(0, 1), targets.flatten(), reduction="none"))
    return float(torch.cat(losses).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = parser.add_subparsers(dest="part", required=True)
    part = parts.add_parser("translation", help="pairs a second, and BLEU after the same time")
    part.add_argument("--pairs", type=Path, required=True, help="the file cmn.txt of the data set cmn_eng")
    part.add_argument("--tutorials", type=Path, help="a checkout of github.com/pytorch/tutorials")
    part.add_argument("--d2l", type=Path, help="a checkout of github.com/d2l-ai/d2l-en")
    part.add_argument("--seconds", type=float, default=120.0, help="of training, each")
    part = parts.add_parser("hidden-words", help="words a core-second in pre-training")
    part.add_argument("--bert", type=Path, required=True, help="a checkout of github.com/codertimo/BERT-pytorch")
    part.add_argument("--rounds", type=int, default=10)
    part = parts.add_parser("encoder-decoder", help="pairs a core-second in training, words in decoding")
    part.add_argument("--pairs", type=Path, required=True, help="the file cmn.txt of the data set cmn_eng")
    part.add_argument("--annotated", type=Path, required=True, help="a checkout of harvardnlp/annotated-transformer")
    part.add_argument("--rounds", type=int, default=10)
    part = parts.add_parser("characters", help="the loss on held-out text after a share of the peer's time")
    part.add_argument("--text", type=Path, required=True, help="the file input.txt of the data set shakespeare")
    part.add_argument("--nanogpt", type=Path, required=True, help="a checkout of github.com/karpathy/nanoGPT")
    part.add_argument("--steps", type=int, default=2000, help="of the peer, as its README prints")
    part.add_argument("--share", type=float, default=0.4, help="of the peer's core-seconds, for ours")
    arguments = parser.parse_args()
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {platform.machine()}")
    {"translation": translation, "hidden-words": hidden_words, "encoder-decoder": encoder_decoder,
     "characters": written_text}[arguments.part](arguments)  # fmt: skip


if __name__ == "__main__":
    main()
