"""The networks of the notes by name, each with its year and its idea in a line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable

from torch import nn

from labkit.base.language import Both, both
from labs.convnets.light import mobilenetv1, mobilenetv2, mobilenetv3, shufflenetv1, shufflenetv2, squeezenet
from labs.convnets.parallel import googlenet
from labs.convnets.series import alexnet, lenet, vgg16
from labs.convnets.skip import densenet100, resnet18, resnext29, senet18


@dataclass(frozen=True)
class Kind:
    """A network: how it is built, `build(classes, width)`, and what is new in it."""

    title: str
    build: Callable[..., nn.Sequential]
    year: int
    idea: Both


KINDS = {
    "lenet": Kind("LeNet-5", lenet, 1998, both("convolution and pooling in turn", "卷积与池化交替")),
    "alexnet": Kind("AlexNet", alexnet, 2012, both("deeper, ReLU, dropout, GPUs", "更深、ReLU、dropout、GPU")),
    "vgg16": Kind("VGG16", vgg16, 2015, both("3 x 3 alone, stacked", "只用 3 x 3，堆叠起来")),
    "googlenet": Kind("GoogLeNet", googlenet, 2015, both("several sizes side by side", "多种尺寸并联")),
    "resnet18": Kind("ResNet18", resnet18, 2016, both("add to what is there", "在输入之上相加（跳连）")),
    "squeezenet": Kind("SqueezeNet", squeezenet, 2016, both("few inputs for each 3 x 3", "先压缩通道再做 3 x 3")),
    "densenet100": Kind("DenseNet-BC-100", densenet100, 2017, both("read all layers before", "读取之前所有层")),
    "resnext29": Kind("ResNeXt-29, 32x4d", resnext29, 2017, both("many small ways: groups", "许多小支路：分组卷积")),
    "mobilenetv1": Kind("MobileNet V1", mobilenetv1, 2017, both("depthwise separable", "深度可分离卷积")),
    "mobilenetv2": Kind("MobileNet V2", mobilenetv2, 2018, both("wide within, narrow without",
                                                                "中间宽、两头窄（倒残差）")),
    "shufflenetv1": Kind("ShuffleNet V1, g = 3", shufflenetv1, 2018, both("1 x 1 in groups, shuffled",
                                                                           "1 x 1 也分组，再打乱通道")),
    "shufflenetv2": Kind("ShuffleNet V2", shufflenetv2, 2018, both("half goes past, no groups",
                                                                   "一半通道直通，不分组")),
    "senet18": Kind("SE-ResNet18", senet18, 2018, both("weigh the channels", "给通道加权（注意力）")),
    "mobilenetv3": Kind("MobileNet V3, small", mobilenetv3, 2019, both("V2 with gates, found by search",
                                                                        "V2 加通道注意力，由搜索得到")),
}  # fmt: skip
