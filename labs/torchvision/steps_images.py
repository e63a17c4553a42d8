"""Steps of torchvision.transforms, utils and io."""

from __future__ import annotations

from labkit.base.language import both
from labkit.runs.steps import Group, step

TRANSFORMS = Group("41", both("transforms: from files to what a network takes", "transforms：从文件到网络的输入"), (
    step("to-tensor", both("ToTensor: H x W x C of 0..255 becomes C x H x W of 0..1.",
                           "ToTensor：H x W x C、0..255 变成 C x H x W、0..1。"),
         "transforms.ToTensor()(picture)", "pixels.transpose(2, 0, 1) / 255"),
    step("to-tensor-floats", both("Of floats it scales nothing.", "对浮点数不做缩放。"),
         "transforms.ToTensor()(np.full((1, 1, 3), 255.0, np.float32)).flatten()", "[255.0, 255.0, 255.0]"),
    step("round-trip", both("There and back is the same to the bit.", "来回一趟，逐位不变。"),
         "back = transforms.ToPILImage()(transforms.ToTensor()(picture))\nnp.asarray(back).astype(int)",
         "pixels.astype(int)"),
    step("to-pil-cuts", both("ToPILImage cuts, it does not round: 0.9999 x 255 is 254.",
                             "ToPILImage 截断而不四舍五入：0.9999 x 255 得 254。"),
         "transforms.ToPILImage()(torch.full((1, 1, 1), 0.9999)).getpixel((0, 0))", "int(0.9999 * 255)"),
    step("normalize", both("Normalize: less the mean, over the deviation, by channel.",
                           "Normalize：逐通道减均值、除以标准差。"),
         "x = torch.rand(3, 4, 5)\ntransforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])(x)",
         "(x.numpy() - np.array([0.485, 0.456, 0.406])[:, None, None]) / np.array([0.229, 0.224, 0.225])[:, None, "
         "None]"),
    step("compose", both("Compose runs them one after another.", "Compose 依次执行。"),
         "both_of = transforms.Compose([transforms.CenterCrop(20), transforms.ToTensor()])\nboth_of(picture)",
         "pixels[10:30, 20:40].transpose(2, 0, 1) / 255"),
    step("order", both("The order matters: Normalize takes tensors, and no image.",
                       "次序有讲究：Normalize 接受张量，不接受图像。"),
         "transforms.Compose([transforms.Normalize([0.5], [0.5]), transforms.ToTensor()])(picture)", "'TypeError'"),
    step("resize-short", both("Resize(20) makes the shorter side 20 and keeps the proportions (PIL: width, height).",
                              "Resize(20) 把短边变为 20，保持比例（PIL 的顺序是宽、高）。"),
         "transforms.Resize(20)(picture).size", "(30, 20)"),
    step("resize-both", both("Resize((h, w)) does not.", "Resize((h, w)) 则不保持比例。"),
         "transforms.Resize((20, 20))(picture).size", "(20, 20)"),
    step("resize-box", both("To half the size by means: first across, then down, each rounded.",
                            "用平均缩小一半：先横后竖，各自取整。"),
         "small = transforms.Resize((20, 30), "
         "transforms.InterpolationMode.BOX)(picture)\nnp.asarray(small).astype(int)",
         "((lambda across: (across[::2] + across[1::2] + 1) // 2)((pixels[:, ::2].astype(int) + pixels[:, 1::2] + 1) "
         "// 2))",
         then="small = transforms.Resize((20, 30), Image.BOX)(picture)\nnp.asarray(small).astype(int)"),
    step("crop", both("A crop by place: top, left, height, width.", "按位置裁剪：上、左、高、宽。"),
         "np.asarray(transforms.functional.crop(picture, 3, 5, 10, 20)).astype(int)", "pixels[3:13, 5:25].astype(int)"),
    step("pad", both("Pad(2) adds 2 pixels on every side.", "Pad(2) 四边各加 2 像素。"),
         "transforms.Pad(2)(picture).size", "(64, 44)"),
    step("five-crop", both("FiveCrop: the corners and the middle.", "FiveCrop：四角加中心。"),
         "[part.size for part in transforms.FiveCrop(10)(picture)]", "[(10, 10)] * 5"),
    step("flip", both("A flip of probability 1 turns the columns round.", "概率为 1 的翻转把列颠倒。"),
         "np.asarray(transforms.RandomHorizontalFlip(p=1)(picture)).astype(int)", "pixels[:, ::-1].astype(int)"),
    step("random-crop", both("RandomCrop finds one of 21 x 41 places.", "RandomCrop 从 21 x 41 个位置中取一个。"),
         "part = np.asarray(transforms.RandomCrop(20)(picture))\n"
         "sum((pixels[i:i + 20, j:j + 20] == part).all() for i in range(21) for j in range(41))", "1"),
    step("grey", both("Grey by the weights of ITU-R 601, in whole numbers.", "按 ITU-R 601 的权重转灰度，用整数计算。"),
         "np.asarray(transforms.Grayscale()(picture)).astype(int)",
         "(pixels.astype(int) @ [19595, 38470, 7471] + 32768) >> 16"),
    step("brightness", both("Brightness 2 doubles every value, up to 255.", "亮度 2 使每个值加倍，最大 255。"),
         "np.asarray(transforms.functional.adjust_brightness(picture, 2)).astype(int)",
         "np.minimum(pixels.astype(int) * 2, 255)"),
    step("saturation", both("Saturation 0 is the grey image.", "饱和度 0 就是灰度图。"),
         "np.asarray(transforms.functional.adjust_saturation(picture, 0)).astype(int)",
         "np.repeat((pixels.astype(int) @ [19595, 38470, 7471] + 32768)[:, :, None] >> 16, 3, 2)"),
    step("erasing", both("RandomErasing puts zeros over 2 to 33 % of a tensor.",
                         "RandomErasing 用零盖住张量的 2 % 到 33 %。"),
         "gone = transforms.RandomErasing(p=1)(torch.ones(3, 40, 60)) == 0\n0.015 < gone.float().mean().item() < 0.34",
         "True"),
    step("lambda", both("Lambda makes a transform of any function.", "Lambda 把任何函数变成变换。"),
         "transforms.Lambda(lambda image: image.size)(picture)", "(60, 40)"),
))  # fmt: skip

