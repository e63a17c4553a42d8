"""What is done to images: smoothing, edges, histograms, morphology, matching, features, frequencies (49 and 51)."""

from __future__ import annotations

from labkit.base.language import both
from labkit.runs.steps import Group, step

SMOOTHING = Group("49", both("Smoothing and sharpening", "平滑与锐化"), (
    step("correlation", both("filter2D and conv2d slide the kernel as it is; one bright pixel gives it turned over.",
                             "filter2D 与 conv2d 都不翻转卷积核，所以一个亮点会得到翻转的核。"),
         "kernel = np.arange(9.0).reshape(3, 3)\ndot = np.zeros((5, 5))\ndot[2, 2] = 1\n"
         "cv2.filter2D(dot, -1, kernel)[1:4, 1:4]", "kernel[::-1, ::-1]"),
    step("conv2d", both("filter2D is a convolution layer of one channel, with its border reflected.",
                        "filter2D 就是单通道卷积层，边界用反射填充。"),
         "kernel = random.randn(3, 3)\ncv2.filter2D(grey.astype(np.float64), -1, kernel)", "conv(grey, kernel)"),
    step("borders", both("Beyond the border: 2 1 | 0 1 2. Zeros, as Conv2d(padding=1) has them, darken the rim.",
                         "边界之外：2 1 | 0 1 2。若像 Conv2d(padding=1) 那样补零，边缘会变暗。"),
         "cv2.copyMakeBorder(np.uint8([[0, 1, 2]]), 0, 0, 2, 2, cv2.BORDER_REFLECT_101)", "[[2, 1, 0, 1, 2, 1, 0]]"),
    step("box", both("The mean of 3 x 3.", "3 x 3 的平均。"), "cv2.blur(grey, (3, 3))",
         "np.rint(conv(grey, np.ones((3, 3)) / 9)).astype(np.uint8)"),
    step("gaussian", both("The weights of a Gaussian.", "高斯核的权重。"), "cv2.getGaussianKernel(5, 1.5).ravel()",
         "(lambda w: w / w.sum())(np.exp(-np.arange(-2, 3.0) ** 2 / (2 * 1.5**2)))"),
    step("table", both("A trap: sigma 0 is not 0; for small kernels it means a fixed table.",
                       "陷阱：sigma 写 0 并不是 0；小核会改用固定的表。"),
         "cv2.getGaussianKernel(5, 0).ravel() * 16", "[1, 4, 6, 4, 1]"),
    step("from-size", both("For larger ones it follows from the size.", "大核则由尺寸推出 sigma。"),
         "cv2.getGaussianKernel(11, 0)", "cv2.getGaussianKernel(11, 0.3 * ((11 - 1) * 0.5 - 1) + 0.8)"),
    step("separable", both("A Gaussian along rows, then along columns, is the Gaussian of both: 10 products, not 25.",
                           "先按行、再按列做高斯，等于二维高斯：每像素 10 次乘法而不是 25 次。"),
         "w = cv2.getGaussianKernel(5, 1.5)\ncv2.sepFilter2D(grey, cv2.CV_64F, w, w)", "conv(grey, w @ w.T)"),
    step("even", both("Sizes are odd, so that there is a middle.", "尺寸必须是奇数，才有中心。"),
         "cv2.GaussianBlur(grey, (4, 4), 1)", "'error'"),
    step("median", both("The median forgets a speck that the mean smears.", "中值不理会斑点，均值会把它抹开。"),
         "x = np.full((5, 5), 10, np.uint8)\nx[2, 2] = 255\n"
         "[int(cv2.medianBlur(x, 3)[2, 2]), int(cv2.blur(x, (3, 3))[2, 2])]",
         "[10, round((8 * 10 + 255) / 9)]"),
    step("bilateral", both("The bilateral filter leaves a step as it is: across it the weights are nearly 0.",
                           "双边滤波保住台阶：另一侧的权重几乎为 0。"),
         "x = np.repeat(np.uint8([[0, 0, 0, 200, 200, 200]]), 6, axis=0)\ncv2.bilateralFilter(x, 5, 20, 2)", "x"),
    step("sharpen", both("Sharpening: the image plus what smoothing took. Its kernel sums to 1, so flat areas stay.",
                         "锐化：原图加上平滑去掉的部分。核之和为 1，平坦区域不变。"),
         "kernel = np.array([[0, -1, 0], [-1, 5, -1], [0, -1, 0]])\n"
         "cv2.filter2D(grey.astype(np.float64), -1, kernel)",
         "grey + 5 * (grey - conv(grey, np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]]) / 5))"),
    step("noisier", both("It makes noise stronger too: by the root of the sum of the squared weights.",
                         "它同样放大噪声：放大倍数是权重平方和的平方根。"),
         "noise = random.randn(400, 400)\nround(float(conv(noise, [[0, -1, 0], [-1, 5, -1], [0, -1, 0]]).std()), 1)",
         "round(29**0.5, 1)"),
))  # fmt: skip

