"""What an image is: arrays and tensors, files and windows, colours and tones (sections 31 and 49)."""

from __future__ import annotations

from labkit.base.language import both
from labkit.runs.steps import Group, step

SETUP = """
import os
import tempfile

import cv2
import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F

cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)  # a missing file is a warning
random = np.random.RandomState(0)
picture = random.randint(0, 256, (12, 16, 3)).astype(np.uint8)  # B, G, R
grey = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
folder = tempfile.TemporaryDirectory()
file = os.path.join(folder.name, "x.png")


def pixel(*values):
    return np.uint8([[values]])


def conv(x, kernel):
    x, kernel = torch.from_numpy(x.astype(np.float64)), torch.from_numpy(np.asarray(kernel, np.float64))
    high, wide = kernel.shape[0] // 2, kernel.shape[1] // 2
    padded = F.pad(x[None, None], [wide, wide, high, high], mode='reflect')
    return F.conv2d(padded, kernel[None, None])[0, 0].numpy()
"""

TENSORS = Group("31", both("Images as arrays and as tensors", "图像：数组与张量"), (
    step("hwc", both("Height, width, channels.", "高、宽、通道：H x W x C。"),
         "(picture.shape, picture.dtype == np.uint8)", "((12, 16, 3), True)"),
    step("chw", both("A network wants (N, C, H, W), and numbers around 0 to 1.",
                     "网络要的是 (N, C, H, W)，数值在 0 到 1 附近。"),
         "x = torch.from_numpy(picture).permute(2, 0, 1).float().div(255).unsqueeze(0)\n"
         "(list(x.shape), float(x.max()) <= 1)", "([1, 3, 12, 16], True)"),
    step("not-reshape", both("A trap: reshape has the same shape and scrambles the image.",
                             "陷阱：reshape 得到同样的形状，图像却全乱了。"),
         "np.array_equal(picture.reshape(3, 12, 16), picture.transpose(2, 0, 1))", "False"),
    step("back", both("Back again: round before it is made uint8.", "变回图像：转 uint8 之前先四舍五入。"),
         "x = torch.from_numpy(picture).permute(2, 0, 1).float().div(255)\n"
         "np.array_equal((x * 255).round().to(torch.uint8).permute(1, 2, 0).numpy(), picture)", "True"),
    step("truncated", both("Without round, some levels are one too low after Normalize and back: 6.9999 is cut to 6.",
                           "归一化再还原后若不四舍五入，有些灰度会少 1：6.9999 被截成 6。"),
         "x = torch.arange(256).float() / 255\nx = ((x - 0.5) / 0.5 * 0.5 + 0.5) * 255\n"
         "low = x.to(torch.uint8).long() - torch.arange(256)\n(sorted(set(low.tolist())), x.round().int().tolist())",
         "([-1, 0], list(range(256)))"),
    step("shared", both("from_numpy shares the memory.", "from_numpy 与数组共享内存。"),
         "x = torch.from_numpy(picture)\nx[0, 0, 0] = 7\npicture[0, 0, 0]", "7"),
    step("negative", both("A trap: [..., ::-1] is a view that runs backwards, which PyTorch does not take.",
                          "陷阱：[..., ::-1] 是反向的视图，PyTorch 不接受。"),
         "torch.from_numpy(picture[..., ::-1])", "'ValueError'"),
    step("copied", both("Right: copy it, or let cvtColor do it.", "正确写法：复制一份，或用 cvtColor。"),
         "torch.from_numpy(picture[..., ::-1].copy())", "cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)"),
    step("no-tensors", both("OpenCV takes arrays, and no tensors.", "OpenCV 只收数组，不收张量。"),
         "cv2.blur(torch.zeros(3, 3), (3, 3))", "'error'"),
    step("no-int64", both("Nor whole numbers of 64 bits, which NumPy makes by default.",
                          "也不收 64 位整数，而 NumPy 默认就是它。"),
         "cv2.cvtColor(picture.astype(np.int64), cv2.COLOR_BGR2GRAY)", "'error'"),
    step("part", both("A part is a view: what is drawn into it is drawn into the image.",
                      "截取的一块是视图：改它就是改原图。"),
         "part = picture[2:4, 3:6]\npart[:] = 0\npicture[2, 3].tolist()", "[0, 0, 0]"),
))  # fmt: skip

