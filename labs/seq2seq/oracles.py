"""What must be equal: attention against loops, the decoder in one call against word by word, losses, searches."""

from __future__ import annotations

import itertools
import math
from typing import Any, Callable

import torch

from labkit.base.language import both
from labkit.runs import pairs
from labkit.runs.claims import Claim, apart
from labkit.runs.pairs import END, in_columns, loss_of
from labs.seq2seq import attention, decoding
from labs.seq2seq.attention import Attention
from labs.seq2seq.config import ATTENTIONS, CONTEXTS, Kind, Sizes
from labs.seq2seq.networks import Memory, Seq2Seq

T, S, N, H, A = 5, 7, 3, 6, 4
WORDS, SAID = 11, 9


def drawn(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(sum(shape)))


def looped(score: Callable[[torch.Tensor, torch.Tensor], Any], queries: torch.Tensor, memory: torch.Tensor) -> Any:
    """Weights and contexts as the formulas have them, number by number: e, a = exp(e) / sum exp(e), c = sum a m."""
    weights, found = queries.new_zeros(N, T, S), torch.zeros_like(queries)
    for n, t in itertools.product(range(N), range(T)):
        scores = [math.exp(float(score(queries[t, n], memory[s, n]))) for s in range(S)]
        for s in range(S):
            weights[n, t, s] = scores[s] / sum(scores)
            found[t, n] += weights[n, t, s] * memory[s, n]
    return weights, found


def dot() -> float:
    """Weights and contexts of the dot product against loops."""
    queries, memory = drawn(T, N, H), drawn(S, N, H)
    found, weights = Attention("dot", H)(queries, memory)
    true = looped(lambda q, m: sum(q[k] * m[k] for k in range(H)), queries, memory)
    return apart([weights, found], true)


def additive() -> float:
    """The same of the additive form."""
    queries, memory, made = drawn(T, N, H), drawn(S, N, H), Attention("additive", H).double()
    found, weights = made(queries, memory)
    w, u, v = made.w.detach(), made.u.detach(), made.v.detach()

    def score(q: torch.Tensor, m: torch.Tensor) -> float:
        return sum(float(v[a]) * math.tanh(sum(float(w[a, k] * q[k] + u[a, k] * m[k]) for k in range(H)))
                   for a in range(H))  # fmt: skip

    return apart([weights, found], looped(score, queries, memory))


def einsum() -> float:
    """Values and gradients of the dot form against two einsums."""
    queries, memory = drawn(T, N, H).requires_grad_(), drawn(S, N, H).requires_grad_()
    found, _ = Attention("dot", H)(queries, memory)
    other = torch.einsum("nts,snh->tnh", torch.softmax(torch.einsum("tnh,snh->nts", queries, memory), 2), memory)
    weigh = drawn(T, N, H)
    return apart(*([made, *torch.autograd.grad((made * weigh).sum(), (queries, memory))] for made in (found, other)))


def one_hot() -> float:
    """Weights that are 1 at one word give that word's state."""
    memory, places = drawn(S, N, H), torch.tensor([[k % S for k in range(n, n + T)] for n in range(N)])
    weights = torch.nn.functional.one_hot(places, S).double()
    true = torch.stack([torch.stack([memory[places[n, t], n] for n in range(N)]) for t in range(T)])
    return apart([attention.contexts(weights, memory)], [true])


def network(kind: Kind) -> Seq2Seq:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        made = Seq2Seq(WORDS, SAID, kind, Sizes(1, 1, 4, H, 0.1)).double()
        for weight in made.parameters():  # large ones, so that answers differ
            weight.data *= 3
    return made.eval()


def all_kinds() -> list[Kind]:
    return [Kind(kind, context) for kind in ATTENTIONS for context in CONTEXTS]


def sources() -> torch.Tensor:
    return torch.randint(WORDS, (S, N), generator=torch.Generator().manual_seed(1))


def targets() -> list[list[int]]:
    """Answers of different lengths."""
    random = torch.Generator().manual_seed(2)
    return [[*torch.randint(2, SAID, (2 + 2 * n,), generator=random).tolist(), END] for n in range(N)]