EDGES = Group("49", both("Edges", "边缘"), (
    step("loses", both("A trap: as uint8 the falling side of a bar is lost ...",
                       "陷阱：用 uint8 输出会丢掉下降沿……"),
         "bar = np.repeat(np.uint8([[0, 0, 9, 9, 9, 0, 0]]), 3, axis=0)\ncv2.Sobel(bar, -1, 1, 0)[1].tolist()",
         "[0, 36, 36, 0, 0, 0, 0]"),
    step("keeps", both("... and 16 bits with a sign keep it.", "……用带符号的 16 位就能保住。"),
         "bar = np.repeat(np.uint8([[0, 0, 9, 9, 9, 0, 0]]), 3, axis=0)\ncv2.Sobel(bar, cv2.CV_16S, 1, 0)[1].tolist()",
         "[0, 36, 36, 0, -36, -36, 0]"),
    step("sobel", both("Sobel: a difference along x, smoothed along y.", "Sobel：沿 x 求差分，沿 y 平滑。"),
         "cv2.Sobel(grey, cv2.CV_64F, 1, 0)", "conv(grey, np.outer([1, 2, 1], [-1, 0, 1]))"),
    step("deriv", both("So OpenCV keeps its kernels, of every size.", "OpenCV 也是这样存放各尺寸的核。"),
         "[k.ravel().tolist() for k in cv2.getDerivKernels(1, 0, 5)]", "[[-1, -2, 0, 2, 1], [1, 4, 6, 4, 1]]"),
    step("prewitt", both("Prewitt smooths with equal weights.", "Prewitt 用相等的权重平滑。"),
         "cv2.filter2D(grey, cv2.CV_16S, np.outer([1, 1, 1], [-1, 0, 1]))",
         "conv(grey, np.outer([1, 1, 1], [-1, 0, 1])).astype(np.int16)"),
    step("roberts", both("Roberts: 2 x 2, along a diagonal. It has no middle: the anchor says where it stands.",
                         "Roberts：2 x 2，沿对角线求差。它没有中心，要用 anchor 指明对准哪个像素。"),
         "cv2.filter2D(grey, cv2.CV_16S, np.float32([[1, 0], [0, -1]]), None, (0, 0))[:-1, :-1]",
         "grey[:-1, :-1].astype(np.int16) - grey[1:, 1:]"),
    step("laplacian", both("Laplacian: second differences along both, added.", "Laplacian：两个方向的二阶差分之和。"),
         "cv2.Laplacian(grey, cv2.CV_64F)", "conv(grey, [[0, 1, 0], [1, -4, 1], [0, 1, 0]])"),
    step("ramp", both("On an even ramp it is 0, where Sobel is not.", "均匀斜坡上它为 0，而 Sobel 不为 0。"),
         "x = np.repeat(np.arange(0, 60, 10, np.uint8)[None], 5, axis=0)\n"
         "[int(cv2.Laplacian(x, cv2.CV_16S)[2, 2]), int(cv2.Sobel(x, cv2.CV_16S, 1, 0)[2, 2])]", "[0, 80]"),
    step("two-values", both("Canny gives edges, and no strengths.", "Canny 给出的是边缘，不是强度。"),
         "sorted(set(cv2.Canny(grey, 100, 200).ravel().tolist()))", "[0, 255]"),
    step("order", both("Its thresholds may come in either order.", "两个阈值次序不限。"),
         "cv2.Canny(grey, 100, 700)", "cv2.Canny(grey, 700, 100)"),
    step("thin", both("Along a straight edge it is one pixel wide, where Sobel is two.",
                      "直边上 Canny 只有一个像素宽，Sobel 有两个。"),
         "x = np.zeros((9, 9), np.uint8)\nx[:, 4:] = 200\n"
         "[int((cv2.Canny(x, 100, 200)[4] > 0).sum()), int((cv2.Sobel(x, cv2.CV_16S, 1, 0)[4] > 0).sum())]", "[1, 2]"),
    step("canny-bytes", both("It takes bytes alone.", "它只接受 8 位图像。"),
         "cv2.Canny(grey.astype(np.float32), 100, 200)", "'error'"),
))  # fmt: skip

