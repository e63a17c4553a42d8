"""The tutorials that scripts/bench/text.py measures beside our labs: their own code, read from a checkout, unchanged.

What a tutorial draws while it trains is left out, and what it only imports to draw or to download stands in empty.
"""

from __future__ import annotations

import ast
import contextlib
import copy
import importlib
import io
import math
import re
import sys
import time
import types
from pathlib import Path
from typing import Any, Iterator, Sequence

import torch

CPU = torch.device("cpu")


class Empty:
    """Stands in for whatever a tutorial imports to draw or to download: it can be called, and gives itself."""

    def __getattr__(self, name: str) -> Any:
        return self

    def __call__(self, *given: Any, **named: Any) -> Any:
        return self


class Missing(types.ModuleType):
    """A module that is not installed."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return Empty()


def stand_in(*names: str) -> None:
    """Let `import name` and `from name import anything` succeed where the module is not installed."""
    for name in names:
        try:
            importlib.import_module(name)
        except ImportError:
            sys.modules[name] = Missing(name)


def taken(path: Path, names: Sequence[str], given: dict[str, Any]) -> types.SimpleNamespace:
    """The classes and functions of these names of a file, without the rest of it; they see `given` as their globals."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    kept = [node for node in tree.body if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and node.name in names]
    missing = set(names) - {node.name for node in kept}
    if missing:
        raise SystemExit(f"{path.name} has no {', '.join(sorted(missing))}")
    space = dict(given)
    exec(compile(ast.Module([*kept], []), path.name, "exec"), space)
    return types.SimpleNamespace(space=space, **{name: space[name] for name in names})


def listing(chapter: Path, *parts: str) -> str:
    """The code block of a chapter in Markdown in which all of the parts stand."""
    blocks = re.findall(r"```\{\.python \.input\}\n(.*?)```", chapter.read_text(encoding="utf-8"), re.DOTALL)
    for block in blocks:
        if all(part in block for part in parts):
            return "\n".join(line for line in block.splitlines() if not line.startswith("%%tab"))
    raise SystemExit(f"{chapter.name} has no listing with {parts}")


def lengths(sources: list[list[str]], answers: list[list[str]]) -> list[int]:
    """Of the longer side of each pair, with the mark at its end, the shortest first."""
    return sorted(1 + max(len(source), len(answer)) for source, answer in zip(sources, answers))


class Tutorial:
    """PyTorch's translation with a sequence to sequence network and attention: its classes, `train_epoch`, `evaluate`.

    128 units, batches of 128, Adam 0.001: as printed. Every sentence is padded to one length, which has to hold all of
    the pairs (it leaves longer ones out), and the loss counts what was padded.
    """

    name = "PyTorch's tutorial"

    def __init__(self, checkout: Path, sources: list[list[str]], answers: list[list[str]]) -> None:
        length = lengths(sources, answers)[-1]
        file = checkout / "intermediate_source" / "seq2seq_translation_tutorial.py"
        names = ("Lang", "EncoderRNN", "BahdanauAttention", "AttnDecoderRNN", "indexesFromSentence",
                 "tensorFromSentence", "train_epoch", "evaluate")  # fmt: skip
        self._its = taken(file, names, {"torch": torch, "nn": torch.nn, "F": torch.nn.functional, "device": CPU,
                                        "MAX_LENGTH": length, "SOS_token": 0, "EOS_token": 1})  # fmt: skip
        self._known, self._said = self._its.Lang("source"), self._its.Lang("answer")
        self._rows = []
        for sentences, lang in ((sources, self._known), (answers, self._said)):
            lang.addWord("<unk>")
            rows = torch.zeros(len(sentences), length, dtype=torch.int64)
            for row, sentence in zip(rows, sentences):
                lang.addSentence(" ".join(sentence))
                numbers = [*self._its.indexesFromSentence(lang, " ".join(sentence)), 1][:length]
                row[: len(numbers)] = torch.tensor(numbers)
            self._rows.append(rows)
        self._encoder = self._its.EncoderRNN(self._known.n_words, 128)
        self._decoder = self._its.AttnDecoderRNN(128, self._said.n_words)

    def steps(self) -> Iterator[int]:
        """Train with its `train_epoch`, whose epoch is one step here; after each the number of pairs in it."""
        optimizers = [torch.optim.Adam(part.parameters(), lr=0.001) for part in (self._encoder, self._decoder)]
        loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(*self._rows), 128, shuffle=True)
        while True:
            for batch in loader:
                self._its.train_epoch([batch], self._encoder, self._decoder, *optimizers, torch.nn.NLLLoss())
                yield len(batch[0])

    def answers(self, sources: list[list[str]]) -> list[tuple[str, ...]]:
        self._encoder.eval(), self._decoder.eval()
        said = [self._its.evaluate(self._encoder, self._decoder, " ".join(source), self._known, self._said)[0]
                for source in sources]  # fmt: skip
        return [tuple(word for word in words if word not in ("SOS", "<EOS>")) for words in said]