IMAGES = Group("41", both("utils and io: tensors as images and files", "utils 与 io：张量、图像与文件"), (
    step("grid", both("make_grid: a batch as one image, with 2 pixels between.",
                      "make_grid：把一批图拼成一张，间隔 2 像素。"),
         "images = torch.rand(5, 3, 8, 6)\nutils.make_grid(images, nrow=3)", "loops.make_grid(images, 3, 2)"),
    step("grid-grey", both("Grey images come out with three channels.", "灰度图会变成三通道。"),
         "utils.make_grid(torch.rand(2, 1, 4, 4)).shape", "(3, 2 + 4 + 2, 2 + 2 * (4 + 2))"),
    step("grid-normalize", both("normalize=True stretches from the least to the largest value of all.",
                                "normalize=True 按整批的最小值和最大值拉伸。"),
         "x = torch.rand(1, 3, 4, 4) * 9 - 3\nutils.make_grid(x, normalize=True, padding=0)",
         "(x[0] - x.min()) / (x.max() - x.min())"),
    step("save", both("save_image rounds to 0..255.", "save_image 四舍五入到 0..255。"),
         "x = torch.rand(3, 5, 6)\nutils.save_image(x, os.path.join(folder, 'x.png'))\n"
         "np.asarray(Image.open(os.path.join(folder, 'x.png'))).astype(int)",
         "np.floor(x.numpy().transpose(1, 2, 0) * 255 + 0.5).astype(int)"),
    step("boxes", both("Boxes are drawn on uint8; 0.6 has no function for it.",
                       "在 uint8 图上画框；0.6 没有这个函数。"),
         "blank = torch.zeros(3, 12, 12, dtype=torch.uint8)\n"
         "drawn = utils.draw_bounding_boxes(blank, torch.tensor([[2, 2, 6, 6]]), colors='white')\n"
         "int((drawn[0] == 255).sum())", "5 * 5 - 3 * 3",
         then="drawn = Image.new('RGB', (12, 12))\nImageDraw.Draw(drawn).rectangle((2, 2, 6, 6), outline='white')\n"
         "int((np.asarray(drawn)[:, :, 0] == 255).sum())"),
    step("masks", both("A mask is mixed in: alpha of its colour, the rest of the image.",
                       "掩码与原图混合：alpha 份颜色，其余为原图。"),
         "grey, mask = torch.full((3, 2, 2), 100, dtype=torch.uint8), torch.tensor([[True, False], [False, False]])\n"
         "utils.draw_segmentation_masks(grey, mask, alpha=0.5, colors=[(200, 0, 0)])[:, 0].int()",
         "[[150, 100], [50, 100], [50, 100]]",
         then="grey, mask = torch.full((3, 2, 2), 100.0), torch.tensor([[True, False], [False, False]])\n"
         "colour = torch.tensor([200.0, 0, 0])[:, None, None]\n"
         "torch.where(mask, 0.5 * colour + 0.5 * grey, grey)[:, 0].int()"),
    step("png", both("A PNG keeps every value.", "PNG 保留每个值。"),
         "x, file = torch.from_numpy(pixels).permute(2, 0, 1), os.path.join(folder, 'x.png')\n"
         "io.write_png(x, file)\nio.read_image(file).int()", "pixels.transpose(2, 0, 1).astype(int)",
         then="picture.save(os.path.join(folder, 'x.png'))\n"
         "torch.from_numpy(np.asarray(Image.open(os.path.join(folder, 'x.png'))).transpose(2, 0, 1).astype(int))"),
    step("jpeg", both("A JPEG does not: noise is what it keeps least.", "JPEG 不保留：噪声最保不住。"),
         "file = os.path.join(folder, 'x.jpg')\npicture.save(file)\n"
         "error = np.abs(np.asarray(Image.open(file)).astype(int) - pixels)\n(error.shape, bool(error.max() > 50))",
         "((40, 60, 3), True)"),
    step("read-grey", both("A file can be read as grey.", "可以按灰度读取文件。"),
         "file = os.path.join(folder, 'x.png')\npicture.save(file)\nio.read_image(file, io.ImageReadMode.GRAY).shape",
         "(1, 40, 60)", then="picture.save(os.path.join(folder, 'x.png'))\n"
         "transforms.ToTensor()(Image.open(os.path.join(folder, 'x.png')).convert('L')).shape"),
    step("channels", both("A grey picture has one channel, and a network for three refuses it.",
                          "灰度图只有一个通道，三通道的网络不接受它。"),
         "models.squeezenet1_1()(transforms.ToTensor()(picture.convert('L'))[None])", "'RuntimeError'"),
    step("batch-axis", both("One image is a batch of one: [None] adds the axis.",
                            "单张图也要成批：[None] 增加批次轴。"),
         "models.squeezenet1_1(num_classes=4).eval()(transforms.ToTensor()(picture)[None]).shape", "(1, 4)"),
))  # fmt: skip