SHAPES = Group("49", both("Histograms and morphology", "直方图与形态学"), (
    step("histogram", both("How often each level is there.", "每个灰度级出现多少次。"),
         "cv2.calcHist([grey], [0], None, [256], [0, 256]).ravel()", "np.bincount(grey.ravel(), minlength=256)"),
    step("equalize", both("Equalisation: the sum of the histogram is the table.", "均衡化：累积直方图就是查找表。"),
         "cv2.equalizeHist(grey)",
         "(lambda n: np.rint(255 * (n.cumsum() - n[grey.min()]) / (grey.size - n[grey.min()])).astype(np.uint8)[grey])"
         "(np.bincount(grey.ravel(), minlength=256))"),
    step("no-new-levels", both("No level is split, so it is uniform only nearly: there are no more levels than before.",
                               "同一灰度级不会被拆开，所以只是近似均匀：灰度级的数目不会增加。"),
         "x = (grey // 32 + 100).astype(np.uint8)\nlen(np.unique(cv2.equalizeHist(x))) <= len(np.unique(x))", "True"),
    step("grey-only", both("It takes grey images alone: of colours equalise V or L, not each channel.",
                           "它只接受灰度图；彩色图应均衡 V 或 L，而不是三个通道各自均衡。"),
         "cv2.equalizeHist(picture)", "'error'"),
    step("erode", both("Erosion: the smallest of the neighbours, which is max_pool2d of the negative.",
                       "腐蚀：邻域最小值，即对相反数做 max_pool2d。"),
         "cv2.erode(grey, np.ones((3, 3)))",
         "(-F.max_pool2d(-torch.from_numpy(grey)[None, None].float(), 3, 1, 1))[0, 0].byte()"),
    step("dilate", both("Dilation: the largest.", "膨胀：邻域最大值。"), "cv2.dilate(grey, np.ones((3, 3)))",
         "F.max_pool2d(torch.from_numpy(grey)[None, None].float(), 3, 1, 1)[0, 0].byte()"),
    step("dual", both("To dilate white is to erode black.", "膨胀白色就是腐蚀黑色。"),
         "cv2.dilate(grey, np.ones((3, 3)))", "255 - cv2.erode(255 - grey, np.ones((3, 3)))"),
    step("opening", both("Opening: erosion, then dilation. Doing it again changes nothing.",
                         "开运算：先腐蚀后膨胀。再做一次不再变化。"),
         "k = np.ones((3, 3))\nonce = cv2.morphologyEx(grey, cv2.MORPH_OPEN, k)\n"
         "cv2.morphologyEx(once, cv2.MORPH_OPEN, k)", "cv2.dilate(cv2.erode(grey, k), k)"),
    step("speck-and-hole", both("Opening removes a speck, closing fills a hole.", "开运算去斑点，闭运算补小洞。"),
         "k = np.ones((3, 3))\nspeck = np.zeros((7, 7), np.uint8)\nspeck[3, 3] = 255\n"
         "[int(cv2.morphologyEx(speck, cv2.MORPH_OPEN, k).max()), "
         "int(cv2.morphologyEx(255 - speck, cv2.MORPH_CLOSE, k).min())]", "[0, 255]"),
    step("gradient", both("Gradient: dilation minus erosion, an outline.", "形态学梯度：膨胀减腐蚀，即轮廓。"),
         "k = np.ones((3, 3))\ncv2.morphologyEx(grey, cv2.MORPH_GRADIENT, k)",
         "cv2.dilate(grey, k) - cv2.erode(grey, k)"),
    step("hats", both("Top hat: what opening took. Black hat: what closing filled.",
                      "顶帽：开运算去掉的；黑帽：闭运算补上的。"),
         "k = np.ones((3, 3))\n"
         "np.stack([cv2.morphologyEx(grey, kind, k) for kind in (cv2.MORPH_TOPHAT, cv2.MORPH_BLACKHAT)])",
         "np.stack([grey - cv2.morphologyEx(grey, cv2.MORPH_OPEN, k), "
         "cv2.morphologyEx(grey, cv2.MORPH_CLOSE, k) - grey])"),
))  # fmt: skip

