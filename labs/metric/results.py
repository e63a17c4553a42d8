"""What the report of the lab metric shows: a batch, the table with the pixels, maps, neighbours and ROC curves."""

from __future__ import annotations

from typing import Any, NamedTuple, Sequence

import numpy as np
import torch

from labkit.base.language import both
from labkit.runs import plots
from labkit.runs.run import Run
from labs.metric import measures, mining
from labs.metric.data import Digits, Source, form_name
from labs.metric.distances import distances

RIGHT, WRONG, QUERY = (0, 114, 178), (213, 94, 0), (120, 120, 120)  # colours of frames
ALARMS = (0.1, 0.01, 0.001)
MAPPED = 1000  # images in a map
MINED = 24  # images of each digit in the batch whose triplets are counted
QUERIES, NEIGHBOURS = 8, 10


class Judged(NamedTuple):
    """An embedding of the images that judge, and what it is worth."""

    label: str
    x: torch.Tensor  # (N, D)
    retrieval: measures.Retrieval
    verification: measures.Verification


def judge(label: str, x: torch.Tensor, labels: torch.Tensor) -> Judged:
    """What the embeddings x (N, D) of images with these labels are worth."""
    return Judged(label, x, measures.retrieval(x, labels), measures.verification(*measures.all_pairs(x, labels)))


def of_pixels(digits: Digits, label: str = "") -> Judged:
    """The embedding that needs no network: the pixels themselves, (N, 784)."""
    return judge(label or both("plain pixels", "原始像素"), digits.pixels.flatten(1).float(), digits.labels)


def show_batch(run: Run, source: Source, forms: int) -> None:
    """The first batch, a class in each row."""
    pixels, places = source[0]
    names = [form_name(int(name), forms) for name in source.names[places[:: source.images]]]
    run.figure("batch", plots.gallery(pixels.numpy(), source.images, names), both(
        f"The first batch: P = {source.classes} classes with K = {source.images} images each. Each form of a digit is "
        "a class of its own. Each image is an anchor; the others in its row are its positives, all other rows its "
        "negatives.",
        f"第一个 batch：P = {source.classes} 类，每类 K = {source.images} 张。数字的每种形式自成一类。每张图轮流作锚"
        "点，同一行的其余图片是它的正样本，其他各行都是负样本。"))  # fmt: skip


HEADS = [
    both("embedding", "嵌入"), both("recall@1", "recall@1"), both("mAP@R", "mAP@R"), both("R-precision", "R-precision"),
    both("AUC", "AUC"), both("equal error", "等错误率"), both("mAP@R, seen digits", "mAP@R，见过的数字"),
    both("seconds of training", "训练秒数"),
]  # fmt: skip


def row(unseen: Judged, seen: Judged, seconds: float | None) -> list[Any]:
    found, curve = unseen.retrieval, unseen.verification
    return [unseen.label, f"{found.recall_at_1:.4f}", f"{found.map_at_r:.4f}", f"{found.r_precision:.4f}",
            f"{curve.auc:.4f}", f"{curve.equal_error:.4f}", f"{seen.retrieval.map_at_r:.4f}",
            "" if seconds is None else f"{seconds:.1f}"]  # fmt: skip


def show_result(run: Run, rows: Sequence[Sequence[Any]], digits: Digits) -> None:
    """The table, the pixels first."""
    run.table("result", HEADS, rows, both(
        f"Judged on {len(digits):,} test images of the digits {names_of(digits)}, which no network saw; each is a "
        "query among all others. Pixels and an untrained network are embeddings too: what is not better than they are "
        "has learned nothing of use here. The last column but one: the same measure on test images of the digits that "
        "were seen.",
        f"用数字 {names_of(digits)} 的 {len(digits):,} 张测试图评判，网络从未见过这些类别；每张图轮流作查询，在其余所有"
        "图中检索。像素和未训练的网络也是嵌入：不比它们好，就等于没学到有用的东西。倒数第二列是见过的数字在测试图上的"
        "同一指标。"))  # fmt: skip


def names_of(digits: Digits) -> str:
    return ", ".join(str(int(name)) for name in digits.labels.unique())


def show_halves(run: Run, rows: Sequence[dict[str, Any]]) -> None:
    """Each split beside its pixels, and the means; rows as `lab.compare` makes them."""
    heads = [both("loss", "损失"), both("seen", "见过"), both("judged on", "评判用"), both("recall@1", "recall@1"),
             both("of pixels", "像素的"), both("mAP@R", "mAP@R"),
             both("of pixels", "像素的"), both("gain", "提高")]  # fmt: skip
    table: list[list[Any]] = []
    for loss in dict.fromkeys(row["loss"] for row in rows):
        own = [row for row in rows if row["loss"] == loss]
        for row in own:
            table.append([loss, row["seen"], row["unseen"], *(f"{row[key]:.4f}" for key in
                          ("recall", "pixels_recall", "map", "pixels_map", "gain"))])  # fmt: skip
        means = [np.mean([row[key] for row in own]) for key in ("recall", "pixels_recall", "map", "pixels_map", "gain")]
        table.append([loss, both("mean", "均值"), "", *(f"{mean:.4f}" for mean in means)])
    run.table("halves", heads, table, both(
        "Which digits are seen decides much: splits are compared with the pixels of the same split only.",
        "见过哪些数字影响很大：每种划分只应与同一划分的像素相比。"))  # fmt: skip


