"""What the parts by hand are held against: torch.nn, and each other. In float64, the fused attention in float32."""

from __future__ import annotations

import math
import warnings
from typing import Any, Sequence

import torch
from torch import nn
from torch.nn import functional as F

from labkit.base.language import both
from labkit.runs.claims import Claim, apart
from labs.bert import attention
from labs.bert.attention import Layer, LayerNorm, MultiHeadAttention
from labs.bert.masking import Batch
from labs.bert.network import Bert, Encoder
from labs.bert.pretraining import losses
from labs.bert.words import FIRST

N, T, D, H = 3, 7, 12, 3
WORDS = 20


def inputs(dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(N, T, D, dtype=dtype, generator=torch.Generator().manual_seed(0), requires_grad=True)


def outcome(made: torch.Tensor, x: torch.Tensor, weights: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """A result, and the gradients of a sum that weighs all of its numbers differently."""
    weight = torch.arange(1, made.numel() + 1, dtype=made.dtype).reshape(made.shape).cos()
    return [made, *torch.autograd.grad((made * weight).sum(), [x, *weights])]


def copied(ours: Layer, theirs: Any) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Give a layer the weights of a TransformerEncoderLayer; the pairs of weights."""
    pairs = [(ours.attention.into.weight, theirs.self_attn.in_proj_weight),
             (ours.attention.into.bias, theirs.self_attn.in_proj_bias),
             (ours.attention.out.weight, theirs.self_attn.out_proj.weight),
             (ours.attention.out.bias, theirs.self_attn.out_proj.bias)]  # fmt: skip
    for one, other in ((ours.norm1, theirs.norm1), (ours.wide, theirs.linear1), (ours.narrow, theirs.linear2),
                       (ours.norm2, theirs.norm2)):  # fmt: skip
        pairs += [(one.weight, other.weight), (one.bias, other.bias)]
    with torch.no_grad():
        for weight, wanted in pairs:
            weight.copy_(wanted)
    return pairs


def heads() -> float:
    torch.manual_seed(1)
    theirs, ours, x = nn.MultiheadAttention(D, H).double(), MultiHeadAttention(D, H).double(), inputs()
    ours.attend = attention.attend
    with torch.no_grad():
        theirs.in_proj_bias.normal_()  # torch begins with zeros, which would hide a mistake
        ours.into.weight.copy_(theirs.in_proj_weight)
        ours.into.bias.copy_(theirs.in_proj_bias)
        ours.out.weight.copy_(theirs.out_proj.weight)
        ours.out.bias.copy_(theirs.out_proj.bias)
    across = x.transpose(0, 1)  # (T, N, D), the one form that 1.5.0 takes
    wanted = theirs(across, across, across, need_weights=False)[0].transpose(0, 1)
    own = [ours.into.weight, ours.into.bias, ours.out.weight, ours.out.bias]
    other = [theirs.in_proj_weight, theirs.in_proj_bias, theirs.out_proj.weight, theirs.out_proj.bias]
    return apart(outcome(ours(x), x, own), outcome(wanted, x, other))


def layer() -> float:
    torch.manual_seed(2)
    theirs = nn.TransformerEncoderLayer(D, H, 4 * D, dropout=0.0, activation="gelu").double()
    ours, x = Layer(D, H).double(), inputs()
    ours.attention.attend = attention.attend
    pairs = copied(ours, theirs)
    wanted = theirs(x.transpose(0, 1)).transpose(0, 1)
    return apart(outcome(ours(x), x, [one for one, _ in pairs]), outcome(wanted, x, [other for _, other in pairs]))


def layers() -> float:
    """Two layers in which each word sees those before it, against nn.TransformerEncoder.

    Its mask is added to the scores. A bool one hides where it is True, and PyTorch 1.5.0 adds it as 0 and 1 all the
    same, which hides nothing.
    """
    torch.manual_seed(3)
    one = nn.TransformerEncoderLayer(D, H, 4 * D, dropout=0.0, activation="gelu")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the layer takes (T, N, D), as 1.5.0's does
        theirs: Any = nn.TransformerEncoder(one, 2).double()
    ours, x = Encoder(WORDS, D, 2, H, left_to_right=True).double(), inputs()
    for made, wanted in zip(ours.layers, theirs.layers):
        copied(made, wanted)
        made.attention.attend = attention.attend
    allowed = torch.ones(T, T, dtype=torch.bool).tril()
    added = torch.zeros(T, T, dtype=torch.float64).masked_fill(~allowed, -math.inf)
    found = x
    for made in ours.layers:
        found = made(found, allowed)
    return apart([found], [theirs(x.transpose(0, 1), added).transpose(0, 1)])


def norm() -> float:
    torch.manual_seed(4)
    ours, theirs, x = LayerNorm(D).double(), nn.LayerNorm(D).double(), inputs()
    with torch.no_grad():
        for one, other in zip(ours.parameters(), theirs.parameters()):
            one.copy_(other.normal_())
    return apart(outcome(ours(x), x, list(ours.parameters())), outcome(theirs(x), x, list(theirs.parameters())))


def gelu() -> float:
    x = inputs()
    return apart(outcome(attention.gelu(x), x, []), outcome(F.gelu(x), x, []))


def fused() -> float:
    """The fused attention against the three lines, with a mask and without; nothing to compare on 1.5.0."""
    q, k, v = (inputs(torch.float32).detach().roll(turn, 0) for turn in range(3))
    allowed = torch.ones(T, T, dtype=torch.bool).tril()
    ways = [[way(q, k, v), way(q, k, v, allowed)] for way in (attention.attend, attention.attend_fast)]
    return apart(*ways)


def small(left_to_right: bool = False) -> Bert:
    torch.manual_seed(5)
    return Bert(WORDS, D, 2, H, left_to_right).double().eval()


def words() -> torch.Tensor:
    return torch.randint(FIRST, WORDS, (N, T), generator=torch.Generator().manual_seed(1))


def future() -> float:
    """How far the vectors of the first words move when a later one is changed, read from left to right: not at all."""
    made, given = small(True).encoder, words()
    changed = given.clone()
    changed[:, 4] = FIRST + (given[:, 4] - FIRST + 1) % (WORDS - FIRST)
    before, after = made(given), made(changed)
    if torch.equal(before[:, 4:], after[:, 4:]):
        return 1.0
    return apart([before[:, :4]], [after[:, :4]])


def at_places() -> float:
    """The loss over logits of the hidden words alone, against all logits with ignore_index; values and gradients."""
    made, given = small(), words()
    places = torch.tensor([1, 4, 9, 20])
    batch = Batch(given, torch.zeros_like(given), places, given.flatten()[places], torch.zeros(N, dtype=torch.int64))
    targets = torch.full((N * T,), -1, dtype=torch.int64)
    targets[places] = batch.hidden
    everywhere = F.cross_entropy(made.guesses(made.encoder(given)).flatten(0, 1), targets, ignore_index=-1)
    table = made.encoder.words.weight
    one, other = losses(made, batch, False)["mlm"], everywhere
    return apart([one, *torch.autograd.grad(one, [table])], [other, *torch.autograd.grad(other, [table])])


def padded() -> float:
    """A batch of one length against the same texts padded to a longer one and masked."""
    made, given = small().encoder, words()
    longer = torch.cat([given, torch.zeros(N, 4, dtype=torch.int64)], dim=1)
    allowed = (torch.arange(T + 4) < T).expand(N, 1, 1, T + 4)
    return apart([made(given)], [made(longer, allowed=allowed)[:, :T]])


CLAIMS = (
    Claim("heads", both("several heads by hand = `nn.MultiheadAttention`, values and gradients",
                        "手写多头注意力 = `nn.MultiheadAttention`，值与梯度"), heads),
    Claim("layer", both("a layer by hand = `nn.TransformerEncoderLayer`, values and gradients",
                        "手写一层 = `nn.TransformerEncoderLayer`，值与梯度"), layer),
    Claim("layers", both("two layers from left to right = `nn.TransformerEncoder` with a mask that is added",
                         "两层、从左到右 = `nn.TransformerEncoder` 加到分数上的掩码"), layers),
    Claim("norm", both("LayerNorm by hand = `nn.LayerNorm`, values and gradients",
                       "手写 LayerNorm = `nn.LayerNorm`，值与梯度"), norm),
    Claim("gelu", both("GELU with erf = `F.gelu`, values and gradients",
                       "用 erf 写的 GELU = `F.gelu`，值与梯度"), gelu),
    Claim("fused", both("three lines = `F.scaled_dot_product_attention` in float32, where PyTorch has it",
                        "三行 = `F.scaled_dot_product_attention`（float32，若 PyTorch 有）"), fused, 1e-6),
    Claim("future", both("from left to right, a change of a later word moves no earlier vector by a bit",
                         "从左到右时，改动后面的词，前面的向量一位也不变"), future, 0.0),
    Claim("places", both("loss at the hidden words = loss everywhere with `ignore_index`, with gradient",
                         "只在被遮处算的损失 = 处处算再用 `ignore_index`，连同梯度"), at_places),
    Claim("padded", both("texts of one length = the same padded and masked",
                         "等长批 = 填充后再用掩码"), padded),
)  # fmt: skip
