"""The exercises of the lab seq2seq: six lines to predict and thirteen functions to fill in."""

from __future__ import annotations

import math
from typing import Any, Sequence

import numpy as np
import torch
from torch.nn import functional as F

from labkit.base.language import both
from labkit.runs import bleu
from labkit.runs.practice.sheet import fill_in, predict

SETUP = """
import math
from collections import Counter

import torch
from torch import nn
from torch.nn import functional as F
"""


def _tensor(random: np.random.RandomState, *shape: int) -> torch.Tensor:
    return torch.from_numpy(random.randn(*shape))


def _sentences(random: np.random.RandomState, size: int) -> list[list[int]]:
    return [random.randint(2, 9, random.randint(1, 5)).tolist() for _ in range(size + 1)]


def _sentence(random: np.random.RandomState, size: int) -> Any:
    return random.randint(2, 9, size + 1).tolist(), 1


def _columns(targets: list[list[int]], nothing: int) -> torch.Tensor:
    return torch.nn.utils.rnn.pad_sequence([torch.tensor(target) for target in targets], padding_value=nothing)


def _logits(random: np.random.RandomState, size: int) -> Any:
    wanted = _columns(_sentences(random, size), -1)
    wanted[-1, 0], wanted[0] = -1, 3  # something is padded, and each sentence has a word
    wanted = torch.cat([wanted, torch.full_like(wanted[:1], -1)])
    return _tensor(random, *wanted.shape, 9), wanted


