"""Section 41 of the notes: the packages of torchvision, a step each for what one uses of them."""

from __future__ import annotations

from labkit.base.language import both
from labkit.runs.steps import Group, step
from labs.torchvision.steps_images import IMAGES, TRANSFORMS
from labs.torchvision.steps_ops import OPS

SETUP = """
import os
import random
import struct
import tempfile

import numpy as np
import torch
import torchvision
from PIL import Image, ImageDraw
from torch import nn
from torch.utils.data import DataLoader, Subset, random_split
from torchvision import datasets, io, models, ops, transforms, utils

from labs.torchvision import loops

torch.manual_seed(0)
random.seed(0)
places = []
pixels = np.random.RandomState(0).randint(0, 256, (40, 60, 3)).astype(np.uint8)
picture = Image.fromarray(pixels)
digits = np.random.RandomState(1).randint(0, 256, (3, 28, 28)).astype(np.uint8)


def empty_folder():
    places.append(tempfile.TemporaryDirectory())
    return places[-1].name


def write_mnist(folder):
    raw = os.path.join(folder, "MNIST", "raw")
    os.makedirs(raw)
    for name in ("train", "t10k"):
        with open(os.path.join(raw, name + "-images-idx3-ubyte"), "wb") as file:
            file.write(struct.pack(">4I", 2051, 3, 28, 28) + digits.tobytes())
        with open(os.path.join(raw, name + "-labels-idx1-ubyte"), "wb") as file:
            file.write(struct.pack(">2I", 2049, 3) + bytes([7, 2, 1]))
    return raw


def size_of(model):
    return sum(p.numel() for p in model.parameters())


folder = empty_folder()
"""

DATASETS = Group("41", both("datasets: what has a length and an index", "datasets：有长度、可按下标取的数据"), (
    step("fake-data", both("FakeData draws noise in the form of a real data set: no download.",
                           "FakeData 以真实数据集的形式生成噪声，不用下载。"),
         "data = datasets.FakeData(size=3, image_size=(3, 8, 8), num_classes=10)\nimage, label = data[0]\n"
         "(len(data), image.size, image.mode)", "(3, (8, 8), 'RGB')"),
    step("fake-data-seed", both("The same number is the same image each time.", "同一下标每次都是同一张图。"),
         "data = datasets.FakeData(3, (3, 8, 8))\nnp.asarray(data[1][0]).astype(int)",
         "np.asarray(datasets.FakeData(3, (3, 8, 8))[1][0]).astype(int)"),
    step("transform", both("`transform` is what becomes of each image as it is taken.",
                           "transform 规定每张图取出时怎样处理。"),
         "datasets.FakeData(1, (3, 8, 8), transform=transforms.ToTensor())[0][0].shape", "(3, 8, 8)"),
    step("target-transform", both("`target_transform` does the same for the label.",
                                  "target_transform 对标签做同样的事。"),
         "datasets.FakeData(1, (3, 8, 8), target_transform=lambda label: label * 0 - 1)[0][1]", "-1"),
    step("image-folder", both("ImageFolder: each folder is a class, in alphabetical order.",
                              "ImageFolder：每个文件夹是一类，按字母顺序编号。"),
         "folder = empty_folder()\nfor name in ('dog', 'cat'):\n    os.mkdir(os.path.join(folder, name))\n"
         "    picture.save(os.path.join(folder, name, '0.png'))\ndata = datasets.ImageFolder(folder)\n"
         "(data.classes, data[1][1], len(data))", "(['cat', 'dog'], 1, 2)"),
    step("image-folder-order", both("As text, '10' comes before '9': the number of a class is not its name.",
                                    "按文本排序，'10' 在 '9' 前面：类别编号不等于类名。"),
         "folder = empty_folder()\nfor name in ('9', '10'):\n    os.mkdir(os.path.join(folder, name))\n"
         "    picture.save(os.path.join(folder, name, '0.png'))\ndatasets.ImageFolder(folder).class_to_idx['9']", "1"),
    step("image-folder-rgb", both("It reads every image as RGB, grey ones too.",
                                  "它把所有图都读成 RGB，灰度图也一样。"),
         "folder = empty_folder()\nos.mkdir(os.path.join(folder, "
         "'a'))\npicture.convert('L').save(os.path.join(folder, 'a', '0.png'))\n"
         "datasets.ImageFolder(folder)[0][0].mode", "'RGB'"),
    step("mnist", both("MNIST reads four idx files in MNIST/raw; 0.6 wants them as tensors in MNIST/processed.",
                       "MNIST 读取 MNIST/raw 下的四个 idx 文件；0.6 要求先转成 MNIST/processed 下的张量。"),
         "folder = empty_folder()\nwrite_mnist(folder)\ndata = datasets.MNIST(folder)\n(len(data), data[0][1], "
         "np.asarray(data[0][0]).astype(int))",
         "(3, 7, digits[0].astype(int))",
         then="folder = empty_folder()\nraw = write_mnist(folder)\nos.makedirs(os.path.join(folder, 'MNIST', "
              "'processed'))\n"
         "for name, kept in (('train', 'training.pt'), ('t10k', 'test.pt')):\n"
         "    images = datasets.mnist.read_image_file(os.path.join(raw, name + '-images-idx3-ubyte'))\n"
         "    labels = datasets.mnist.read_label_file(os.path.join(raw, name + '-labels-idx1-ubyte'))\n"
         "    torch.save((images, labels), os.path.join(folder, 'MNIST', 'processed', kept))\n"
         "data = datasets.MNIST(folder)\n(len(data), data[0][1], np.asarray(data[0][0]).astype(int))"),
    step("mnist-missing", both("Without the files it says so, and downloads only with download=True.",
                               "没有文件就报错；只有 download=True 才会下载。"),
         "folder = empty_folder()\ndatasets.MNIST(folder)", "'RuntimeError'"),
    step("cifar-missing", both("CIFAR10 compares an MD5 of every file before it reads one.",
                               "CIFAR10 读取之前先核对每个文件的 MD5。"),
         "folder = empty_folder()\ndatasets.CIFAR10(folder)", "'RuntimeError'"),
    step("loader", both("A DataLoader makes batches; the last one may be smaller.",
                        "DataLoader 组成批次，最后一批可能较小。"),
         "data = datasets.FakeData(10, (3, 8, 8), transform=transforms.ToTensor())\n"
         "[tuple(images.shape) for images, labels in DataLoader(data, batch_size=4)]",
         "[(4, 3, 8, 8), (4, 3, 8, 8), (2, 3, 8, 8)]"),
    step("loader-of-images", both("It cannot stack PIL images: ToTensor comes first.",
                                  "它无法堆叠 PIL 图像：要先 ToTensor。"),
         "next(iter(DataLoader(datasets.FakeData(2, (3, 8, 8)), batch_size=2)))", "'TypeError'"),
    step("subset", both("Subset takes some of a data set by their numbers.", "Subset 按下标取出一部分。"),
         "data = datasets.FakeData(10, (3, 4, 4))\n"
         "[Subset(data, [7, 2])[k][1] for k in (0, 1)]", "[data[7][1], data[2][1]]"),
    step("split", both("random_split parts it by chance, without overlap.", "random_split 随机划分，互不重叠。"),
         "first, second = random_split(range(10), [7, 3])\nsorted([*first, *second])", "list(range(10))"),
))  # fmt: skip

