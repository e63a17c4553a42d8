"""What the parts by hand are held against: torch.nn, and each other. In float64, the fused attention in float32."""

from __future__ import annotations

import math
import warnings
from typing import Any, Iterator, Sequence

import torch
from torch import nn

from labkit.base.language import both
from labkit.runs.claims import Claim, apart
from labs.transformer import attention, positions
from labs.transformer.attention import MultiHeadAttention, attend, past, words_of
from labs.transformer.config import SCHEMES, Sizes
from labs.transformer.networks import GRUReader, Layer, LeftToRight, Stack, Translator

N, T, S, D, H = 3, 7, 5, 12, 3
WORDS = 11
SIZES = Sizes(1, 1, D, 2, H, 0.1)


def inputs(length: int = T, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    random = torch.Generator().manual_seed(length)
    return torch.randn(N, length, D, dtype=dtype, generator=random, requires_grad=True)


def words(length: int = T) -> torch.Tensor:
    return torch.randint(WORDS, (N, length), generator=torch.Generator().manual_seed(length))


def outcome(made: torch.Tensor, weights: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """A result, and the gradients of a sum that weighs all of its numbers differently."""
    weight = torch.arange(1, made.numel() + 1, dtype=made.dtype).reshape(made.shape).cos()
    return [made, *torch.autograd.grad((made * weight).sum(), weights)]


def added(allowed: torch.Tensor) -> torch.Tensor:
    """A mask as torch.nn adds it to the scores: 0 and -inf. PyTorch 1.5.0 adds a bool one as 0 and 1."""
    return torch.zeros(allowed.shape, dtype=torch.float64).masked_fill(~allowed, -math.inf)


def of_heads(ours: MultiHeadAttention, theirs: Any) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    yield ours.into.weight, theirs.in_proj_weight
    yield ours.into.bias, theirs.in_proj_bias
    yield ours.out.weight, theirs.out_proj.weight
    yield ours.out.bias, theirs.out_proj.bias


def of_layer(ours: Any, theirs: Any) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """The weights of a layer beside those of torch's encoder or decoder layer."""
    yield from of_heads(ours.attention, theirs.self_attn)
    if ours.source is not None:
        yield from of_heads(ours.source, theirs.multihead_attn)
    norms = [getattr(theirs, f"norm{k + 1}") for k in range(len(ours.norms))]
    for one, other in ((ours.wide, theirs.linear1), (ours.narrow, theirs.linear2), *zip(ours.norms, norms)):
        yield one.weight, other.weight
        yield one.bias, other.bias


def tied(pairs: Iterator[tuple[torch.Tensor, torch.Tensor]]) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Drawn numbers into both of each pair: torch begins many with 0 or 1, which would hide a mistake."""
    ours, theirs = [], []
    with torch.no_grad():
        for one, other in pairs:
            one.normal_(0, 0.5)
            other.copy_(one)
            ours.append(one)
            theirs.append(other)
    return ours, theirs


def across(x: torch.Tensor) -> torch.Tensor:
    """(N, T, D) and (T, N, D), the one form that 1.5.0 takes."""
    return x.transpose(0, 1)


def exact(network: Any) -> Any:
    """In float64, with the three lines."""
    for part in network.modules():
        if isinstance(part, MultiHeadAttention):
            part.attend = attend
    return network.double().eval()


def heads() -> float:
    """Attention to itself, where no word sees a later one, and to a source."""
    torch.manual_seed(1)
    worst = 0.0
    for of_source in (False, True):
        theirs, ours = nn.MultiheadAttention(D, H).double(), exact(MultiHeadAttention(D, H))
        own, other = tied(of_heads(ours, theirs))
        x, source = inputs(), inputs(S)
        if of_source:
            made = ours(x, source)
            wanted = theirs(across(x), across(source), across(source), need_weights=False)[0]
        else:
            made = ours(x, mask=past(T))
            wanted = theirs(across(x), across(x), across(x), need_weights=False, attn_mask=added(past(T)))[0]
        worst = max(worst, apart(outcome(made, [x, *own]), outcome(across(wanted), [x, *other])))
    return worst


def encoder_layer(norm: str = "post") -> float:
    torch.manual_seed(2)
    more = {"norm_first": True} if norm == "pre" else {}
    theirs: Any = nn.TransformerEncoderLayer(D, H, 4 * D, dropout=0.0, **more).double()
    ours, x = exact(Layer(D, H, norm)), inputs()
    own, other = tied(of_layer(ours, theirs))
    return apart(outcome(ours(x), [x, *own]), outcome(across(theirs(across(x))), [x, *other]))


def decoder_layer(norm: str = "post") -> float:
    torch.manual_seed(3)
    more = {"norm_first": True} if norm == "pre" else {}
    theirs: Any = nn.TransformerDecoderLayer(D, H, 4 * D, dropout=0.0, **more).double()
    ours, x, source = exact(Layer(D, H, norm, source=True)), inputs(), inputs(S)
    own, other = tied(of_layer(ours, theirs))
    wanted = across(theirs(across(x), across(source), added(past(T))))
    return apart(outcome(ours(x, past(T), source), [x, source, *own]), outcome(wanted, [x, source, *other]))


def whole() -> float:
    """Two layers of the encoder and two of the decoder, and the two last norms, against nn.Transformer."""
    torch.manual_seed(4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it takes (T, N, D), as 1.5.0's does
        theirs: Any = nn.Transformer(D, H, 2, 2, 4 * D, dropout=0.0).double()
    encoder = exact(Stack(2, False, D, H, norm="post"))
    decoder = exact(Stack(2, False, D, H, norm="post", source=True))
    pairs = []
    for ours, other in ((encoder, theirs.encoder), (decoder, theirs.decoder)):
        for one, two in zip(ours.layers, other.layers):
            pairs += list(of_layer(one, two))
        pairs += [(ours.norm.weight, other.norm.weight), (ours.norm.bias, other.norm.bias)]
    own, others = tied(iter(pairs))
    source, x = inputs(S), inputs()
    made = decoder(x, mask=past(T), source=encoder(source))
    wanted = across(theirs(across(source), across(x), tgt_mask=added(past(T))))
    return apart(outcome(made, [source, x, *own]), outcome(wanted, [source, x, *others]))


def fused() -> float:
    """With no mask, a bool one and one that is added."""
    assert attention.FUSED is not None
    q, k, v = (inputs(dtype=torch.float32).detach().roll(turn, 0) for turn in range(3))
    masks = [None, past(T), added(past(T)).float()]
    fast = [attention.FUSED(q, k, v, attn_mask=mask) for mask in masks]
    return apart([attend(q, k, v, mask) for mask in masks], fast)


def opposite() -> float:
    """The same bool mask means the opposite in nn.MultiheadAttention: True hides there."""
    torch.manual_seed(5)
    theirs, ours, x = nn.MultiheadAttention(D, H).double(), exact(MultiHeadAttention(D, H)), inputs()
    tied(of_heads(ours, theirs))
    hides = theirs(across(x), across(x), across(x), need_weights=False, attn_mask=~past(T))[0]
    return apart([ours(x, mask=past(T))], [across(hides)])


def padding() -> float:
    """A padded batch, in which no word sees padding, against its sequences one by one, and nn's key_padding_mask."""
    torch.manual_seed(6)
    theirs, ours, x = nn.MultiheadAttention(D, H).double(), exact(MultiHeadAttention(D, H)), inputs()
    tied(of_heads(ours, theirs))
    lengths = torch.tensor([T, 4, 2])
    allowed = words_of(lengths, T)
    made = ours(x, mask=allowed)
    wanted = theirs(across(x), across(x), across(x), need_weights=False, key_padding_mask=~allowed[:, 0, 0])[0]
    alone = [ours(x[k : k + 1, :n])[0] for k, n in enumerate(lengths.tolist())]
    return max(apart([made[k, :n] for k, n in enumerate(lengths.tolist())], alone), apart([made], [across(wanted)]))


def as_rotation() -> float:
    """PE(p + k) against R(k) PE(p), for many p and k."""
    places = torch.arange(40)
    here = positions.sinusoidal(places, D)
    return max(apart([positions.sinusoidal(places + k, D)], [here @ positions.rotation(k, D).t()]) for k in (1, 3, 17))


def rotary() -> float:
    """Scores of turned queries and keys against the same 100 places further."""
    q, k = inputs().detach()[:, None], inputs().detach().roll(1, 0)[:, None]
    scores = []
    for first in (0, 100):
        turn = positions.angles(torch.arange(first, first + T), D, torch.float64)
        scores.append(positions.turned(q, turn) @ positions.turned(k, turn).transpose(2, 3))
    return apart(scores[:1], scores[1:])


def readers() -> dict[str, Any]:
    """Small networks that read left to right, one of each scheme, and one of each recipe."""
    torch.manual_seed(7)
    found = {scheme: GRUReader(WORDS, 4) if scheme == "gru" else LeftToRight(WORDS, SIZES, scheme)
             for scheme in SCHEMES}  # fmt: skip
    found["modern"] = LeftToRight(WORDS, SIZES._replace(heads=2), "rotary", recipe="modern")
    found["shared"] = LeftToRight(WORDS, SIZES, "sinusoidal", shared=True)
    found = {name: exact(network) for name, network in found.items()}
    with torch.no_grad():
        for network in found.values():
            for weight in network.parameters():  # some begin at 0, where a mistake would not show
                weight.add_(0.3 * torch.randn_like(weight))
    return found


def translator(shared: bool = False) -> Translator:
    torch.manual_seed(8)
    made: Translator = exact(Translator(WORDS, WORDS, SIZES, shared=shared))
    return made


def future() -> float:
    """How far what is said at the first places moves when a later word is changed: not at all, to the bit."""
    given = words()
    changed = given.clone()
    changed[:, 4] = (given[:, 4] + 1) % WORDS
    made = translator()
    memory = made.encode(words(S))
    pairs = [(network(given), network(changed)) for network in readers().values()]
    pairs.append((made.decode(given, memory), made.decode(changed, memory)))
    if any(torch.equal(before[:, 4:], after[:, 4:]) for before, after in pairs):
        return 1.0
    return max(apart([before[:, :4]], [after[:, :4]]) for before, after in pairs)


def kept() -> float:
    """Logits word by word with what is kept, in pieces of 3, 1, 1, ..., against all at once."""
    given, made = words(), translator()
    cuts = [(0, 3), *((k, k + 1) for k in range(3, T))]
    worst = 0.0
    for network in readers().values():
        cache = network.empty()
        pieces = [network(given[:, a:b], cache=cache) for a, b in cuts]
        worst = max(worst, apart([torch.cat(pieces, dim=1)], [network(given)]))
    memory, cache = made.encode(words(S)), made.decoder.empty()
    pieces = [made.decode(given[:, a:b], memory, cache) for a, b in cuts]
    return max(worst, apart([torch.cat(pieces, dim=1)], [made(words(S), given)]))


def universal() -> float:
    """One shared layer against as many layers with its weights; its gradient is the sum of theirs."""
    torch.manual_seed(9)
    one, many, x = exact(Stack(3, True, D, H)), exact(Stack(3, False, D, H)), inputs()
    for layer in many.layers:
        layer.load_state_dict(one.layers[0].state_dict())
    own = list(one.layers[0].parameters())
    others = [list(layer.parameters()) for layer in many.layers]
    made, *gradients = outcome(one(x, mask=past(T)), own)
    wanted, *flat = outcome(many(x, mask=past(T)), [weight for layer in others for weight in layer])
    summed = [sum(flat[k :: len(own)], torch.zeros_like(flat[k])) for k in range(len(own))]
    return apart([made, *gradients], [wanted, *summed])


CLAIMS = (
    Claim("heads", both("several heads by hand = `nn.MultiheadAttention`, to itself and to a source, with gradients",
                        "手写多头注意力 = `nn.MultiheadAttention`（自注意力与对原文的注意力，连同梯度）"), heads),
    Claim("encoder layer", both("a layer by hand = `nn.TransformerEncoderLayer`, with gradients",
                                "手写编码器层 = `nn.TransformerEncoderLayer`，连同梯度"), encoder_layer),
    Claim("decoder layer", both("with a source = `nn.TransformerDecoderLayer`, with gradients",
                                "手写解码器层 = `nn.TransformerDecoderLayer`，连同梯度"), decoder_layer),
    Claim("whole", both("encoder and decoder = `nn.Transformer`, with gradients",
                        "编码器加解码器 = `nn.Transformer`，连同梯度"), whole),
    *((
        Claim("encoder layer, pre-norm", both("pre-norm = `nn.TransformerEncoderLayer(norm_first=True)`",
                                              "pre-norm = `nn.TransformerEncoderLayer(norm_first=True)`"),
              lambda: encoder_layer("pre")),
        Claim("decoder layer, pre-norm", both("pre-norm = `nn.TransformerDecoderLayer(norm_first=True)`",
                                              "pre-norm = `nn.TransformerDecoderLayer(norm_first=True)`"),
              lambda: decoder_layer("pre")),
        Claim("fused", both("three lines = `F.scaled_dot_product_attention`, in float32",
                            "三行 = `F.scaled_dot_product_attention`（float32）"), fused, 1e-6),
        Claim("opposite", both("our bool mask = the opposite one in `nn.MultiheadAttention`, where True hides",
                               "我们的布尔掩码 = `nn.MultiheadAttention` 中取反的掩码（True 表示遮住）"), opposite),
    ) if attention.FUSED is not None else ()),
    Claim("padding", both("a padded batch = its sequences alone = `key_padding_mask`",
                          "填充后的 batch = 各序列单独计算 = `key_padding_mask`"), padding),
    Claim("rotation", both("sin and cos k places further = a rotation by k: PE(p + k) = R(k) PE(p)",
                           "向后 k 个位置的正弦余弦编码 = 旋转：PE(p + k) = R(k) PE(p)"), as_rotation),
    Claim("rotary", both("scores of turned queries and keys = the same 100 places further",
                         "旋转后的 q 与 k 的得分 = 同时后移 100 位的得分"), rotary),
    Claim("future", both("a change of a later word moves no earlier output by a bit, in every network",
                         "改动后面的词，前面的输出一位也不变（每种网络）"), future, 0.0),
    Claim("kept", both("word by word with what is kept (KV cache) = all at once, in every network",
                       "用 KV 缓存逐词计算 = 一次算完（每种网络）"), kept),
    Claim("universal", both("one layer three times = three layers with the same weights, gradients added up",
                            "一层用三次 = 三层共用权重，梯度相加"), universal),
)  # fmt: skip