def _loss(logits: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    return F.cross_entropy(logits.reshape(-1, logits.shape[2]), wanted.reshape(-1), ignore_index=-1)


def _shapes(size: int) -> tuple[int, int, int, int]:
    return size + 1, size + 2, 2 + size % 2, 3 + size % 3  # T, S, N, H


def _queries(random: np.random.RandomState, size: int) -> Any:
    t, s, n, h = _shapes(size)
    return _tensor(random, t, n, h), _tensor(random, s, n, h)


def _additive(random: np.random.RandomState, size: int) -> Any:
    h = _shapes(size)[3]
    return (*_queries(random, size), _tensor(random, 4, h), _tensor(random, 4, h), _tensor(random, 4))


def _additive_scores(queries: torch.Tensor, memory: torch.Tensor, w: torch.Tensor, u: torch.Tensor,
                     v: torch.Tensor) -> torch.Tensor:  # fmt: skip
    found = queries.new_zeros(queries.shape[1], len(queries), len(memory))
    for t, query in enumerate(queries):
        for s, state in enumerate(memory):
            found[:, t, s] = torch.stack([v @ torch.tanh(w @ q + u @ m) for q, m in zip(query, state)])
    return found


def _lengths(random: np.random.RandomState, size: int) -> Any:
    t, s, n, _ = _shapes(size)
    lengths = torch.from_numpy(random.randint(1, s, n))  # each source has a word, and padding
    return _tensor(random, n, t, s) + 3, lengths


def _masked(scores: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    found = torch.zeros_like(scores)
    for n, length in enumerate(lengths.tolist()):
        found[n, :, :length] = torch.softmax(scores[n, :, :length], dim=1)
    return found


def _weights(random: np.random.RandomState, size: int) -> Any:
    t, s, n, h = _shapes(size)
    return torch.softmax(_tensor(random, n, t, s), dim=2), _tensor(random, s, n, h)


def _states(random: np.random.RandomState, size: int) -> Any:
    _, s, n, h = _shapes(size)
    return _tensor(random, s, n, h), torch.from_numpy(random.randint(1, s, n))


def _mean(states: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    return torch.stack([states[:length, n].mean(dim=0) for n, length in enumerate(lengths.tolist())])


def _table(random: np.random.RandomState, size: int) -> Any:
    table = torch.log_softmax(_tensor(random, size + 4, size + 4) * 2, dim=1)
    return table, 1, int(random.randint(2, 6))


def _greedy(table: torch.Tensor, end: int, most: int) -> list[int]:
    said: list[int] = []
    while len(said) < most and end not in said:
        said.append(int(table[said[-1] if said else end].argmax()))
    return [word for word in said if word != end]


def _beginnings(random: np.random.RandomState, size: int) -> Any:
    count = size + 1
    return _tensor(random, count), torch.log_softmax(_tensor(random, count, 5), dim=1), min(3, count)


def _kept(scores: torch.Tensor, logs: torch.Tensor, width: int) -> list[Any]:
    every = sorted(((float(scores[k] + logs[k, word]), k, word) for k in range(len(scores)) for word in range(5)),
                   reverse=True)  # fmt: skip
    return [(k, word) for _, k, word in every[:width]]


def _translations(random: np.random.RandomState, size: int) -> Any:
    pair = [[str(word) for word in random.choice(list("abc"), 3 + size)] for _ in range(2)]
    return pair[0], pair[1], 1 + size % 2


def _clipped(answer: list[str], reference: list[str], length: int) -> int:
    return sum((bleu.runs(answer, length) & bleu.runs(reference, length)).values())


def _counts(random: np.random.RandomState, size: int) -> Any:
    there = [int(count) for count in random.randint(5, 9, 4)]
    right = [int(random.randint(1, count)) for count in there]
    return right, there, there[0], there[0] + int(random.choice([-2, 3]))


def _bleu(right: Sequence[int], there: Sequence[int], said: int, wanted: int) -> float:
    product = 1.0
    for agree, count in zip(right, there):
        product *= agree / count
    return 100 * product**0.25 * (math.exp(1 - wanted / said) if said < wanted else 1.0)


def _pairs(random: np.random.RandomState, size: int) -> Any:
    pairs = [(str(random.choice(list("abcd"))), str(number)) for number in range(3 * size + 2)]
    return pairs, {"a", "c"}


def _split(pairs: list[tuple[str, str]], held: set[str]) -> Any:
    test: dict[str, list[str]] = {}
    for source, answer in pairs:
        if source in held:
            test[source] = [*test.get(source, []), answer]
    return [pair for pair in pairs if pair[0] not in held], test


SHEET = (
    predict("encoder_shapes", both("An encoder that reads both ways: outputs, last states, and these side by side.",
                                   "双向编码器：输出、最后的状态，以及两个方向的状态并排之后的形状。"),
            "out, h = nn.GRU(5, 4, bidirectional=True)(torch.zeros(7, 3, 5))\n"
            "[list(part.shape) for part in (out, h, torch.cat([h[0], h[1]], dim=1))]",
            hint=both("The outputs are both directions side by side; h has a row for each.",
                      "输出是两个方向并排；h 每个方向一行。"),
            wrong={"[[7, 3, 8], [1, 3, 8], [3, 8]]": both("h has a row for each direction.", "h 每个方向一行。"),
                   "[[7, 3, 4], [2, 3, 4], [3, 8]]": both("Both directions stand side by side: 8.",
                                                         "两个方向并排：8。")}),
    predict("score_shape", both("5 places of the answer ask 7 words of the source, 2 sentences: the scores.",
                                "答案的 5 个位置询问原文的 7 个词，共 2 句：得分的形状。"),
            "queries, memory = torch.zeros(5, 2, 6), torch.zeros(7, 2, 6)\n"
            "list((queries.transpose(0, 1) @ memory.permute(1, 2, 0)).shape)",
            hint=both("A number for each sentence, place and word.", "每句、每个位置、每个词一个数。"),
            wrong={"[5, 2, 7]": both("The sentence is the first axis of both factors.", "两个因子的第一维都是句子。"),
                   "[2, 7, 5]": both("Rows are the places that ask.", "行是提问的位置。")}),
    predict("undecided", both("The weights where all scores are equal: what then is the context?",
                              "得分都相等时的权重（此时 c 是什么？）"),
            "torch.softmax(torch.full((4,), 7.0), dim=0).tolist()",
            hint=both("Only differences of scores count, and the sum is 1.", "只有得分之差起作用，总和为 1。"),
            wrong={"[7.0, 7.0, 7.0, 7.0]": both("Weights sum to 1.", "权重总和为 1。"),
                   "[1.0, 1.0, 1.0, 1.0]": both("Weights sum to 1: the context is the mean of all states, as with "
                                                "--context mean.",
                                                "权重总和为 1：c 就是所有状态的平均，即 --context mean。")}),
    predict("large_scores", both("Scores ten times as large: the larger weight.", "得分放大十倍后，较大的权重。"),
            "round(torch.softmax(torch.tensor([1.0, 2.0]) * 10, dim=0)[1].item(), 3)",
            hint=both("e to the 10 against 1.", "e 的 10 次方比 1。"),
            wrong={"0.731": both("That is without the factor.", "那是没有放大的情形。"),
                   "0.667": both("Softmax takes exponentials, not shares.", "softmax 取的是指数，不是比例。")}),
    predict("two_means", both("A sentence of one word with loss 3, one of three words with loss 1 each: the mean over "
                              "words, and over sentences.",
                              "一句一个词、损失 3；一句三个词、损失各 1：按词平均与按句平均。"),
            "losses = [torch.tensor([3.0]), torch.tensor([1.0, 1.0, 1.0])]\n"
            "[torch.cat(losses).mean().item(), torch.stack([loss.mean() for loss in losses]).mean().item()]",
            hint=both("Four words; two sentences.", "四个词；两个句子。"),
            wrong={"[1.5, 1.5]": both("By sentences the word of the short one counts three times as much.",
                                      "按句平均时，短句的词权重是三倍。"),
                   "[2.0, 1.5]": both("The first is over words: 6 / 4.", "前者按词：6 / 4。")}),
    predict("brevity", both("What an answer of 3 words keeps of its BLEU when the reference has 6.",
                            "译文 3 个词、参考 6 个词时，BLEU 还剩多少（比例）。"),
            "round(math.exp(min(0.0, 1 - 6 / 3)), 3)",
            hint=both("e to the -1.", "e 的 -1 次方。"),
            wrong={"0.5": both("It falls exponentially with wanted / said - 1.", "它随 参考长度/译文长度 − 1 指数下降"
                                                                                 "。"),
                   "1.0": both("Only answers that are long enough keep everything.", "够长的译文才不受罚。")}),
    fill_in("given_and_wanted", both("What the decoder is given and what it should say, of a target (a list of "
                                     "numbers): `end` begins the one and ends the other.",
                                     "由目标（数的列表）得到解码器的输入和应说的词：前者以 end 开头，"
                                     "后者以 end 结尾。"),
            "def given_and_wanted(target, end):", oracle=lambda target, end: ([end, *target], [*target, end]),
            cases=_sentence, hint=both("The same list, shifted by one.", "同一个列表，错开一位。"),
            solution="return [end, *target], [*target, end]",
            wrong=("return [*target, end], [end, *target]", "return target, [*target[1:], end]",
                   "return [end, *target, end], [end, *target, end]")),
    fill_in("columns", both("Targets of different lengths as an int64 tensor (T, N), the rest filled with `nothing`.",
                            "把长短不一的目标排成 int64 张量 (T, N)，空处填 nothing。"),
            "def columns(targets, nothing):", without=("pad_sequence",), oracle=_columns,
            cases=lambda random, size: (_sentences(random, size), -1),
            hint=both("torch.full with the longest length, then column by column.", "按最长的长度 torch.full，再逐列"
                                                                                    "填。"),
            solution="table = torch.full((max(map(len, targets)), len(targets)), nothing, dtype=torch.int64)\n"
                     "for n, target in enumerate(targets):\n    table[: len(target), n] = torch.tensor(target)\n"
                     "return table",
            wrong=("table = torch.full((len(targets), max(map(len, targets))), nothing, dtype=torch.int64)\n"
                   "for n, target in enumerate(targets):\n    table[n, : len(target)] = torch.tensor(target)\n"
                   "return table",
                   "table = torch.zeros((max(map(len, targets)), len(targets)), dtype=torch.int64)\n"
                   "for n, target in enumerate(targets):\n    table[: len(target), n] = torch.tensor(target)\n"
                   "return table")),
    fill_in("loss", both("Mean cross-entropy of logits (T, N, V) over the words of wanted (T, N) that are not -1.",
                         "logits (T, N, V) 对 wanted (T, N) 中不为 -1 的词的平均交叉熵。"),
            "def loss(logits, wanted):", without=("cross_entropy", "CrossEntropyLoss", "nll_loss"), oracle=_loss,
            cases=_logits, hint=both("log_softmax, gather, then a boolean mask before the mean.",
                                     "log_softmax、gather，取平均之前用布尔掩码。"),
            solution="logs = torch.log_softmax(logits, dim=2)\nthere = wanted >= 0\n"
                     "own = logs.gather(2, wanted.clamp(min=0)[:, :, None])[:, :, 0]\nreturn -own[there].mean()",
            wrong=("logs = torch.log_softmax(logits, dim=2)\n"
                   "return -logs.gather(2, wanted.clamp(min=0)[:, :, None]).mean()",
                   "logs = torch.log_softmax(logits, dim=2)\nthere = wanted >= 0\n"
                   "own = logs.gather(2, wanted.clamp(min=0)[:, :, None])[:, :, 0]\nreturn -(own * there).mean()",
                   "logs = torch.log_softmax(logits, dim=2)\nthere = (wanted >= 0).double()\n"
                   "own = logs.gather(2, wanted.clamp(min=0)[:, :, None])[:, :, 0] * there\n"
                   "return -(own.sum(dim=0) / there.sum(dim=0)).mean()")),
    fill_in("dot_scores", both("The scalar product of each query (T, N, H) with each state of memory (S, N, H): (N, "
                               "T, S).",
                               "每个 query (T, N, H) 与 memory (S, N, H) 中每个状态的点积：(N, T, S)。"),
            "def dot_scores(queries, memory):", without=("einsum",),
            oracle=lambda queries, memory: torch.einsum("tnh,snh->nts", queries, memory), cases=_queries,
            hint=both("Bring N to the front of both, then @.", "把 N 移到最前面，再用 @。"),
            solution="return queries.transpose(0, 1) @ memory.permute(1, 2, 0)",
            wrong=("return queries @ memory.permute(1, 2, 0)", "return memory.transpose(0, 1) @ queries.permute(1, "
                                                               "2, 0)",
                   "return queries.transpose(0, 1) @ memory.permute(1, 2, 0) / queries.shape[2] ** 0.5")),
    fill_in("additive_scores", both("v tanh(W q + U m) for each query and each state of memory: (N, T, S). W and U "
                                    "are (A, H).",
                                    "对每个 query 与 memory 的每个状态求 v tanh(W q + U m)：(N, T, S)。W、U 为 (A, "
                                    "H)。"),
            "def additive_scores(queries, memory, W, U, v):", oracle=_additive_scores, cases=_additive, tolerance=1e-9,
            hint=both("Make (N, T, 1, A) and (N, 1, S, A); their sum broadcasts.", "做出 (N, T, 1, A) 与 (N, 1, S, "
                                                                                   "A)，相加时广播。"),
            solution="q = (queries @ W.t()).transpose(0, 1)[:, :, None]\n"
                     "m = (memory @ U.t()).transpose(0, 1)[:, None]\nreturn torch.tanh(q + m) @ v",
            wrong=("q = (queries @ W.t()).transpose(0, 1)[:, :, None]\n"
                   "m = (memory @ U.t()).transpose(0, 1)[:, None]\nreturn (q + m) @ v",
                   "q = (queries @ W.t()).transpose(0, 1)[:, None]\n"
                   "m = (memory @ U.t()).transpose(0, 1)[:, :, None]\nreturn torch.tanh(q + m) @ v")),
    fill_in("masked_softmax", both("Weights of scores (N, T, S), where source n has lengths[n] words and the rest is "
                                   "padding: that gets 0.",
                                   "scores (N, T, S) 的权重；第 n 句原文有 lengths[n] 个词，其余是填充，权重为 0。"),
            "def masked_softmax(scores, lengths):", oracle=_masked, cases=_lengths,
            hint=both("Fill with -inf before the softmax, not with 0 after it.", "在 softmax 之前填 −inf，而不是之后"
                                                                                 "填 0。"),
            solution="padding = torch.arange(scores.shape[2])[None] >= lengths[:, None]\n"
                     "return torch.softmax(scores.masked_fill(padding[:, None], -float('inf')), dim=2)",
            wrong=("padding = torch.arange(scores.shape[2])[None] >= lengths[:, None]\n"
                   "return torch.softmax(scores, dim=2).masked_fill(padding[:, None], 0.0)",
                   "padding = torch.arange(scores.shape[2])[None] >= lengths[:, None]\n"
                   "return torch.softmax(scores.masked_fill(padding[:, None], 0.0), dim=2)",
                   "padding = torch.arange(scores.shape[2])[None] > lengths[:, None]\n"
                   "return torch.softmax(scores.masked_fill(padding[:, None], -float('inf')), dim=2)")),
    fill_in("contexts", both("The contexts (T, N, H) from weights (N, T, S) and memory (S, N, H).",
                             "由权重 (N, T, S) 与 memory (S, N, H) 求各步的 c (T, N, H)。"),
            "def contexts(weights, memory):", without=("einsum",),
            oracle=lambda weights, memory: torch.einsum("nts,snh->tnh", weights, memory), cases=_weights,
            hint=both("A matrix product for each sentence.", "每个句子做一次矩阵乘。"),
            solution="return (weights @ memory.transpose(0, 1)).transpose(0, 1)",
            wrong=("return weights @ memory.transpose(0, 1)",
                   "return memory.mean(dim=0)[None].expand(weights.shape[1], -1, -1)")),
    fill_in("mean_context", both("The mean state of each source: states (S, N, H), of which lengths[n] are words and "
                                 "the rest is padding: (N, H).",
                                 "每句原文状态的平均：states (S, N, H)，前 lengths[n] 个是词，其余是填充；结果 (N, "
                                 "H)。"),
            "def mean_context(states, lengths):", oracle=_mean, cases=_states,
            hint=both("Divide by the words, not by S.", "除以词数，而不是 S。"),
            solution="there = (torch.arange(len(states))[:, None] < lengths[None]).to(states)\n"
                     "return (states * there[:, :, None]).sum(dim=0) / lengths[:, None].to(states)",
            wrong=("return states.mean(dim=0)",
                   "there = (torch.arange(len(states))[:, None] < lengths[None]).to(states)\n"
                   "return (states * there[:, :, None]).mean(dim=0)",
                   "return states.sum(dim=0) / lengths[:, None].to(states)")),
    fill_in("greedy", both("Say words greedily: table[word] has the scores of what follows. Begin after `end`, stop "
                           "before it is said, or at `most` words; a list.",
                           "贪心地说词：table[word] 是下一个词的得分。从 end 之后开始，说到 end 之前或满 most 个词为"
                           "止；返回列表。"),
            "def greedy(table, end, most):", oracle=_greedy, cases=_table,
            hint=both("word = int(table[word].argmax()), in a loop.", "循环中 word = int(table[word].argmax())。"),
            solution="said, word = [], end\nwhile len(said) < most:\n    word = int(table[word].argmax())\n"
                     "    if word == end:\n        break\n    said.append(word)\nreturn said",
            wrong=("said, word = [], end\nwhile len(said) < most:\n    word = int(table[word].argmax())\n"
                   "    said.append(word)\nreturn said",
                   "said, word = [end], end\nwhile len(said) < most:\n    word = int(table[word].argmax())\n"
                   "    if word == end:\n        break\n    said.append(word)\nreturn said",
                   "return [int(row.argmax()) for row in table[:most]]")),
    fill_in("keep", both("One step of a beam search: scores (B,) of beginnings and logs (B, V) of what follows each. "
                         "The `width` best as a list of (beginning, word), best first.",
                         "束搜索的一步：B 个开头的得分 scores (B,) 与下一个词的 logs (B, V)。取最好的 width 个，列表 "
                         "(开头, 词)，最好的在前。"),
            "def keep(scores, logs, width):", oracle=_kept, cases=_beginnings,
            hint=both("topk over all B V sums; // and % find row and column.", "对 B V 个和取 topk；用 // 和 % 求行和"
                                                                               "列。"),
            solution="places = (scores[:, None] + logs).flatten().topk(width)[1].tolist()\n"
                     "return [(place // logs.shape[1], place % logs.shape[1]) for place in places]",
            wrong=("places = logs.flatten().topk(width)[1].tolist()\n"
                   "return [(place // logs.shape[1], place % logs.shape[1]) for place in places]",
                   "return [(k, int(logs[k].argmax())) for k in scores.topk(width)[1].tolist()]")),
    fill_in("agreeing", both("How many runs of `length` words of answer stand in reference; each as often as it has "
                             "it.",
                             "answer 中长为 length 的词串有多少出现在 reference 里；每种至多计 reference 中的次数。"),
            "def agreeing(answer, reference, length):", oracle=_clipped, cases=_translations,
            hint=both("Two Counters of tuples, and &.", "两个元组的 Counter，再用 &。"),
            solution="def runs(words):\n    return Counter(tuple(words[k:k + length]) for k in range(len(words) - "
                     "length + 1))\n"
                     "return sum((runs(answer) & runs(reference)).values())",
            wrong=("def runs(words):\n    return [tuple(words[k:k + length]) for k in range(len(words) - length + 1)]\n"
                   "return sum(run in runs(reference) for run in runs(answer))",
                   "def runs(words):\n    return {tuple(words[k:k + length]) for k in range(len(words) - length + 1)}\n"
                   "return len(runs(answer) & runs(reference))")),
    fill_in("bleu", both("BLEU, 0..100: right[n] of there[n] runs of n + 1 words agree; said words against wanted "
                         "ones of the references.",
                         "BLEU，0 到 100：长为 n + 1 的词串共 there[n] 个，right[n] 个一致；译文 said 个词，参考 "
                         "wanted 个。"),
            "def bleu(right, there, said, wanted):", oracle=_bleu, cases=_counts, tolerance=1e-9,
            hint=both("Geometric mean of the four shares, times exp(1 - wanted / said) where the answer is short.",
                      "四个比例的几何平均；译文偏短时再乘 exp(1 − wanted / said)。"),
            solution="mean = sum(math.log(r / t) for r, t in zip(right, there)) / len(right)\n"
                     "return 100 * math.exp(mean + min(0.0, 1 - wanted / said))",
            wrong=("return 100 * sum(r / t for r, t in zip(right, there)) / len(right)",
                   "mean = sum(math.log(r / t) for r, t in zip(right, there)) / len(right)\nreturn 100 * "
                   "math.exp(mean)",
                   "mean = sum(math.log(r / t) for r, t in zip(right, there)) / len(right)\n"
                   "return 100 * math.exp(mean + 1 - wanted / said)")),
    fill_in("split", both("Pairs (source, answer) to learn from, and a dict of the sources in `held` with the list of "
                          "all their answers.",
                          "把 (原文, 答案) 分成训练对，以及 held 中各原文到其全部答案（列表）的字典。"),
            "def split(pairs, held):", oracle=_split, cases=_pairs,
            hint=both("A source goes with all its answers, to one side only.", "一个原文连同它的全部答案只在一边。"),
            solution="test = {}\nfor source, answer in pairs:\n    if source in held:\n"
                     "        test.setdefault(source, []).append(answer)\n"
                     "return [pair for pair in pairs if pair[0] not in held], test",
            wrong=("test = {source: answer for source, answer in pairs if source in held}\n"
                   "return [pair for pair in pairs if pair[0] not in held], test",
                   "test = {}\nfor source, answer in pairs:\n    if source in held and source not in test:\n"
                   "        test[source] = [answer]\n"
                   "return [pair for pair in pairs if pair not in [(s, a[0]) for s, a in test.items()]], test")),
)  # fmt: skip
