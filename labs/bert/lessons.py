"""The part lessons: the encoder by hand against torch.nn, the rates of hiding, what NSP can reach, and subwords."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from labkit.base.language import both
from labkit.runs import claims
from labkit.runs.run import Run
from labs.bert import masking, scenes, subwords
from labs.bert.corpus import Corpus, drawn
from labs.bert.masking import AS_MASK, AS_OTHER, Texts
from labs.bert.oracles import CLAIMS
from labs.bert.words import FIRST, MASK

COUNTED = 100_000  # words of which some are hidden
TOLD = {"low": 5, "lower": 2, "newest": 6, "widest": 3}  # the example of the paper on subwords
MERGES = 10


def show(run: Run) -> dict[str, float]:
    """All tables; how many claims hold, and the share of pairs of scenes that can be told apart at best."""
    found = {"claims": float(claims.show(run, CLAIMS))}
    rates(run)
    corpus = drawn(run.seed)
    found["nsp_ceiling"] = sentence_pairs(run, corpus)
    pieces(run)
    return found


def counted(share: float, seed: int) -> dict[str, tuple[int, int, float]]:
    """Of `COUNTED` words how many were chosen, and what they became: (found, of how many, rate that is meant)."""
    vocabulary = 10_000
    words = torch.randint(FIRST, vocabulary, (COUNTED // 100, 100), generator=torch.Generator().manual_seed(seed))
    seen, places = masking.hide(words, share, vocabulary, torch.Generator().manual_seed(seed + 1))
    was, became = words.flatten()[places], seen.flatten()[places]
    chosen = len(places)
    same = 1 - AS_MASK - AS_OTHER
    return {
        "chosen": (chosen, COUNTED, share),
        "mask": (int((became == MASK).sum()), chosen, AS_MASK),
        "other": (int(((became != MASK) & (became != was)).sum()), chosen, AS_OTHER),
        "same": (int((became == was).sum()), chosen, same),
    }


def rates(run: Run) -> None:
    names = {
        "chosen": both("words that are chosen", "被选中的词"),
        "mask": both("of them: [MASK]", "其中：变成 [MASK]"),
        "other": both("of them: another word", "其中：变成别的词"),
        "same": both("of them: left as they are", "其中：不变"),
    }
    rows = []
    for name, (found, of, meant) in counted(0.15, run.seed).items():
        apart = abs(found / of - meant) / math.sqrt(meant * (1 - meant) / of)
        rows.append([names[name], f"{100 * meant:g} %", f"{100 * found / of:.2f} %", f"{apart:.1f} σ"])
    heads = [both("what", "项目"), both("meant", "应为"), both("counted", "实得"), both("apart", "相差")]
    run.table("rates", heads, rows, both(
        f"What becomes of {COUNTED:,} words. [MASK] never occurs where the network is used; the 10 % that stay and the "
        "10 % that are wrong teach it to look at every word, not at [MASK] alone.",
        f"{COUNTED:,} 个词的去向。实际使用时不会出现 [MASK]；10 % 不变、10 % 换错，网络才会去看每个词，而不是只看 "
        "[MASK]。"))  # fmt: skip


def pairs_of(corpus: Corpus, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Whether both sentences have the same theme, float (N,), and whether the second follows, int64 (N,)."""
    texts = Texts(corpus.held, 64, seed, 0.15, len(corpus.vocabulary), pairs=True)
    assert corpus.groups is not None
    theme = [max(corpus.groups[number] for number in sentence) for sentence in texts.sentences]
    rows = [row for batch in texts.epoch(0) for row in batch]
    return torch.tensor([float(theme[a] == theme[b]) for a, b, _ in rows]), torch.tensor([row[2] for row in rows])


def ceiling(same: torch.Tensor, follows: torch.Tensor) -> float:
    """The share of pairs that who knows all themes tells apart: says "follows" where they are the same."""
    return float(((same > 0).to(torch.int64) == follows).double().mean())


def judged_pairs(same: torch.Tensor, follows: torch.Tensor, ignored: int) -> tuple[float, float, float]:
    """A judge who is told whether the themes are the same, once trained: loss, share called "follows", share right."""
    torch.manual_seed(0)
    judge = nn.Linear(1, 2)
    optimizer = torch.optim.Adam(judge.parameters(), lr=0.1)
    for _ in range(200):
        loss = F.cross_entropy(judge(same[:, None]), follows, ignore_index=ignored)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    said = judge(same[:, None]).argmax(dim=1)
    return float(loss.detach()), float(said.double().mean()), float((said == follows).double().mean())


def sentence_pairs(run: Run, corpus: Corpus) -> float:
    """The ceiling of NSP on the scenes, and the mistake after which it stays at 50 %."""
    same, follows = pairs_of(corpus, run.seed)
    most = ceiling(same, follows)
    rows: list[list[Any]] = []
    for name, ignored in ((both("every label counts", "所有标签都计入"), -100),
                          (both("`ignore_index=0`", "`ignore_index=0`"), 0)):  # fmt: skip
        loss, said, right = judged_pairs(same, follows, ignored)
        rows.append([name, f"{loss:.3f}", f"{100 * said:.1f} %", f"{100 * right:.1f} %"])
    heads = [
        both("the loss", "损失的写法"),
        both("at the end", "最终损失"),
        both("says follows", "判为“接续”"),
        both("right", "正确率"),
    ]
    by_rule = 0.5 + 0.5 * (1 - 1 / len(scenes.NAMES))
    run.table("pairs", heads, rows, both(
        f"{len(follows):,} pairs of speeches, {100 * float(follows.double().mean()):.1f} % of which follow each other. "
        f"A random speech has the same theme once in {len(scenes.NAMES)}, and then nothing tells: at most "
        f"{100 * most:.1f} % can be right here ({100 * by_rule:.1f} % by the rule). Where label 0 is ignored, as if it "
        "were padding, the loss goes to 0 and the judge says yes to everything.",
        f"{len(follows):,} 对台词，其中 {100 * float(follows.double().mean()):.1f} % 前后相接。随机抽来的台词有 "
        f"1/{len(scenes.NAMES)} 的概率主题相同，那时无从分辨：这里最多对 {100 * most:.1f} %（按公式 "
        f"{100 * by_rule:.1f} %）。若把标签 0 当作填充忽略掉，损失趋于 0，判断者对一切都说“是”。"))  # fmt: skip
    return most


def pieces(run: Run) -> None:
    words = [word for word, count in TOLD.items() for _ in range(count)]
    learned = subwords.learn(words, MERGES)
    rows: list[list[Any]] = [[both("learned, in order", "依次学到"), ", ".join(" + ".join(pair) for pair in learned)]]
    rows += [[word, " ".join(subwords.split(word, learned))] for word in ("lowest", "newer", "wide", "snow")]
    run.table("subwords", [both("word", "词"), both("pieces", "子词")], rows, both(
        f"Byte-pair encoding, learned from {', '.join(f'{word} x {count}' for word, count in TOLD.items())}; "
        f"{subwords.END} ends a word. \"lowest\" was never seen, and is made of what was.",
        f"字节对编码（BPE），学自 {'、'.join(f'{word} × {count}' for word, count in TOLD.items())}；{subwords.END} 表示"
        "词尾。“lowest”从未出现过，却能由见过的部分拼出。"))  # fmt: skip