def show_kinds(run: Run, judged: Sequence[Judged], labels: torch.Tensor, margin: float) -> None:
    """How many triplets of a batch of never seen digits still teach, by embedding."""
    some = torch.cat([(labels == name).nonzero(as_tuple=True)[0][:MINED] for name in labels.unique()])
    rows: list[list[Any]] = []
    for each in judged:
        shares = mining.kinds(distances(each.x[some]), labels[some], margin)
        rows.append([each.label, *(f"{shares[kind]:.1%}" for kind in ("hard", "semi-hard", "easy"))])
    heads = [HEADS[0], both("hard: the negative is nearer", "难：负样本更近"), both("semi-hard", "半难"),
             both(f"easy: farther by {margin:g}", f"易：远出 {margin:g}")]  # fmt: skip
    run.table("kinds", heads, rows, both(
        f"All triplets of {len(some)} images of the digits never seen. Where the most are easy, a mean over all would "
        "be near 0 and teach nothing; where half are hard, the embedding knows nothing, or has collapsed.",
        f"没见过的数字取 {len(some)} 张图，全部三元组的分布。多数为“易”时，对全部取平均就接近 0，学不到东西；一半为"
        "“难”则说明嵌入一无所知，或已经坍缩。"))  # fmt: skip


# ---- figures ----


def maps(x: np.ndarray, seed: int, tsne: bool) -> list[tuple[str, np.ndarray]]:
    """x (N, D) in two dimensions: by PCA, and by t-SNE where that is wanted and openTSNE installed."""
    flat, share = measures.principal(x)
    found = [(f"PCA ({share:.0%} of the variance)", flat)]
    if tsne:
        try:
            from openTSNE import TSNE
        except ImportError:
            return found
        found.append(("t-SNE", np.asarray(TSNE(random_state=seed, n_jobs=1, n_iter=400).fit(x))))
    return found