FILES = Group("49, 50", both("imread, imwrite, imshow", "imread、imwrite、imshow"), (
    step("missing", both("A trap: a file that is not there is no error, it is None; what uses it fails later.",
                         "陷阱：文件不存在时不报错，而是返回 None，错误要到后面才出现。"),
         "cv2.imread('no such file.png') is None", "True"),
    step("bgr", both("A red pixel, as imread gives it: blue comes first.", "一个红色像素，imread 读出来：蓝在最前。"),
         "Image.new('RGB', (2, 2), (255, 0, 0)).save(file)\ncv2.imread(file)[0, 0].tolist()", "[0, 0, 255]"),
    step("as-grey", both("Asked for grey, it has no channels at all.", "按灰度读取时，没有通道这一维。"),
         "cv2.imwrite(file, picture)\ncv2.imread(file, cv2.IMREAD_GRAYSCALE).shape", "(12, 16)"),
    step("alpha", both("Transparency only comes when it is asked for.", "透明通道只有明确要求时才读入。"),
         "Image.new('RGBA', (2, 2), (255, 0, 0, 128)).save(file)\n"
         "[cv2.imread(file).shape, cv2.imread(file, cv2.IMREAD_UNCHANGED)[0, 0].tolist()]",
         "[(2, 2, 3), [0, 0, 255, 128]]"),
    step("sixteen", both("16 bits are cut to their upper 8, unless they are asked for.",
                         "16 位图只留高 8 位，除非明确要求。"),
         "cv2.imwrite(file, np.full((2, 2), 0x1234, np.uint16))\n"
         "[cv2.imread(file)[0, 0, 0], cv2.imread(file, cv2.IMREAD_UNCHANGED)[0, 0]]", "[0x12, 0x1234]"),
    step("png", both("PNG gives back every pixel.", "PNG 无损。"),
         "cv2.imwrite(file, picture)\nnp.array_equal(cv2.imread(file), picture)", "True"),
    step("jpeg", both("JPEG does not.", "JPEG 有损。"),
         "np.array_equal(cv2.imdecode(cv2.imencode('.jpg', picture)[1], cv2.IMREAD_COLOR), picture)", "False"),
    step("suffix", both("The suffix says the format; one that is unknown is an error.",
                        "文件格式由后缀决定，不认识的后缀会报错。"),
         "cv2.imwrite(file + '.picture', picture)", "'error'"),
    step("no-folder", both("A trap: a folder that is not there is none, only False.",
                           "陷阱：文件夹不存在时不报错，只返回 False。"),
         "cv2.imwrite('no such folder/x.png', picture)", "False"),
    step("imshow", both("imshow without a display ends the whole process (Qt aborts; no except helps). Ask first: is "
                        "this a build with windows, and is a display named? Otherwise imwrite, and open the file.",
                        "没有显示器时 imshow 会直接结束整个进程（Qt 中止，except 也拦不住）。所以先问："
                        "这个版本带窗口吗？有显示器吗？没有就用 imwrite 存成文件再看。"),
         "def can_show(environ):\n    return bool(cv2.currentUIFramework()) and bool(environ.get('DISPLAY'))\n\n"
         "(can_show({}), can_show({'DISPLAY': ':0'}))", "(False, cv2.currentUIFramework() != '')"),
    step("width-first", both("A trap: sizes and points are x before y, shapes and indices y before x.",
                             "陷阱：尺寸和点是先 x 后 y，shape 和下标是先 y 后 x。"),
         "cv2.resize(picture, (8, 4)).shape", "(4, 8, 3)"),
    step("point", both("The point (5, 1) is row 1, column 5.", "点 (5, 1) 在第 1 行第 5 列。"),
         "x = cv2.circle(np.zeros((4, 6), np.uint8), (5, 1), 0, 255)\nnp.argwhere(x).tolist()", "[[1, 5]]"),
))  # fmt: skip

