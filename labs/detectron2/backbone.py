"""The backbone of `tiny`: ResNet-18 with half the channels, under a feature pyramid.

The notes (section 86) change resnet.py itself to get a smaller backbone. detectron2 does not want that: a function
registered here gets a name that any config can give to MODEL.BACKBONE.NAME.
"""

from __future__ import annotations

from typing import Any

from detectron2.layers import ShapeSpec
from detectron2.modeling import BACKBONE_REGISTRY
from detectron2.modeling.backbone import FPN, ResNet
from detectron2.modeling.backbone.fpn import LastLevelMaxPool
from detectron2.modeling.backbone.resnet import BasicBlock, BasicStem


@BACKBONE_REGISTRY.register()
def build_tiny_resnet_fpn_backbone(cfg: Any, input_shape: ShapeSpec) -> FPN:
    """Images (N, 3, H, W) -> p2 ... p6 of MODEL.FPN.OUT_CHANNELS channels, 1/4 ... 1/64 as large.

    detectron2's own ResNet-18 insists on 64 channels in its first stage; this one has RES2_OUT_CHANNELS of them.
    Sources: He et al. 2016 (ResNet), Lin et al. 2017 (FPN).
    """
    settings = cfg.MODEL.RESNETS
    stem = BasicStem(input_shape.channels, settings.STEM_OUT_CHANNELS, norm=settings.NORM)  # (N, 32, H/4, W/4)
    stages, in_channels = [], settings.STEM_OUT_CHANNELS
    for number in range(4):  # res2 ... res5: twice the channels and half the size each time
        out_channels = settings.RES2_OUT_CHANNELS * 2**number
        strides = [1 if number == 0 else 2, 1]
        stages.append(
            [
                BasicBlock(in_channels if k == 0 else out_channels, out_channels, stride=stride, norm=settings.NORM)
                for k, stride in enumerate(strides)
            ]
        )
        in_channels = out_channels
    bottom_up = ResNet(stem, stages, out_features=settings.OUT_FEATURES).freeze(cfg.MODEL.BACKBONE.FREEZE_AT)
    return FPN(
        bottom_up=bottom_up,
        in_features=cfg.MODEL.FPN.IN_FEATURES,
        out_channels=cfg.MODEL.FPN.OUT_CHANNELS,
        norm=cfg.MODEL.FPN.NORM,
        top_block=LastLevelMaxPool(),
        fuse_type=cfg.MODEL.FPN.FUSE_TYPE,
    )