def show_maps(run: Run, judged: Sequence[Judged], labels: torch.Tensor, tsne: bool) -> None:
    """Where the images lie, by embedding (column) and kind of map (row)."""
    shown = np.random.RandomState(0).permutation(len(labels))[:MAPPED]
    drawn = [maps(each.x.numpy()[shown].astype(np.float64), run.seed, tsne) for each in judged]
    count = len(drawn[0])
    columns = min(len(judged), 4)
    rows = -(-len(judged) // columns) * count
    figure, axes = plots.figure(rows, columns, width=2.7 * columns, height=2.6)
    for axis in axes.flat:
        axis.axis("off")
    names = labels.numpy()[shown]
    for number, (each, found) in enumerate(zip(judged, drawn)):
        for kind, (title, flat) in enumerate(found):
            axis = axes[number // columns * count + kind, number % columns]
            for place, name in enumerate(np.unique(names)):
                axis.plot(*flat[names == name].T, ".", markersize=2, color=plots.COLOURS[place % len(plots.COLOURS)],
                          label=str(name))  # fmt: skip
            axis.axis("on")
            axis.grid(False)
            axis.set_xticks([])
            axis.set_yticks([])
            axis.set_title(f"{english(each.label)}\n{title}", fontsize=8)
    handles, texts = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, texts, loc="lower center", ncol=len(texts), fontsize=8, markerscale=5)
    figure.tight_layout(rect=(0, 0.3 / (2.6 * rows), 1, 1))
    run.figure("maps", figure, both(
        "Images of the digits never seen, each where its embedding lies, in two dimensions. PCA is a shadow: what is "
        "apart in it is apart. t-SNE keeps neighbours and nothing else: sizes of clouds and gaps between them say "
        "nothing.",
        "网络从未见过的数字，按嵌入的位置画在二维中。PCA 是投影：图上分得开，实际就分得开。t-SNE 只保留邻居关系：团的"
        "大小和团与团的间距没有意义。"))  # fmt: skip


def english(label: Any) -> str:
    """A label for a figure, whose texts are in English."""
    return plots.plain(str(getattr(label, "en", label)))


def framed(pixels: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """A grey image uint8 (H, W) in a frame of 3 pixels: (H + 6, W + 6, 3)."""
    made = np.empty((pixels.shape[0] + 6, pixels.shape[1] + 6, 3), np.uint8)
    made[:] = colour
    made[3:-3, 3:-3] = pixels[:, :, None]
    return made


def show_neighbours(run: Run, digits: Digits, pixels: Judged, learned: Judged) -> None:
    """The queries whose neighbours changed most: half of them for the better, half for the worse."""
    change = learned.retrieval.precisions - pixels.retrieval.precisions
    order = np.argsort(-change, kind="stable")
    half = min(QUERIES // 2, len(order) // 2)
    queries = [*order[:half], *order[-half:]]
    sheet, rows = [], []
    for query in queries:
        for each, name in ((pixels, "pixels"), (learned, english(learned.label))):
            sheet.append(framed(digits.pixels[query].numpy(), QUERY))
            near = each.retrieval.order[query][: min(NEIGHBOURS, each.retrieval.order.shape[1])]
            for other in near:
                same = bool(digits.labels[other] == digits.labels[query])
                sheet.append(framed(digits.pixels[other].numpy(), RIGHT if same else WRONG))
            rows.append(f"{name} {each.retrieval.precisions[query]:.2f}")
    count = len(sheet) // len(rows)
    tops = ["query", *(str(k) for k in range(1, count))]
    run.figure("neighbours", plots.gallery(np.stack(sheet), count, rows, tops), both(
        "Retrieval: a query (grey frame) and what is nearest to it, by pixels and by the learned embedding. Blue "
        "frames are of the query's class, orange ones are not; beside each row is its part of mAP@R. The upper half "
        "shows the queries that gained most by learning, the lower half those that lost most.",
        "检索：左边灰框是查询图，右边是离它最近的图，分别按像素和按学到的嵌入。蓝框与查询同类，橙框不是；行首的数是该"
        "查询对 mAP@R 的贡献。上半部分是因学习而改善最多的查询，下半部分是变差最多的。"))  # fmt: skip


def show_verification(run: Run, judged: Sequence[Judged], labels: torch.Tensor) -> None:
    """ROC curves of all embeddings, the distances of the last one, and what its thresholds do."""
    figure, axes = plots.figure(1, 2, width=9.6, height=3.8)
    left, right = axes[0]
    for number, each in enumerate(judged):
        style = "-" if number < len(plots.COLOURS) else "--"
        curve = each.verification
        thin = np.unique(np.searchsorted(curve.false_alarms, np.geomspace(1e-4, 1, 400)).clip(max=len(curve.found) - 1))
        left.plot(np.maximum(curve.false_alarms[thin], 1e-4), curve.found[thin], style, linewidth=1.4,
                  color=plots.COLOURS[number % len(plots.COLOURS)], label=english(each.label))  # fmt: skip
    left.set_xscale("log")
    left.set_xlabel("false alarms: share of pairs of two classes called one")
    left.set_ylabel("share of pairs of one class found")
    left.legend(fontsize=7)
    last = judged[-1]
    apart, same = measures.all_pairs(last.x, labels)
    bins = np.linspace(0, apart.max(), 80)
    right.hist(apart[same], bins, density=True, alpha=0.6, label="pairs of one class")
    right.hist(apart[~same], bins, density=True, alpha=0.6, label="pairs of two classes")
    _, threshold = measures.found_at(last.verification, ALARMS[1])
    right.axvline(threshold, color=plots.COLOURS[-1], linewidth=1, label=f"1 % false alarms: {threshold:.2f}")
    right.set_xlabel(f"distance, {english(last.label)}")
    right.set_ylabel("density")
    right.legend(fontsize=7)
    figure.tight_layout()
    run.figure("verification", figure, both(
        "Verification: are two images of one class? A threshold on the distance answers. Left: what each threshold "
        "finds, over its false alarms, of which few are wanted, so the axis is logarithmic. Right: the distances "
        "themselves.",
        "验证：两张图是否同类？由距离的阈值回答。左：各阈值找到的同类对的比例与误报率；实用中误报要少，所以横轴取对数。"
        "右：距离本身的分布。"))  # fmt: skip
    rows: list[list[Any]] = []
    for alarms in ALARMS:
        found = [measures.found_at(each.verification, alarms)[0] for each in (judged[0], last)]
        rows.append([f"{alarms:.1%}", f"{measures.found_at(last.verification, alarms)[1]:.3f}",
                     *(f"{share:.1%}" for share in found), f"{1 - (1 - alarms) ** 1000:.1%}"])  # fmt: skip
    heads = [both("false alarms", "误报率"), both("threshold", "阈值"), both("found by pixels", "像素找到的"),
             both("found by the network", "网络找到的"),
             both("a stranger looks like one of 1,000", "陌生人被当作 1,000 人之一")]  # fmt: skip
    run.table("verification", heads, rows, both(
        f"Of the pairs of one class, how many a threshold finds at so many false alarms ({last.label}). The last "
        "column: whoever is compared with a list of 1,000 has 1,000 chances of a false alarm, here taken as "
        "independent.",
        f"在给定误报率下，阈值能找到多少同类对（{last.label}）。最后一列：与 1,000 人的名单逐一比对，就有 1,000 次误报"
        "的机会（这里按相互独立计算）。"))  # fmt: skip