COLOURS = Group("49", both("Colour spaces", "颜色空间"), (
    step("swap", both("BGR and RGB are the same numbers the other way round.", "BGR 与 RGB 只是次序相反。"),
         "cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)", "picture[..., ::-1]"),
    step("upside-down", both("A trap: [::-1] turns the image upside down, not its colours.",
                             "陷阱：[::-1] 翻转的是上下，不是颜色。"),
         "picture[::-1]", "cv2.flip(picture, 0)"),
    step("grey", both("Grey: the eye sees green best.", "灰度：人眼对绿色最敏感。"),
         "cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)", "np.rint(picture @ [0.114, 0.587, 0.299]).astype(np.uint8)"),
    step("wrong-grey", both("The wrong order makes red as dark as blue.", "次序弄反，红色会和蓝色一样暗。"),
         "red = pixel(0, 0, 255)\n"
         "[int(cv2.cvtColor(red, code)[0, 0]) for code in (cv2.COLOR_BGR2GRAY, cv2.COLOR_RGB2GRAY)]",
         "[round(0.299 * 255), round(0.114 * 255)]"),
    step("hues", both("Hues of red, green, blue are 0, 120, 240 degrees; by 2, to fit a byte.",
                      "红、绿、蓝的色相是 0、120、240 度；除以 2 才放得进一个字节。"),
         "[int(cv2.cvtColor(pixel(*c), cv2.COLOR_RGB2HSV)[0, 0, 0]) for c in ((255, 0, 0), (0, 255, 0), (0, 0, 255))]",
         "[0, 120 // 2, 240 // 2]"),
    step("circle", both("A trap: red is at both ends. Looking for red with inRange takes two ranges.",
                        "陷阱：红色在色相的两端，用 inRange 找红色要两个区间。"),
         "[int(cv2.cvtColor(pixel(255, g, b), cv2.COLOR_RGB2HSV)[0, 0, 0]) for g, b in ((20, 0), (0, 20))]",
         "[round(60 * 20 / 255 / 2), round((360 - 60 * 20 / 255) / 2)]"),
    step("value", both("V is the largest channel, S how far the smallest is below it.",
                       "V 是最大的通道，S 是最小通道比它低多少。"),
         "cv2.cvtColor(pixel(50, 100, 200), cv2.COLOR_RGB2HSV)[0, 0, 1:].tolist()",
         "[round(255 * (200 - 50) / 200), 200]"),
    step("hls", both("OpenCV's HSL is called HLS, and has L before S.", "OpenCV 的 HSL 叫 HLS，L 在 S 之前。"),
         "cv2.cvtColor(pixel(255, 0, 0), cv2.COLOR_RGB2HLS)[0, 0].tolist()", "[0, 128, 255]"),
    step("no-colour", both("A grey pixel has U = V = 128.", "灰色像素的 U = V = 128。"),
         "cv2.cvtColor(pixel(90, 90, 90), cv2.COLOR_RGB2YUV)[0, 0].tolist()", "[90, 128, 128]"),
    step("lab-bytes", both("LAB as bytes: L times 2.55, a and b plus 128 ...",
                           "字节形式的 LAB：L 乘 2.55，a、b 加 128……"),
         "cv2.cvtColor(pixel(255, 255, 255), cv2.COLOR_RGB2LAB)[0, 0].tolist()", "[255, 128, 128]"),
    step("lab-floats", both("... as fractions it is as books have it. These must be 0 to 1 before.",
                            "……小数形式才与书上一致，但输入必须是 0 到 1。"),
         "np.abs(cv2.cvtColor(np.ones((1, 1, 3), np.float32), cv2.COLOR_RGB2LAB)[0, 0] - [100, 0, 0]).max() < 0.01",
         "True"),
    step("there-and-back", both("There and back again is not the same: 180 x 256 x 256 colours are fewer.",
                                "转过去再转回来并不相同：HSV 只有 180 x 256 x 256 种取值。"),
         "back = cv2.cvtColor(cv2.cvtColor(picture, cv2.COLOR_BGR2HSV), cv2.COLOR_HSV2BGR)\n"
         "np.array_equal(back, picture)", "False"),
    step("no-channels", both("A grey image has no colours to convert.", "灰度图没有颜色可以转换。"),
         "cv2.cvtColor(grey, cv2.COLOR_BGR2HSV)", "'error'"),
))  # fmt: skip