def word_by_word() -> float:
    """The decoder over all words in one call against one word at a time, for each attention and context."""
    given, _ = in_columns(targets())
    worst = 0.0
    for kind in all_kinds():
        made = network(kind)
        whole = made((sources(), given))
        memory = made.encode(sources())
        state, said = memory.context, []
        for t in range(len(given)):
            logits, state, _ = made.decode(given[t : t + 1], memory, state)
            said.append(logits)
        worst = max(worst, apart([whole], [torch.cat(said)]))
    return worst


def padding() -> float:
    """The loss of a batch whose answers have different lengths against the sentences one by one; its gradient too."""
    worst = 0.0
    for kind in all_kinds():
        made = network(kind)
        weights = list(made.parameters())
        given, wanted = in_columns(targets())
        together = loss_of(made((sources(), given)), wanted, 0.1)
        alone, count = torch.zeros(()).double(), 0
        for column, target in enumerate(targets()):
            given, wanted = in_columns([target])
            alone = alone + loss_of(made((sources()[:, column : column + 1], given)), wanted, 0.1) * len(target)
            count += len(target)
        ways = ([loss, *torch.autograd.grad(loss, weights, allow_unused=True)] for loss in (together, alone / count))
        worst = max(worst, apart(*([value for value in way if value is not None] for way in ways)))
    return worst


def narrow_beam() -> float:
    """Answers that differ between the search with one beginning and the greedy one."""
    differ = 0
    for kind in all_kinds():
        made, said = network(kind), decoding.greedy(network(kind), sources())[0]
        for column in range(N):
            own = said[:, column].tolist()
            own = own[: own.index(END) + 1] if END in own else own
            differ += decoding.beam(made, sources()[:, column : column + 1], 1) != own
    return float(differ)


def wide_beam() -> float:
    """A search that keeps everything against trying every answer: the difference of the mean log-probabilities."""
    made, source = network(Kind("dot", "last")), sources()[:2, :1]
    length = 3
    every = [(*words, END) for count in range(length) for words in itertools.product(range(2, SAID), repeat=count)]
    every += list(itertools.product(range(2, SAID), repeat=length))
    best = max(mean_chance(made, source, answer) for answer in every)
    before, decoding.most_words = decoding.most_words, lambda _: length  # type: ignore[assignment]
    try:
        found = decoding.beam(made, source, 10 * SAID**length)
    finally:
        decoding.most_words = before
    return abs(best - mean_chance(made, source, tuple(found)))


def mean_chance(made: Seq2Seq, source: torch.Tensor, answer: tuple[int, ...]) -> float:
    wanted = torch.tensor(answer).reshape(-1, 1)
    given = torch.cat([torch.full_like(wanted[:1], END), wanted[:-1]])
    return float(pairs.chances(made((source, given)).detach()).gather(2, wanted[:, :, None]).mean())


def repeated() -> float:
    """The memory of named sentences, each as often as it is named, is that of these sentences read."""
    made, rows = network(Kind("dot", "mean")), torch.tensor([2, 0, 2])
    some: Memory = made.encode(sources()).of(rows)
    read: Memory = made.encode(sources()[:, rows])
    return apart([some.states, some.context], [read.states, read.context])


CLAIMS = (
    Claim("dot", both("dot attention = the formulas in loops", "点积注意力 = 按公式逐个数循环"), dot),
    Claim("additive", both("additive attention = the formulas in loops", "加性注意力 = 按公式逐个数循环"), additive),
    Claim("einsum", both("dot attention = two einsums, values and gradients", "点积注意力 = 两个 einsum，值与梯度"),
          einsum),
    Claim("one-hot", both("weight 1 at one word: the context is its state", "权重全在一个词上：c 就是它的状态"),
          one_hot),
    Claim("word by word", both("the decoder in one call = word by word, 4 attentions x 3 contexts",
                               "解码器一次算完 = 逐词计算，4 种注意力 × 3 种 c"), word_by_word),
    Claim("padding", both("the loss of a padded batch = of its sentences one by one, and the gradient",
                          "填充后的 batch 的损失 = 逐句计算的损失，梯度也相等"), padding),
    Claim("narrow beam", both("beam search of width 1 = greedy; answers that differ", "宽度 1 的束搜索 = 贪心；不同的"
                                                                                      "答案数"),
          narrow_beam),
    Claim("wide beam", both("a beam that keeps everything = trying every answer", "什么都保留的束搜索 = 试遍所有答案"),
          wide_beam),
    Claim("memory", both("sentences of a batch named again = read again", "取出 batch 中的句子 = 重新读它们"),
          repeated),
)  # fmt: skip