FINDING = Group("49", both("Templates and corners", "模板匹配与角点"), (
    step("map", both("One number for each place where the template fits.", "模板能放下的每个位置各一个数。"),
         "cv2.matchTemplate(grey, grey[2:6, 3:8], cv2.TM_SQDIFF).shape", "(12 - 4 + 1, 16 - 5 + 1)"),
    step("found", both("Where it was cut from the difference is 0; minMaxLoc says it as (x, y).",
                       "截取处的差为 0；minMaxLoc 给出的是 (x, y)。"),
         "value, _, place, _ = cv2.minMaxLoc(cv2.matchTemplate(grey, grey[2:6, 3:8], cv2.TM_SQDIFF))\n"
         "[round(value), *place]", "[0, 3, 2]"),
    step("as-conv2d", both("Matching is a convolution whose kernel is the template.",
                           "模板匹配就是以模板为核的卷积。"),
         "x = grey.astype(np.float32)\ncv2.matchTemplate(x, x[2:6, 3:8], cv2.TM_CCORR)",
         "F.conv2d(torch.from_numpy(x)[None, None], torch.from_numpy(x[2:6, 3:8].copy())[None, None])[0, 0]"),
    step("brightest", both("A trap: plain TM_CCORR is largest where the image is bright.",
                           "陷阱：不归一化的 TM_CCORR 在亮处最大。"),
         "x = np.full((6, 12), 255, np.uint8)\nx[:, :6] = random.randint(0, 60, (6, 6))\n"
         "cv2.minMaxLoc(cv2.matchTemplate(x, x[1:4, 1:4], cv2.TM_CCORR))[3][0] >= 6", "True"),
    step("darker", both("TM_CCOEFF_NORMED finds it also in half the light: 1 is the best.",
                        "TM_CCOEFF_NORMED 在光线减半时也找得到：最佳为 1。"),
         "x = grey.astype(np.float32)\n"
         "round(float(cv2.matchTemplate(0.5 * x + 20, x[2:6, 3:8], cv2.TM_CCOEFF_NORMED)[2, 3]), 3)",
         "1.0"),
    step("harris", both("Harris: positive at a corner, negative along an edge, 0 where it is flat.",
                        "Harris：角点为正，边缘为负，平坦处为 0。"),
         "x = np.zeros((20, 20), np.uint8)\nx[10:, 10:] = 255\nr = cv2.cornerHarris(x, 2, 3, 0.04)\n"
         "[int(np.sign(r[10, 10])), int(np.sign(r[17, 10])), int(np.sign(r[3, 3]))]", "[1, -1, 0]"),
    step("no-corners", both("A trap: where there are no corners, goodFeaturesToTrack gives None.",
                            "陷阱：没有角点时 goodFeaturesToTrack 返回 None。"),
         "cv2.goodFeaturesToTrack(np.zeros((9, 9), np.uint8), 5, 0.1, 3) is None", "True"),
))  # fmt: skip

