"""The exercises of the lab bert: six lines to predict and eleven functions to fill in."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from labkit.base.language import both
from labkit.runs.practice.sheet import fill_in, predict
from labs.bert import attention, pretraining, subwords
from labs.bert.words import CLS, MASK, SEP

SETUP = """
import math

import torch
from torch import nn
from torch.nn import functional as F
"""


def _tensor(random: np.random.RandomState, *shape: int) -> torch.Tensor:
    return torch.from_numpy(random.randn(*shape))


def _queries(random: np.random.RandomState, size: int) -> Any:
    d = 2 + 2 * (size % 2)
    return _tensor(random, size + 1, d) * 2, _tensor(random, size + 2, d) * 2, _tensor(random, size + 2, 3)


def _rows(random: np.random.RandomState, size: int) -> Any:
    return (_tensor(random, size + 1, 3 + size % 3) * 4 + 1,)


def _normed(x: torch.Tensor) -> torch.Tensor:
    return F.layer_norm(x, x.shape[1:])


def _before(t: int) -> torch.Tensor:
    return torch.ones(t, t, dtype=torch.bool).tril()


def _for_heads(random: np.random.RandomState, size: int) -> Any:
    heads = 1 + size % 3
    return _tensor(random, size + 1, 2 * heads), heads


def _heads(x: torch.Tensor, heads: int) -> torch.Tensor:
    return x.reshape(len(x), heads, -1).permute(1, 0, 2).contiguous()


def _hiding(random: np.random.RandomState, size: int) -> Any:
    """Words, which are chosen, a number in 0..1 for each, and another word for each."""
    t = 3 * size + 2
    kind = random.choice([0.05, 0.5, 0.79, 0.81, 0.89, 0.91, 0.99], t)
    return (torch.from_numpy(random.randint(4, 90, t)), torch.from_numpy(random.rand(t) < 0.6), torch.from_numpy(kind),
            torch.from_numpy(random.randint(100, 200, t)))  # fmt: skip


def _hidden(words: torch.Tensor, chosen: torch.Tensor, kind: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    found = words.clone()
    for k in range(len(words)):
        if chosen[k] and kind[k] < 0.8:
            found[k] = MASK
        elif chosen[k] and kind[k] < 0.9:
            found[k] = other[k]
    return found


def _logits(random: np.random.RandomState, size: int) -> Any:
    t = size + 2
    places = sorted(random.permutation(t)[: 1 + size // 2].tolist())
    return _tensor(random, t, 5) * 2, torch.from_numpy(random.randint(0, 5, t)), torch.tensor(places)


def _loss(logits: torch.Tensor, words: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    return F.cross_entropy(logits[places], words[places])


def _sentences(random: np.random.RandomState, size: int) -> Any:
    return random.randint(4, 90, size + 1).tolist(), random.randint(4, 90, 2 + size // 2).tolist()


def _pair(a: list[int], b: list[int]) -> tuple[list[int], list[int]]:
    return [CLS, *a, SEP, *b, SEP], [0] * (len(a) + 2) + [1] * (len(b) + 1)


def _shares(random: np.random.RandomState, size: int) -> Any:
    shares = random.rand(size + 2)
    return ((shares / shares.sum()).tolist(),)


def _most(shares: list[float]) -> float:
    return 1 - sum(share**2 for share in shares) / 2


def _pieces(random: np.random.RandomState, size: int) -> Any:
    return [str(piece) for piece in random.choice(["a", "b", "ab"], 2 * size + 2)], ("a", "b")


def _joined(pieces: list[str], pair: tuple[str, str]) -> list[str]:
    return list(subwords.joined(pieces, pair))


def _table(random: np.random.RandomState, size: int) -> Any:
    scale = torch.from_numpy(random.choice([0.1, 1.0, 9.0], size + 3))[:, None]
    return _tensor(random, size + 3, 4) * scale, int(random.randint(size + 3))


def _nearest(table: torch.Tensor, number: int) -> int:
    return pretraining.nearest(table, number, 1, 0)[0]


SHEET = (
    predict("fates", both("Of 1,000 words, how many become [MASK], and how many are chosen and stay, in the mean?",
                          "1000 个词里，平均有多少变成 [MASK]？又有多少被选中却不变？"),
            "[round(1000 * 0.15 * share) for share in (0.8, 0.1)]",
            hint=both("15 % are chosen; the rest is about those.", "选中 15 %，其余比例是对选中的词而言。"),
            wrong={"[800, 100]": both("These are shares of the chosen 15 %.", "这是被选中的 15 % 里的比例。"),
                   "[150, 15]": both("Of the 150 that are chosen a fifth does not become [MASK].",
                                     "选中的 150 个里有五分之一不变成 [MASK]。")}),
    predict("ignored", both("The loss of a network that always says 1, on labels of which half are 0: as it is, and "
                            "with label 0 ignored.",
                            "网络永远答 1，而标签一半是 0：正常的损失，以及忽略标签 0 时的损失。"),
            "logits, labels = torch.tensor([[-9.0, 9.0]] * 4), torch.tensor([0, 1, 0, 1])\n"
            "[round(F.cross_entropy(logits, labels, ignore_index=k).item(), 1) for k in (-100, 0)]",
            hint=both("It is wrong by 18 logits in half of the cases. Then these are not looked at.",
                      "一半情形错了 18 个 logit；忽略之后，这一半就不看了。"),
            wrong={"[9.0, 9.0]": both("Where label 0 is ignored, only what is right is counted.",
                                      "忽略标签 0 之后，只剩答对的。"),
                   "[0.0, 0.0]": both("As it is, half of the answers are wrong.", "正常情形下有一半答错。"),
                   "[18.0, 0.0]": both("It is a mean over right ones and wrong ones.", "要对答对的与答错的取平均。")}),
    predict("without_places", both("Attention without places: is the reversed sentence the same result, reversed?",
                                   "没有位置向量的注意力：把句子倒过来，结果是否只是倒过来？"),
            "torch.manual_seed(0)\nx = torch.randn(5, 4)\n"
            "see = lambda x: torch.softmax(x @ x.t() / 2, dim=1) @ x\n"
            "torch.allclose(see(x.flip(0)), see(x).flip(0), atol=1e-6)",
            hint=both("Which part of the formula knows where a word stands?", "公式里哪一处知道词在第几位？"),
            wrong={"False": both("Nothing in it knows the order: hence the vectors of places.",
                                 "它完全不知道顺序，所以才要位置向量。"),
                   "'error'": both("All shapes fit.", "形状都对得上。")}),
    predict("second_row", both("What the second word looks at, from left to right, where all scores are equal.",
                               "从左到右、所有分数相等时，第二个词看什么。"),
            "scores = torch.zeros(3, 3)\nbefore = torch.ones(3, 3, dtype=torch.bool).tril()\n"
            "torch.softmax(scores.masked_fill(~before, -math.inf), dim=1)[1].tolist()",
            hint=both("Itself and the first.", "它自己和第一个词。"),
            wrong={"[0.0, 0.5, 0.5]": both("That would be from right to left.", "那是从右到左。"),
                   "[1.0, 0.0, 0.0]": both("It sees itself too.", "它也看得见自己。")}),
    predict("normed", both("What LayerNorm makes of [1, 3].", "LayerNorm 把 [1, 3] 变成什么。"),
            "[round(value, 3) for value in F.layer_norm(torch.tensor([1.0, 3.0]), (2,)).tolist()]",
            hint=both("Mean 2, variance 1: divided by D, not by D - 1.", "均值 2，方差 1：除以 D，不是 D − 1。"),
            wrong={"[-0.707, 0.707]": both("The variance is divided by D here.", "这里的方差除以 D。"),
                   "[0.0, 1.0]": both("To mean 0 and variance 1.", "变成均值 0、方差 1。")}),
    predict("layer_weights", both("How many numbers does a layer learn?", "一层要学多少个数？"),
            "sum(weight.numel() for weight in nn.TransformerEncoderLayer(8, 2, 32).parameters())",
            hint=both("q, k, v and out: four times 8 x 8 + 8. 8 to 32 and back, each with a bias. Two norms.",
                      "q、k、v、out：四份 8 × 8 + 8；8 到 32 再回来，各带偏置；两个 LayerNorm。"),
            wrong={"840": both("The two norms have 16 each.", "两个 LayerNorm 各有 16 个。"),
                   "800": both("The biases are missing.", "漏了偏置。")}),
    fill_in("attend", both("Attention: q (T, d), k and v (S, d) and (S, e), to (T, e).",
                           "注意力：q (T, d)、k (S, d)、v (S, e)，得 (T, e)。"),
            "def attend(q, k, v):", without=("scaled_dot_product_attention",), oracle=attention.attend, cases=_queries,
            hint=both("softmax(q kᵀ / √d) v; the softmax is over the keys.",
                      "softmax(q kᵀ / √d) v；softmax 沿键的方向。"),
            solution="return torch.softmax(q @ k.t() / math.sqrt(q.shape[1]), dim=1) @ v",
            wrong=("return torch.softmax(q @ k.t(), dim=1) @ v",
                   "return torch.softmax(q @ k.t() / math.sqrt(q.shape[1]), dim=0) @ v",
                   "return torch.softmax(q @ k.t() / q.shape[1], dim=1) @ v")),
    fill_in("gelu", both("GELU of a tensor: x times the chance that a normal number is below x.",
                         "张量的 GELU：x 乘以标准正态数小于 x 的概率。"),
            "def gelu(x):", without=("gelu", "GELU"), oracle=F.gelu, cases=_rows,
            hint=both("(1 + erf(x / √2)) / 2 is that chance.", "那个概率是 (1 + erf(x / √2)) / 2。"),
            solution="return x * (1 + torch.erf(x / math.sqrt(2))) / 2",
            wrong=("return x * (1 + torch.erf(x)) / 2", "return x.clamp(min=0)", "return x * torch.sigmoid(1.702 * "
                                                                                 "x)")),
    fill_in("layer_norm", both("Each row of x (N, D) to mean 0 and variance 1, with 1e-5 added to the variance.",
                               "把 x (N, D) 的每一行变成均值 0、方差 1，方差加 1e-5。"),
            "def layer_norm(x):", without=("layer_norm", "LayerNorm"), oracle=_normed, cases=_rows,
            hint=both("keepdim=True; the variance is the mean of squares.", "keepdim=True；方差是平方的均值。"),
            solution="c = x - x.mean(dim=1, keepdim=True)\nreturn c / torch.sqrt((c ** 2).mean(dim=1, keepdim=True) "
                     "+ 1e-5)",
            wrong=("return (x - x.mean(dim=1, keepdim=True)) / x.std(dim=1, keepdim=True)",
                   "c = x - x.mean(dim=0, keepdim=True)\n"
                   "return c / torch.sqrt((c ** 2).mean(dim=0, keepdim=True) + 1e-5)",
                   "c = x - x.mean(dim=1, keepdim=True)\nreturn c / ((c ** 2).mean(dim=1, keepdim=True) + 1e-5)")),
    fill_in("before", both("What each of t words may see from left to right: bool (t, t), True where it may.",
                           "从左到右时 t 个词各能看见谁：布尔 (t, t)，能看见处为 True。"),
            "def before(t):", without=("tril", "triu"), oracle=_before, cases=lambda random, size: (size,),
            hint=both("Row i sees column j where j <= i.", "第 i 行看得见 j <= i 的列。"),
            solution="k = torch.arange(t)\nreturn k[None] <= k[:, None]",
            wrong=("k = torch.arange(t)\nreturn k[None] < k[:, None]", "k = torch.arange(t)\nreturn k[None] >= k[:, "
                                                                       "None]",
                   "return torch.ones(t, t, dtype=torch.bool)")),
    fill_in("split_heads", both("x (T, D) for several heads: (heads, T, D / heads).",
                                "把 x (T, D) 分给几个头：(heads, T, D / heads)。"),
            "def split_heads(x, heads):", oracle=_heads, cases=_for_heads,
            hint=both("A head has neighbouring numbers of every word: reshape, then change axes.",
                      "一个头拿每个词相邻的几个数：先 reshape，再换轴。"),
            solution="return x.reshape(len(x), heads, -1).transpose(0, 1)",
            wrong=("return x.reshape(heads, len(x), -1)", "return x.reshape(len(x), heads, -1)",
                   "return x.reshape(len(x), -1, heads).permute(2, 0, 1)")),
    fill_in("hide", both("What the network sees of words (T): where chosen and kind < 0.8 it is 3 ([MASK]), where "
                         "chosen and kind in 0.8 to 0.9 the other word; all else stays.",
                         "网络看到的词 (T)：chosen 且 kind < 0.8 处是 3（[MASK]），chosen 且 kind 在 0.8 到 0.9 之间处"
                         "是 other，其余不变。"),
            "def hide(words, chosen, kind, other):", oracle=_hidden, cases=_hiding,
            hint=both("torch.where twice, or masked_fill.", "两次 torch.where，或 masked_fill。"),
            solution="seen = words.masked_fill(chosen & (kind < 0.8), 3)\n"
                     "return torch.where(chosen & (kind >= 0.8) & (kind < 0.9), other, seen)",
            wrong=("return words.masked_fill(chosen, 3)", "return words.masked_fill(chosen & (kind < 0.8), 3)",
                   "seen = words.masked_fill(chosen & (kind < 0.8), 3)\nreturn torch.where(chosen & (kind >= 0.8), "
                   "other, seen)",
                   "seen = words.masked_fill(kind < 0.8, 3)\nreturn torch.where((kind >= 0.8) & (kind < 0.9), other, "
                   "seen)")),
    fill_in("masked_loss", both("The mean loss of logits (T, V) at the places (K) alone, where words (T) stood.",
                                "只在 places (K) 处的平均损失：logits (T, V)，那里原来是 words (T)。"),
            "def masked_loss(logits, words, places):", without=("cross_entropy", "nll_loss"), oracle=_loss,
            cases=_logits,
            hint=both("Pick the rows, then minus the log of the softmax at the right word.",
                      "先挑出这些行，再取正确词处 log softmax 的相反数。"),
            solution="chances = torch.log_softmax(logits[places], dim=1)\n"
                     "return -chances[torch.arange(len(places)), words[places]].mean()",
            wrong=("return -torch.log_softmax(logits, dim=1)[torch.arange(len(words)), words].mean()",
                   "chances = torch.log_softmax(logits[places], dim=1)\n"
                   "return -chances[torch.arange(len(places)), words[places]].sum() / len(words)",
                   "chances = torch.log_softmax(logits[places], dim=0)\n"
                   "return -chances[torch.arange(len(places)), words[places]].mean()")),
    fill_in("pair", both("Two sentences (lists of numbers) as BERT reads them: [CLS] a [SEP] b [SEP], with [CLS] = 1 "
                         "and [SEP] = 2; and the segment of each, 0 up to the first [SEP], then 1.",
                         "BERT 读的两句话（编号的列表）：[CLS] a [SEP] b [SEP]，[CLS] = 1，[SEP] = 2；以及每个位置的段"
                         "号，到第一个 [SEP] 为 0，之后为 1。"),
            "def pair(a, b):", oracle=_pair, cases=_sentences,
            hint=both("The first [SEP] still belongs to the first.", "第一个 [SEP] 仍属于第一句。"),
            solution="return [1, *a, 2, *b, 2], [0] * (len(a) + 2) + [1] * (len(b) + 1)",
            wrong=("return [1, *a, 2, *b, 2], [0] * (len(a) + 1) + [1] * (len(b) + 2)",
                   "return [1, *a, 2, *b], [0] * (len(a) + 2) + [1] * len(b)",
                   "return [1, *a, 2, 1, *b, 2], [0] * (len(a) + 2) + [1] * (len(b) + 2)")),
    fill_in("nsp_ceiling", both("Half of the pairs follow each other and then have one theme; the others are drawn at "
                                "random, the themes with these shares (which add up to 1). How many can be told apart "
                                "at best?",
                                "一半句对前后相接、主题相同；另一半随机抽取，各主题的比例为 shares（和为 1）。最多能"
                                "判对多少？"),
            "def nsp_ceiling(shares):", oracle=_most, cases=_shares,
            hint=both("Who says \"follows\" for equal themes errs where two random ones are equal: the sum of the "
                      "squares.",
                      "主题相同就判“接续”，只在随机两句主题碰巧相同时出错：其概率是比例的平方和。"),
            solution="return 1 - sum(share ** 2 for share in shares) / 2",
            wrong=("return 1 - 1 / len(shares) / 2", "return 1 - sum(share ** 2 for share in shares)", "return 0.5")),
    fill_in("joined", both("The list of pieces with each place where the pair stands made one, from the left.",
                           "把 pieces 中相邻的 pair 合成一个，从左到右；返回列表。"),
            "def joined(pieces, pair):", oracle=_joined, cases=_pieces,
            hint=both("Look at the last piece that was put down.", "看一看刚放下的最后一个子词。"),
            solution="found = []\nfor piece in pieces:\n    if found and (found[-1], piece) == pair:\n"
                     "        found[-1] += piece\n    else:\n        found.append(piece)\nreturn found",
            wrong=("return list(pieces)",
                   "found = []\nfor piece in pieces:\n    if found and found[-1] == pair[0]:\n"
                   "        found[-1] += piece\n    else:\n        found.append(piece)\nreturn found",
                   "found, done = [], False\nfor piece in pieces:\n"
                   "    if found and (found[-1], piece) == pair and not done:\n        found[-1] += piece\n"
                   "        done = True\n    else:\n        found.append(piece)\nreturn found")),
    fill_in("nearest", both("Which other row of the table (V, D) has the direction most like that of row number?",
                            "表 (V, D) 里哪一行（不算自己）与第 number 行方向最接近？"),
            "def nearest(table, number):", oracle=_nearest, cases=_table,
            hint=both("Divide each row by its length; leave the row itself out.", "每行除以长度；把它自己排除。"),
            solution="unit = table / table.norm(dim=1, keepdim=True)\nlike = unit @ unit[number]\nlike[number] = -2\n"
                     "return int(like.argmax())",
            wrong=("like = table @ table[number]\nlike[number] = -math.inf\nreturn int(like.argmax())",
                   "unit = table / table.norm(dim=1, keepdim=True)\nreturn int((unit @ unit[number]).argmax())",
                   "far = (table - table[number]).norm(dim=1)\nfar[number] = math.inf\nreturn int(far.argmin())")),
)  # fmt: skip