class D2l:
    """The chapter on Bahdanau attention of Dive into Deep Learning: its encoder, decoder, loss and trainer.

    Batches of 128, Adam 0.005, two layers of 256 units, dropout 0.2: as printed. Every sentence is padded or cut to
    one length, in which 95 of 100 pairs fit.
    """

    name = "d2l"

    def __init__(self, checkout: Path, sources: list[list[str]], answers: list[list[str]]) -> None:
        stand_in("pandas", "requests", "IPython", "matplotlib_inline", "scipy", "scipy.spatial")
        sys.path.insert(0, str(checkout))
        self._d2l: Any = importlib.import_module("d2l.torch")
        space = {**vars(self._d2l), "d2l": self._d2l}
        attention = checkout / "chapter_attention-mechanisms-and-transformers" / "bahdanau-attention.md"
        exec(listing(attention, "class Seq2SeqAttentionDecoder", "nn.LazyLinear"), space)
        recurrent = checkout / "chapter_recurrent-modern" / "seq2seq.md"
        exec(listing(recurrent, "super(Seq2Seq, self).loss(Y_hat, Y, averaged=False)"), space)
        self.words = lengths(sources, answers)[int(0.95 * len(sources))]
        special = ["<pad>", "<bos>", "<eos>"]
        self._known = self._d2l.Vocab(sources, min_freq=1, reserved_tokens=special)
        self._said = self._d2l.Vocab(answers, min_freq=1, reserved_tokens=special)
        encoder = self._d2l.Seq2SeqEncoder(len(self._known), 256, 256, 2, 0.2)
        decoder = space["Seq2SeqAttentionDecoder"](len(self._said), 256, 256, 2, 0.2)
        self._model = self._d2l.Seq2Seq(encoder, decoder, tgt_pad=self._said["<pad>"], lr=0.005)
        self._model.plot = lambda *_, **__: None  # it would draw after every step
        x, counts = self._array(sources, self._known)
        y, _ = self._array([["<bos>", *answer] for answer in answers], self._said, 1 + self.words)
        self._rows = (x, y[:, :-1], counts, y[:, 1:])

    def _array(self, sentences: list[list[str]], vocabulary: Any, length: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
        length = length or self.words
        padded = [[*sentence, "<eos>", *["<pad>"] * length][:length] for sentence in sentences]
        numbers = torch.tensor([vocabulary[sentence] for sentence in padded])
        return numbers, (numbers != vocabulary["<pad>"]).sum(dim=1)

    def steps(self) -> Iterator[int]:
        """Train with its trainer, whose epoch is one step here; after each step the number of pairs that were in it."""
        trainer = self._d2l.Trainer(max_epochs=1, gradient_clip_val=1)
        trainer.model, trainer.val_dataloader, trainer.train_batch_idx = self._model, None, 0
        self._model.trainer = trainer
        loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(*self._rows), 128, shuffle=True)
        while True:
            for batch in loader:
                trainer.train_dataloader = [batch]
                if not hasattr(trainer, "optim"):
                    self._model(*batch[:-1])  # its lazy layers get their shapes
                    trainer.optim = self._model.configure_optimizers()
                trainer.fit_epoch()
                yield len(batch[0])

    def answers(self, sources: list[list[str]]) -> list[tuple[str, ...]]:
        self._model.eval()
        x, counts = self._array(sources, self._known)
        first = torch.full_like(x, self._said["<bos>"])
        with torch.no_grad():
            numbers, _ = self._model.predict_step((x, first, counts, first), CPU, self.words)
        found = []
        for row in numbers:
            words = self._said.to_tokens(row)
            found.append(tuple(words[: words.index("<eos>")] if "<eos>" in words else words))
        return found