MODELS = Group("41", both("models: networks, with or without published weights",
                          "models：各种网络，可带或不带已发布的权重"), (
    step("alexnet", both("AlexNet by its layers: weights and biases.", "按层计算 AlexNet 的权重与偏置。"),
         "size_of(models.alexnet())",
         "sum(a * b * k * k + b for a, b, k in [(3, 64, 11), (64, 192, 5), (192, 384, 3), (384, 256, 3), (256, 256, "
         "3)]) + 9216 * 4096 + 4096 + 4096 * 4096 + 4096 + 4096 * 1000 + 1000"),
    step("no-download", both("By default the weights are random; published ones are asked for.",
                             "默认权重是随机的；已发布的权重要另外指定。"),
         "torch.equal(models.squeezenet1_1().features[0].weight, models.squeezenet1_1().features[0].weight)", "False"),
    step("logits", both("It gives a number for each of ImageNet's 1000 classes, of images 3 x 224 x 224 or larger.",
                        "对 3 x 224 x 224 或更大的图，给出 ImageNet 一千类各一个数。"),
         "models.resnet18().eval()(torch.zeros(1, 3, 64, 64)).shape", "(1, 1000)"),
    step("num-classes", both("num_classes makes another head.", "num_classes 换一个输出头。"),
         "models.resnet18(num_classes=10).fc.weight.shape", "(10, 512)"),
    step("new-head", both("After loading weights one replaces the head instead.", "加载权重之后则替换输出头。"),
         "model = models.resnet18()\nmodel.fc = nn.Linear(model.fc.in_features, 10)\n"
         "model.eval()(torch.zeros(2, 3, 64, 64)).shape", "(2, 10)"),
    step("body", both("Without its last two layers a ResNet gives features, at a thirty-second of the size.",
                      "去掉最后两层，ResNet 给出特征图，边长为三十二分之一。"),
         "body = nn.Sequential(*list(models.resnet18().children())[:-2]).eval()\nbody(torch.zeros(1, 3, 64, 96)).shape",
         "(1, 512, 64 // 32, 96 // 32)"),
    step("save-and-load", both("Weights that are at hand need no network.", "手头的权重不需要网络。"),
         "one, other = models.squeezenet1_1().eval(), models.squeezenet1_1().eval()\n"
         "other.load_state_dict(one.state_dict())\nx = torch.rand(1, 3, 64, 64)\ntorch.equal(one(x), other(x))",
         "True"),
    step("googlenet", both("In training GoogLeNet gives three answers: its own and two of helpers on the way.",
                           "训练时 GoogLeNet 给出三个输出：主输出和两个辅助输出。"),
         "outputs = models.googlenet(init_weights=False, aux_logits=True)(torch.rand(2, 3, 64, 64))\nlen(outputs)",
         "3"),
    step("segmentation", both("fcn_resnet50() fetches its backbone's weights unless it is told not to.",
                              "fcn_resnet50() 会下载主干权重，除非明确说不要。"),
         "model = models.segmentation.fcn_resnet50(num_classes=2, weights=None, weights_backbone=None).eval()\n"
         "model(torch.zeros(1, 3, 64, 64))['out'].shape", "(1, 2, 64, 64)",
         then="model = models.segmentation.fcn_resnet50(num_classes=2, pretrained=False, "
              "pretrained_backbone=False).eval()\n"
         "model(torch.zeros(1, 3, 64, 64))['out'].shape"),
    step("video", both("Networks for films take one axis more, the time.", "视频网络多一个时间轴。"),
         "models.video.r3d_18(num_classes=5).eval()(torch.zeros(1, 3, 4, 32, 32)).shape", "(1, 5)"),
))  # fmt: skip

GROUPS: tuple[Group, ...] = (DATASETS, MODELS, TRANSFORMS, IMAGES, OPS)