FEATURES = Group("51", both("Convolution as features; frequencies", "用卷积提取特征；频率"), (
    step("bank", both("Four kernels at once are one layer: a channel for each.",
                      "四个核一起用就是一层：每个核一个通道。"),
         "bank = torch.randn(4, 1, 3, 3)\nlist(F.conv2d(torch.from_numpy(grey)[None, None].float(), bank).shape)",
         "[1, 4, 12 - 2, 16 - 2]"),
    step("one-by-one", both("Grey is a convolution of 1 x 1 with three weights.", "灰度化是带三个权重的 1 x 1 卷积。"),
         "x = torch.from_numpy(picture).permute(2, 0, 1)[None].float()\n"
         "F.conv2d(x, torch.tensor([0.114, 0.587, 0.299]).view(1, 3, 1, 1))[0, 0]",
         "cv2.cvtColor(picture.astype(np.float32), cv2.COLOR_BGR2GRAY)"),
    step("stacked", both("Two boxes of 3 are one kernel of 5: without an activation, layers melt into one.",
                         "两个 3 x 3 均值等于一个 5 x 5 的核：没有激活函数，多层会合成一层。"),
         "once = np.ones((3, 3)) / 9\nconv(conv(grey, once), once)[2:-2, 2:-2]",
         "conv(grey, np.outer([1, 2, 3, 2, 1], [1, 2, 3, 2, 1]) / 81)[2:-2, 2:-2]"),
    step("linear", both("A convolution is linear; the median is not.", "卷积是线性的，中值不是。"),
         "x, y = (random.randint(0, 100, (8, 8)).astype(np.uint8) for _ in range(2))\n"
         "np.array_equal(cv2.medianBlur(x + y, 3), cv2.medianBlur(x, 3) + cv2.medianBlur(y, 3))", "False"),
    step("half", both("A pyramid halves, rounded up.", "金字塔每层减半，向上取整。"),
         "cv2.pyrDown(grey[:11, :15]).shape", "(6, 8)"),
    step("dft", both("OpenCV's spectrum has real and imaginary parts as channels.",
                     "OpenCV 的频谱把实部与虚部放在两个通道。"),
         "f = cv2.dft(grey.astype(np.float64), flags=cv2.DFT_COMPLEX_OUTPUT)\nf[..., 0] + 1j * f[..., 1]",
         "np.fft.fft2(grey)"),
    step("mean", both("Frequency 0 is the sum of all pixels.", "零频就是所有像素之和。"),
         "np.fft.fft2(grey)[0, 0].real", "float(grey.sum())"),
    step("theorem", both("Smoothing is a product of spectra, where the border goes round.",
                         "平滑等于频谱相乘（边界循环时）。"),
         "kernel = np.zeros((12, 16))\nkernel[:3, :3] = 1 / 9\n"
         "np.fft.ifft2(np.fft.fft2(grey) * np.fft.fft2(kernel)).real[2:, 2:]",
         "conv(grey, np.ones((3, 3)) / 9)[1:-1, 1:-1]"),
    step("low-and-high", both("Low-pass and high-pass are the image together: 1 minus a blur is a high-pass.",
                              "低通加高通等于原图：原图减去模糊就是高通。"),
         "kernel = np.zeros((3, 3))\nkernel[1, 1] = 1\n"
         "conv(grey, np.ones((3, 3)) / 9) + conv(grey, kernel - np.ones((3, 3)) / 9)",
         "grey.astype(np.float64)"),
    step("box-lets-through", both("A box is a poor low-pass: waves of two pixels come through it turned over ...",
                                  "均值滤波并非理想低通：周期两像素的波仍能通过，且反相……"),
         "wave = np.tile([90.0, 110.0], (6, 6))\nconv(wave, np.ones((3, 3)) / 9)[3]", "100 - (wave[3] - 100) / 3"),
    step("gaussian-stops", both("... while the weights 1 2 1 stop them.", "……而权重 1 2 1 能完全滤掉它。"),
         "wave = np.tile([90.0, 110.0], (6, 6))\nconv(wave, [[0.25, 0.5, 0.25]])[3]", "[100.0] * 12"),
))  # fmt: skip