class Annotated:
    """The Annotated Transformer: its `make_model`, `Batch`, label smoothing, `run_epoch` and `greedy_decode`.

    Of our sizes; batches of 32 padded to 72 words, its learning rate with 3,000 steps of warm-up: as printed.
    """

    name = "Annotated Transformer"
    names = ("EncoderDecoder", "Generator", "clones", "Encoder", "LayerNorm", "SublayerConnection", "EncoderLayer",
             "Decoder", "DecoderLayer", "subsequent_mask", "attention", "MultiHeadedAttention",
             "PositionwiseFeedForward", "Embeddings", "PositionalEncoding", "make_model", "Batch", "TrainState",
             "run_epoch", "rate", "LabelSmoothing", "SimpleLossCompute", "greedy_decode")  # fmt: skip
    padded_to = 72

    def __init__(self, checkout: Path, sources: list[list[int]], answers: list[list[int]], words: tuple[int, int],
                 width: int, layers: int, heads: int, feed_forward: int) -> None:  # fmt: skip
        """`sources` and `answers` as numbers below `words`, each of its own vocabulary."""
        functional = torch.nn.functional
        self.its = taken(checkout / "the_annotated_transformer.py", self.names, {
            "torch": torch, "nn": torch.nn, "math": math, "copy": copy, "time": time, "pad": functional.pad,
            "log_softmax": functional.log_softmax})  # fmt: skip
        special = 3  # <s>, </s>, <blank>
        self.model = self.its.make_model(words[0] + special, words[1] + special, layers, width, feed_forward, heads)
        self._width, self._criterion = width, self.its.LabelSmoothing(words[1] + special, 2, 0.1)
        self._rows = []
        for sentences in (sources, answers):
            rows = torch.full((len(sentences), self.padded_to), 2)
            for row, sentence in zip(rows, sentences):
                numbers = [0, *(number + special for number in sentence), 1][: self.padded_to]
                row[: len(numbers)] = torch.tensor(numbers)
            self._rows.append(rows)

    def steps(self) -> Iterator[int]:
        """Train with its `run_epoch`, whose epoch is one step here; after each the number of pairs that were in it."""
        self.model.train()
        optimizer = torch.optim.Adam(self.model.parameters(), lr=1.0, betas=(0.9, 0.98), eps=1e-9)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: self.its.rate(step, self._width, 1, 3000))
        loss = self.its.SimpleLossCompute(self.model.generator, self._criterion)
        loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(*self._rows), 32, shuffle=True)
        while True:
            for source, answer in loader:
                self.its.run_epoch([self.its.Batch(source, answer, 2)], self.model, loss, optimizer, schedule)
                yield len(source)

    def decode(self, source: list[int], count: int) -> None:
        """Write `count` words for one source, as its `greedy_decode` does."""
        self.model.eval()
        given = torch.tensor([[0, *(number + 3 for number in source), 1]])
        with torch.no_grad():
            self.its.greedy_decode(self.model, given, torch.ones(1, 1, given.shape[1]), count + 1, 0)


class BertPytorch:
    """codertimo/BERT-pytorch: its network and its trainer, of our sizes. Batches padded to one length, as it does."""

    name = "BERT-pytorch"

    def __init__(self, checkout: Path, words: int, width: int, layers: int, heads: int) -> None:
        sys.path.insert(0, str(checkout))
        model, trainer = (importlib.import_module(f"bert_pytorch.{name}") for name in ("model", "trainer"))
        with contextlib.redirect_stdout(io.StringIO()):
            self._trainer = trainer.BERTTrainer(model.BERT(words, width, layers, heads), words, [], with_cuda=False)

    def step(self, words: torch.Tensor, places: torch.Tensor, hidden: torch.Tensor) -> None:
        """One step on words (N, T), 0 where there is none; `hidden` words stood at these places of the flat words."""
        labels = torch.zeros_like(words).flatten().index_copy(0, places, hidden).reshape(words.shape)
        batch = {"bert_input": words, "bert_label": labels, "segment_label": (words > 0).long(),
                 "is_next": torch.ones(len(words), dtype=torch.int64)}  # fmt: skip
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            self._trainer.iteration(0, [batch])


class NanoGPT:
    """karpathy/nanoGPT with its recipe for a laptop: 4 layers, 4 heads, 128 numbers, 12 blocks of 64 characters."""

    name = "nanoGPT"
    block, batch, warm = 64, 12, 100

    def __init__(self, checkout: Path, characters: int, steps: int) -> None:
        """Its learning rate falls by a cosine over `steps`."""
        its = taken(checkout / "model.py", ("LayerNorm", "CausalSelfAttention", "MLP", "Block", "GPT"), {
            "torch": torch, "nn": torch.nn, "F": torch.nn.functional, "math": math,
            "inspect": importlib.import_module("inspect"), "GPTConfig": types.SimpleNamespace})  # fmt: skip
        config = types.SimpleNamespace(block_size=self.block, vocab_size=characters, n_layer=4, n_head=4, n_embd=128,
                                       dropout=0.0, bias=False)  # fmt: skip
        with contextlib.redirect_stdout(io.StringIO()):
            self.model = its.GPT(config)
            self._optimizer = self.model.configure_optimizers(0.1, 1e-3, (0.9, 0.99), "cpu")
        self._steps = steps

    def rate(self, step: int) -> float:
        if step < self.warm:
            return 1e-3 * (step + 1) / (self.warm + 1)
        share = (step - self.warm) / max(1, self._steps - self.warm)
        return 1e-4 + 0.5 * (1 + math.cos(math.pi * min(1.0, share))) * 9e-4

    def steps(self, text: torch.Tensor) -> Iterator[int]:
        """Train on characters (length,); after each step the number of characters that were in it."""
        self.model.train()
        for step in range(self._steps):
            for group in self._optimizer.param_groups:
                group["lr"] = self.rate(step)
            starts = torch.randint(len(text) - self.block, (self.batch,))
            places = starts[:, None] + torch.arange(self.block)
            x, y = text[places], text[places + 1]
            _, loss = self.model(x, y)
            self._optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
            self._optimizer.step()
            yield y.numel()

    def logits(self, blocks: torch.Tensor) -> torch.Tensor:
        """Of the next character, for each of blocks (N, 64)."""
        self.model.eval()
        logits: torch.Tensor = self.model(blocks, blocks)[0]
        return logits