TONES = Group("49", both("Brightness, contrast, saturation", "亮度、对比度、饱和度"), (
    step("add", both("cv2.add stops at 255 ...", "cv2.add 到 255 为止……"),
         "cv2.add(pixel(200), pixel(100))", "[[255]]"),
    step("wraps", both("... and + goes round: 300 - 256.", "……而 + 会回绕：300 − 256。"),
         "np.uint8([200]) + np.uint8([100])", "[44]"),
    step("three-hundred", both("A number beyond 255: an error in NumPy 2, and 16 bits in NumPy 1, which the notes use.",
                               "加一个超过 255 的数：NumPy 2 报错；笔记所用的 NumPy 1 自动变成 16 位。"),
         "try:\n    result = np.uint8([200]) + 300\n"
         "except OverflowError as error:\n    result = type(error).__name__\nresult",
         "[500] if np.__version__ < '2' else 'OverflowError'"),
    step("difference", both("Differences go round too; absdiff does not.", "相减同样会回绕；absdiff 不会。"),
         "a, b = np.uint8([3]), np.uint8([5])\n[int((a - b)[0]), int(cv2.absdiff(a, b)[0, 0])]", "[254, 2]"),
    step("contrast", both("Contrast is a slope, brightness a shift.", "对比度是斜率，亮度是平移。"),
         "cv2.convertScaleAbs(grey, None, 1.5, 20)", "np.clip(np.rint(1.5 * grey + 20), 0, 255).astype(np.uint8)"),
    step("abs", both("A trap: convertScaleAbs takes the size of a negative number, so black turns grey.",
                     "陷阱：convertScaleAbs 对负数取绝对值，黑色反而变灰。"),
         "cv2.convertScaleAbs(np.uint8([[10]]), None, 1.5, -40)", "[[25]]"),
    step("halves", both("Halves go to the even number.", "恰好一半时取偶数。"),
         "cv2.convertScaleAbs(np.uint8([[1, 3, 5]]), None, 0.5, 0)", "[[0, 2, 2]]"),
    step("saturation", both("Saturation: a factor for S, cut at 255; H and V stay.",
                            "饱和度：S 乘一个系数，到 255 为止；H、V 不变。"),
         "hsv = cv2.cvtColor(picture, cv2.COLOR_BGR2HSV)\nmore = hsv.copy()\n"
         "more[..., 1] = cv2.convertScaleAbs(hsv[..., 1], None, 1.5, 0).reshape(12, 16)\n"
         "np.array_equal(more[..., 2], hsv[..., 2]) and bool((more[..., 1] >= hsv[..., 1]).all())", "True"),
    step("gamma", both("Any function of one level is a table of 256 numbers.", "只依赖灰度的函数，就是 256 个数的表。"),
         "table = np.rint(255 * (np.arange(256) / 255) ** 0.5).astype(np.uint8)\ncv2.LUT(grey, table)",
         "np.rint(255 * np.sqrt(grey / 255)).astype(np.uint8)"),
))  # fmt: skip
