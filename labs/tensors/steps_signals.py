"""Sections 30 and 31: spectra, saving, threads, devices, NumPy."""

from __future__ import annotations

from labkit.base.language import both
from labkit.runs.steps import Group, step

# PyTorch 1.5 has no complex numbers: the last dimension holds real and imaginary part.
TONES = """\
t = torch.arange(128).double() / 128
x = torch.sin(2 * math.pi * 5 * t) + 0.5 * torch.sin(2 * math.pi * 20 * t)
"""
SHORT = "x = torch.tensor([0.0, 1.0, 2.0, 3.0, 4.0, 5.0], dtype=torch.float64)\n"
POWERS = "size = spectrum.pow(2).sum(-1).sqrt()\n"

GROUPS = (
    Group("30", both("Spectra", "频谱操作"), (
        step("fft", both("As its definition says: sums of x times turning arrows.", "傅里叶变换，与定义式一致。"),
             SHORT + "torch.view_as_real(torch.fft.fft(x))",
             "[[sum(v * math.cos(2 * math.pi * k * n / 6) for n, v in enumerate(x.tolist())), "
             "-sum(v * math.sin(2 * math.pi * k * n / 6) for n, v in enumerate(x.tolist()))] for k in range(6)]",
             then=SHORT + "torch.fft(torch.stack([x, torch.zeros(6).double()], -1), 1)"),
        step("ifft", both("There and back.", "正变换再逆变换，回到原信号。"),
             SHORT + "torch.fft.ifft(torch.fft.fft(x)).real", "x",
             then=SHORT + "torch.ifft(torch.fft(torch.stack([x, torch.zeros(6).double()], -1), 1), 1)[:, 0]"),
        step("rfft", both("Of a real signal half is enough: n/2 + 1 numbers.", "实信号只需一半：n/2 + 1 个。"),
             SHORT + "torch.view_as_real(torch.fft.rfft(x))",
             "np.stack([np.fft.rfft(x).real, np.fft.rfft(x).imag], -1)",
             then=SHORT + "torch.rfft(x, 1)"),
        step("irfft", both("Back from the half.", "由一半恢复。"),
             SHORT + "torch.fft.irfft(torch.fft.rfft(x), n=6)", "x",
             then=SHORT + "torch.irfft(torch.rfft(x, 1), 1, signal_sizes=(6,))"),
        step("tones", both("Two tones in, two tones found: 5 and 20.", "放入两个频率，找到两个频率：5 和 20。"),
             TONES + "spectrum = torch.view_as_real(torch.fft.rfft(x))\n" + POWERS + "sorted(size.topk(2)[1].tolist())",
             "[5, 20]",
             then=TONES + "spectrum = torch.rfft(x, 1)\n" + POWERS + "sorted(size.topk(2)[1].tolist())"),
        step("loudness", both("How loud: the size of a peak is amplitude times n/2.", "振幅：峰值 = 振幅 × n/2。"),
             TONES + "spectrum = torch.view_as_real(torch.fft.rfft(x))\n" + POWERS + "size[[5, 20]] / 64", "[1.0, 0.5]",
             then=TONES + "spectrum = torch.rfft(x, 1)\n" + POWERS + "size[[5, 20]] / 64"),
        step("parseval",
             both("Parseval: the energy is the same in time and in frequency.", "帕塞瓦尔定理：时域与频域能量相等。"),
             SHORT + "torch.view_as_real(torch.fft.fft(x)).pow(2).sum() / 6", "(x ** 2).sum()",
             then=SHORT + "torch.fft(torch.stack([x, torch.zeros(6).double()], -1), 1).pow(2).sum() / 6"),
        step("convolution", both("A product of spectra is a convolution round a circle.", "频谱相乘即循环卷积。"),
             SHORT + "y = x.flip(0)\ntorch.fft.irfft(torch.fft.rfft(x) * torch.fft.rfft(y), n=6)",
             "[sum(float(x[k] * y[(n - k) % 6]) for k in range(6)) for n in range(6)]",
             then=SHORT + "y = x.flip(0)\na, b = torch.rfft(x, 1), torch.rfft(y, 1)\n"
             "both = torch.stack([a[:, 0] * b[:, 0] - a[:, 1] * b[:, 1], a[:, 0] * b[:, 1] + a[:, 1] * b[:, 0]], -1)\n"
             "torch.irfft(both, 1, signal_sizes=(6,))"),
        step("stft",
             both("Short pieces, each with its spectrum: frequencies by time.",
                  "短时傅里叶变换：逐段求频谱，得到“频率 × 时间”。"),
             TONES + "window = torch.ones(16).double()\n"
             "s = torch.view_as_real(torch.stft(x, 16, hop_length=16, window=window, center=False, "
             "return_complex=True))\n"
             "(tuple(s.shape), s[..., 0])",
             "((9, 8, 2), np.stack([np.fft.rfft(p).real for p in x.numpy().reshape(8, 16)], -1))",
             then=TONES + "window = torch.ones(16).double()\ns = torch.stft(x, 16, hop_length=16, window=window, "
                          "center=False)\n"
             "(tuple(s.shape), s[..., 0])"),
    )),
    Group("31", both("Saving and loading", "保存与加载"), (
        step("save", both("Saved and loaded: the same bytes.", "保存再加载：逐字节相同。"),
             "x, file = torch.rand(3), io.BytesIO()\ntorch.save(x, file)\nfile.seek(0)\n"
             "torch.load(file).numpy().tobytes()", "x.numpy().tobytes()"),
        step("save-dict", both("A dict of tensors keeps names and types.", "字典：名字与类型都保留。"),
             "state, file = {'w': torch.ones(2), 'n': torch.tensor(3)}, io.BytesIO()\ntorch.save(state, file)\n"
             "file.seek(0)\n"
             "back = torch.load(file)\n[(name, back[name].dtype, back[name].tolist()) for name in sorted(back)]",
             "[('n', torch.int64, 3), ('w', torch.float32, [1.0, 1.0])]"),
        step("save-model",
             both("A model by its state_dict: another one of that shape then says the same.",
                  "模型按 state_dict 保存：装入同样结构的模型后输出一致。"),
             "a, b, file = torch.nn.Linear(3, 2), torch.nn.Linear(3, 2), io.BytesIO()\ntorch.save(a.state_dict(), "
             "file)\nfile.seek(0)\n"
             "b.load_state_dict(torch.load(file))\nx = torch.rand(4, 3)\nb(x).detach()", "a(x).detach()"),
        step("save-view",
             both("A view is saved with all the memory that it looks at; a clone is not.",
                  "保存视图会连同整块内存一起保存；clone 之后则不会。"),
             "def size(x):\n    file = io.BytesIO()\n    torch.save(x, file)\n    return len(file.getvalue())\n"
             "x = torch.zeros(100000)\n(size(x[:2]) > 400000, size(x[:2].clone()) < 4000)", "(True, True)"),
    )),
    Group("31", both("Threads, devices, NumPy", "并行、GPU 与 numpy"), (
        step("threads",
             both("How many threads compute (the notes: get_num_threasd).",
                  "运算用几个线程（笔记拼写为 get_num_threasd，应为 threads）。"),
             "before = torch.get_num_threads()\ntorch.set_num_threads(1)\none = torch.get_num_threads()\n"
             "torch.set_num_threads(before)\n"
             "(one, torch.get_num_threads() == before)", "(1, True)"),
        step("threads-same", both("One thread or two: the same product.", "一个线程或两个线程，结果相同。"),
             "before = torch.get_num_threads()\na = torch.rand(64, 64)\ntorch.set_num_threads(2)\ntwo = a @ a\n"
             "torch.set_num_threads(1)\n"
             "one = a @ a\ntorch.set_num_threads(before)\ntwo", "one"),
        step("data-parallel",
             both("Several GPUs: DataParallel wraps a model; where there is none, it is the model itself.",
                                   "单机多卡：DataParallel 包住模型；没有 GPU 时就是模型本身。"),
             "model = torch.nn.Linear(3, 2)\nx = torch.rand(4, 3)\ndevice = 'cuda' if torch.cuda.is_available() else "
             "'cpu'\n"
             "model = model.to(device)\ntorch.nn.DataParallel(model)(x.to(device)).detach().cpu()",
             "model(x.to(device)).detach().cpu()"),
        step("to", both("To a device and back: the numbers are the same.", "在设备之间来回移动：数值不变。"),
             "device = torch.device('cuda' if torch.cuda.is_available() else 'cpu')\nx = torch.rand(3)\n"
             "x.to(device).to('cpu')", "x"),
        step("to-same", both("Where it is there already, to() copies nothing.", "已在目标设备上时，to() 不复制。"),
             "x = torch.rand(3)\nx.to('cpu') is x", "True"),
        step("default-type",
             both("The type of new numbers can be set, and should be set back.", "默认类型可以设置，用完应恢复。"),
             "torch.set_default_dtype(torch.float64)\nkind = torch.tensor(1.0).dtype\n"
             "torch.set_default_dtype(torch.float32)\n"
             "(kind, torch.tensor(1.0).dtype)", "(torch.float64, torch.float32)"),
        step("from-numpy",
             both("from_numpy shares the memory: write to one, see it in the other.",
                  "from_numpy 共享内存：改一个，另一个也变。"),
             "a = np.zeros(2)\nx = torch.from_numpy(a)\na[0] = 5\nx", "[5.0, 0.0]"),
        step("to-numpy", both("So does numpy().", "numpy() 也共享内存。"),
             "x = torch.zeros(2)\na = x.numpy()\nx[1] = 3\na", "np.array([0.0, 3.0], dtype='f4')"),
        step("numpy-copy", both("torch.tensor copies.", "torch.tensor 则是复制。"),
             "a = np.zeros(2)\nx = torch.tensor(a)\na[0] = 5\nx", "[0.0, 0.0]"),
        step("numpy-type",
             both("The type comes along: float64, which layers of float32 refuse.",
                  "类型原样带来：float64，与 float32 的层不匹配。"),
             "torch.nn.Linear(2, 1)(torch.from_numpy(np.zeros((1, 2))))", "'RuntimeError'"),
        step("numpy-reversed", both("Negative strides are refused: copy first.", "不接受负 stride：先复制。"),
             "a = np.arange(3)[::-1]\ntorch.from_numpy(a)", "'ValueError'"),
        step("numpy-grad", both("What learns must be detached first.", "需要梯度的张量要先 detach。"),
             "torch.ones(2, requires_grad=True).numpy()", "'RuntimeError'"),
    )),
)  # fmt: skip
