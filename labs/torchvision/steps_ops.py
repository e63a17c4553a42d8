"""Steps of torchvision.ops, each beside plain loops (loops.py)."""

from __future__ import annotations

from labkit.base.language import both
from labkit.runs.steps import Group, step

BOXES = ("corners = torch.rand(12, 2) * 20\nboxes = torch.cat([corners, corners + 1 + torch.rand(12, 2) * 15], dim=1)\n"
         "scores = torch.rand(12)\n")  # fmt: skip
FEATURES = ("features = torch.rand(2, 3, 8, 10)\n"
            "regions = torch.tensor([[0, 2.0, 3.0, 30.0, 25.0], [1, 5.0, 1.0, 22.0, 31.0]])\n")  # fmt: skip

OPS = Group("41", both("ops: boxes and regions, beside loops", "ops：框与区域，与循环写法对照"), (
    step("box-area", both("Boxes are x1, y1, x2, y2 (N x 4).", "框的格式是 x1, y1, x2, y2（N x 4）。"),
         BOXES + "ops.boxes.box_area(boxes)", "loops.box_area(boxes)"),
    step("box-iou", both("Intersection over union of each with each (N x M).", "两两求交并比（N x M）。"),
         BOXES + "ops.box_iou(boxes[:5], boxes[5:])", "loops.box_iou(boxes[:5], boxes[5:])"),
    step("iou-itself", both("A box with itself has 1, with a distant one 0.", "框与自己为 1，与远处的框为 0。"),
         "one = torch.tensor([[0.0, 0, 2, 2], [5, 5, 6, 6]])\nops.box_iou(one, one)", "np.eye(2)"),
    step("nms", both("Non-maximum suppression: the best stays, what overlaps it goes.",
                     "非极大值抑制：留下最好的，去掉与它重叠的。"),
         BOXES + "ops.nms(boxes, scores, 0.3)", "loops.nms(boxes, scores, 0.3)"),
    step("nms-threshold", both("A threshold of 1 removes nothing; the order is that of the scores.",
                               "阈值为 1 时什么也不去掉；顺序按得分。"),
         BOXES + "ops.nms(boxes, scores, 1.0)", "np.argsort(-scores.numpy())"),
    step("batched-nms", both("By class: an apple never removes a pear.", "按类别进行：苹果不会抑制梨。"),
         BOXES + "classes = torch.arange(12) % 3\nops.boxes.batched_nms(boxes, scores, classes, 0.3)",
         "loops.batched_nms(boxes, scores, classes, 0.3)"),
    step("clip", both("No box reaches out of the image (height, width).", "框不超出图像（高、宽）。"),
         BOXES + "ops.boxes.clip_boxes_to_image(boxes - 8, (12, 16))", "loops.clip_boxes_to_image(boxes - 8, 12, 16)"),
    step("small", both("Boxes with a side that is too short go.", "去掉边太短的框。"),
         BOXES + "ops.boxes.remove_small_boxes(boxes, 6.0)", "loops.remove_small_boxes(boxes, 6.0)"),
    step("roi-align", both("RoIAlign: points between the pixels, none rounded (Mask R-CNN).",
                           "RoIAlign：在像素之间取点，不取整（Mask R-CNN）。"),
         FEATURES + "ops.roi_align(features, regions, (2, 2), spatial_scale=0.25, sampling_ratio=2)",
         "loops.roi_align(features, regions, 2, 0.25, 2)"),
    step("roi-pool", both("RoIPool rounds the region and its cells (Fast R-CNN).",
                          "RoIPool 把区域和格子都取整（Fast R-CNN）。"),
         FEATURES + "ops.roi_pool(features, regions, (2, 2), spatial_scale=0.25)",
         "loops.roi_pool(features, regions, 2, 0.25)"),
    step("roi-of-a-ramp", both("On a ramp RoIAlign gives the middle of each cell exactly.",
                               "在斜坡上，RoIAlign 精确给出每格的中心值。"),
         "ramp = torch.arange(10.0).expand(1, 1, 8, 10)\n"
         "ops.roi_align(ramp, torch.tensor([[0, 1.5, 2.0, 5.5, 6.0]]), (1, 2), sampling_ratio=2)",
         "[[[[1.5 + 1, 1.5 + 3]]]]"),
    step("roi-list", both("The regions may be a list of boxes, one for each image.", "区域也可以按图像给成框的列表。"),
         FEATURES + "ops.roi_align(features, [regions[:1, 1:], regions[1:, 1:]], 2, 0.25, 2)",
         "ops.roi_align(features, regions, 2, 0.25, 2)"),
    step("deform-zero", both("A deformable convolution whose offsets are 0 is a convolution.",
                             "偏移全为 0 的可变形卷积就是普通卷积。"),
         "x, w = torch.rand(1, 2, 6, 7), torch.rand(4, 2, 3, 3)\n"
         "ops.deform_conv2d(x, torch.zeros(1, 18, 6, 7), w, padding=1)", "nn.functional.conv2d(x, w, padding=1)"),
    step("deform", both("With offsets each tap reads beside its place, between the pixels.",
                        "有偏移时，每个抽头在原位旁边、像素之间取值。"),
         "x, w = torch.rand(1, 2, 5, 6), torch.rand(4, 2, 3, 3)\noffset = torch.randn(1, 18, 5, 6)\n"
         "ops.deform_conv2d(x, offset, w, padding=1)", "loops.deform_conv2d(x, offset, w, 1)"),
    step("fpn", both("A feature pyramid: from coarse to fine, each level added to the one above it.",
                     "特征金字塔：由粗到细，逐层相加。"),
         "net = ops.FeaturePyramidNetwork([2, 3], 4)\nfine, coarse = torch.rand(1, 2, 8, 8), torch.rand(1, 3, 4, 4)\n"
         "net({'fine': fine, 'coarse': coarse})['fine'].detach()",
         "net.layer_blocks[0](net.inner_blocks[0](fine) + nn.functional.interpolate(net.inner_blocks[1](coarse), "
         "size=(8, 8), mode='nearest')).detach()"),
))  # fmt: skip
