"""What lies between an image and its masks in a model of two stages: anchors, proposals, suppression, boxes, masks.

Source: Ren et al., Faster R-CNN (2015), sections 3.1 and 3.2; He et al., Mask R-CNN (2017).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from detectron2.modeling import GeneralizedRCNN
from matplotlib.patches import Rectangle
from torch import nn

from labkit.base.language import both
from labkit.runs import plots
from labkit.runs.run import Run
from labs.detectron2 import drawing

SHOWN = 40  # boxes in a picture; more hide each other


class Stages(NamedTuple):
    """Boxes are (x0, y0, x1, y1) in pixels of the resized image, the best first."""

    image: np.ndarray  # uint8 (h, w, 3) RGB, as the model sees it
    anchors: list[torch.Tensor]  # of each level of the pyramid, (A, 4)
    proposals: torch.Tensor  # (P, 4): the best anchors of every level, moved by what the RPN says
    objectness: torch.Tensor  # (P,) from 0 to 1
    levels: torch.Tensor  # (P,) the level of each
    kept: list[int]  # which of them suppression leaves
    found: Any  # detectron2's Instances, the second stage's answer


def iou(box: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    """Intersection over union of one box (4) with each of `others` (N, 4), as (N)."""
    low, high = torch.max(box[:2], others[:, :2]), torch.min(box[2:], others[:, 2:])
    shared = (high - low).clamp(min=0).prod(dim=1)
    return shared / ((box[2:] - box[:2]).prod() + (others[:, 2:] - others[:, :2]).prod(dim=1) - shared)


def suppress(boxes: torch.Tensor, levels: torch.Tensor, limit: float) -> list[int]:
    """Non-maximum suppression: the best box stays, what overlaps it by more than `limit` goes, and again.

    `boxes` (N, 4) come with the best first; boxes of different `levels` (N) leave each other alone.
    """
    kept: list[int] = []
    left = torch.arange(len(boxes))
    while len(left):
        best, others = left[0], left[1:]
        kept.append(int(best))
        rivals = (iou(boxes[best], boxes[others]) > limit) & (levels[others] == levels[best])
        left = others[~rivals]
    return kept


@torch.no_grad()
def stages(cfg: Any, model: nn.Module, image: np.ndarray) -> Stages:
    """Run the model on an image, uint8 (H, W, 3) BGR, and keep what each stage gave."""
    resized = drawing.resized(cfg, image)
    batch = model.preprocess_image([{"image": resized}])
    features = model.backbone(batch.tensor)
    rpn = model.proposal_generator
    maps = [features[name] for name in rpn.in_features]
    anchors = [level.tensor for level in rpn.anchor_generator(maps)]
    logits, deltas = rpn.rpn_head(maps)  # for each level (1, anchors of a place, h, w) and (1, 4 times that, h, w)
    boxes, scores, levels = [], [], []
    for level, (base, logit, delta) in enumerate(zip(anchors, logits, deltas)):
        logit = logit[0].permute(1, 2, 0).reshape(-1)  # (A,)
        delta = delta[0].reshape(-1, 4, *delta.shape[2:]).permute(2, 3, 0, 1).reshape(-1, 4)  # (A, 4)
        best = logit.topk(min(len(logit), rpn.pre_nms_topk[False]))[1]
        boxes.append(rpn.box2box_transform.apply_deltas(delta[best], base[best]))
        scores.append(logit[best])
        levels.append(torch.full_like(best, level))
    order = torch.cat(scores).argsort(descending=True)
    height, width = resized.shape[1:]
    limits = boxes[0].new_tensor([width, height, width, height])
    every = torch.min(torch.cat(boxes)[order].clamp(min=0), limits)  # what sticks out of the image is cut
    level = torch.cat(levels)[order]
    kept = suppress(every.cpu(), level.cpu(), rpn.nms_thresh)[: rpn.post_nms_topk[False]]
    found = model.roi_heads(batch, features, rpn(batch, features, None)[0], None)[0][0].to("cpu")
    seen = np.ascontiguousarray(resized.numpy().transpose(1, 2, 0)[:, :, ::-1]).astype(np.uint8)
    return Stages(seen, anchors, every.cpu(), torch.cat(scores)[order].sigmoid().cpu(), level.cpu(), kept, found)


def show(run: Run, cfg: Any, model: nn.Module, path: str, threshold: float) -> None:
    """Draw the stages for one image into the report, and count the boxes; nothing for a model of another kind."""
    rpn: Any = getattr(model, "proposal_generator", None)
    if not isinstance(model, GeneralizedRCNN) or not hasattr(rpn, "rpn_head") or rpn.anchor_generator.box_dim != 4:
        return
    model.eval()
    seen = stages(cfg, model, drawing.read(path))
    sure = seen.found.scores >= threshold
    height, width = seen.image.shape[:2]
    centre = torch.tensor([width, height, width, height]) / 2
    middle = [level[(level.cpu() - centre).abs().sum(dim=1).argmin()].cpu() for level in seen.anchors]
    answers = list(zip(seen.found.pred_boxes.tensor[sure], seen.found.scores[sure]))
    panels = (
        ("an anchor of each level", [(box, 1.0) for box in middle]),
        (f"the best {SHOWN} proposals", list(zip(seen.proposals, seen.objectness))[:SHOWN]),
        ("what suppression leaves", [(seen.proposals[k], seen.objectness[k]) for k in seen.kept if k < SHOWN]),
        (f"found, score {threshold} or more", answers),
    )
    figure, axes = plots.figure(1, len(panels), width=3.4 * len(panels), height=3.6)
    for axis, (title, boxes) in zip(axes.flat, panels):
        axis.imshow(seen.image)
        axis.axis("off")
        axis.set_title(title, fontsize=9, fontweight="normal", loc="center")
        for (x0, y0, x1, y1), score in boxes:
            axis.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, edgecolor="red", lw=1,
                                     alpha=max(0.15, float(score))))  # fmt: skip
    figure.tight_layout()
    run.figure("inside", figure, both(
        "From anchors to objects in one image. Anchors are boxes at every place of every level; the RPN scores and "
        "moves them; suppression leaves one of those that overlap; the second stage names what is left and moves it "
        "again.",
        "一张图里，从锚框到物体。锚框铺满每一级特征图的每个位置；RPN 给它们打分并移动；非极大值抑制从重叠的框里"
        "只留下一个；第二阶段给留下的框定类别，再移动一次。"))  # fmt: skip
    rows = [
        [both("anchors", "锚框"), sum(map(len, seen.anchors))],
        [both("proposals before suppression", "抑制之前的候选框"), len(seen.proposals)],
        [both("proposals after it, as many as are looked at", "抑制之后留下来再看的候选框"), len(seen.kept)],
        [both(f"found with a score of {threshold} or more", f"得分不低于 {threshold} 的结果"), int(sure.sum())],
    ]
    run.table("inside", [both("stage", "阶段"), both("boxes", "框数")], rows,
              both("How many boxes each stage leaves in that image.", "这张图里每个阶段留下多少个框。"))  # fmt: skip
