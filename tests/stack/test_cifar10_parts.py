"""The parts of the lab cifar10 against the libraries and definitions that they follow, and training held at any step."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from labkit.runs import compat
from labs.cifar10 import augment, augmix, backbones, lab, optimizers, results
from labs.cifar10 import config as lab_config

CPU = torch.device("cpu")
GREY = torch.tensor([120, 130, 140], dtype=torch.uint8)


def noise(count: int, side: int = 32, seed: int = 0) -> torch.Tensor:
    """uint8 (count, side, side, 3)."""
    return torch.from_numpy(np.random.RandomState(seed).randint(0, 256, (count, side, side, 3), dtype=np.uint8))


def scenes(count: int) -> torch.Tensor:
    """Smooth images of different contrast, uint8 (count, 32, 32, 3)."""
    rng = np.random.RandomState(1)
    made = [cv2.resize(rng.randint(40 * (k % 3), 256 - 50 * (k % 2), (5, 5, 3), dtype=np.uint8), (32, 32),
                       interpolation=cv2.INTER_CUBIC) for k in range(count)]  # fmt: skip
    return torch.from_numpy(np.stack(made))


def chances(count: int, draws: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(count, draws, generator=torch.Generator().manual_seed(seed))


# ---- augmentation ----


@pytest.mark.parametrize("kind", [name for name in augment.DRAWS if name not in ("mixup", "cutmix")])
@pytest.mark.parametrize("side", [16, 32])
def test_an_image_of_a_batch_is_changed_as_if_it_were_alone(kind: str, side: int) -> None:
    pixels, labels = noise(40, side), torch.arange(40)
    u = chances(40, augment.draws((kind,)))
    got = augment.change(pixels, labels, (kind,), u, GREY)
    assert got.pixels.dtype == torch.uint8 and got.pixels.shape == pixels.shape
    assert torch.equal(got.labels, labels) and torch.equal(got.others, labels) and bool((got.weight == 1).all())
    assert all(not torch.equal(got.pixels[i], pixels[i]) for i in range(40)) or kind == "augmix"
    for i in (0, 7, 39):
        alone = augment.change(pixels[i : i + 1], labels[i : i + 1], (kind,), u[i : i + 1], GREY)
        assert (alone.pixels[0].int() - got.pixels[i].int()).abs().max() <= 1  # the order of sums may differ


def test_colour_is_what_torchvision_does_with_an_image_of_pillow() -> None:
    from PIL import Image
    from torchvision.transforms import functional

    pixels, u = scenes(12), chances(12, 3)
    got = augment.colour(pixels, u)
    for i in range(12):
        image = Image.fromarray(pixels[i].numpy())
        for name, chance in zip(("brightness", "contrast", "saturation"), u[i].tolist()):
            image = getattr(functional, f"adjust_{name}")(image, 0.6 + 0.8 * chance)
        assert np.abs(np.array(image).astype(int) - got[i].numpy()).max() <= 3  # Pillow rounds after every step


def test_turning_is_what_opencv_does() -> None:
    pixels, u = scenes(6), torch.tensor([[0.0], [0.2], [0.5], [0.7], [0.9], [1.0]])
    got = augment.rotation(pixels, u)
    assert torch.equal(got[2], pixels[2])  # by no degrees
    for i in range(6):
        angle = math.radians(15) * (2 * float(u[i]) - 1)
        sin, cos = math.sin(angle), math.cos(angle)
        middle = np.array([15.5, 15.5])
        shift = middle - np.array([[cos, -sin], [sin, cos]]) @ middle
        matrix = np.array([[cos, -sin, shift[0]], [sin, cos, shift[1]]])
        expected = cv2.warpAffine(pixels[i].numpy(), matrix, (32, 32), borderMode=cv2.BORDER_REFLECT,
                                  flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)  # fmt: skip
        assert np.abs(expected.astype(int) - got[i].numpy()).max() <= 4  # OpenCV counts in 32nds of a pixel


def test_tones_are_those_of_pillow() -> None:
    from PIL import Image, ImageOps

    pixels = torch.cat([scenes(8), noise(4), torch.full((1, 32, 32, 3), 9, dtype=torch.uint8)])
    amount = torch.tensor([0.0, 0.25, 0.5, 0.75, 0.9, 0.99] + 7 * [0.3])
    got = {tone.__name__: tone(pixels, amount) for tone in augmix.TONES}
    for i, chance in enumerate(amount.tolist()):
        image = Image.fromarray(pixels[i].numpy())
        expected = {
            "autocontrast": ImageOps.autocontrast(image),
            "equalise": ImageOps.equalize(image),
            "posterise": ImageOps.posterize(image, 4 if chance < 5 / 6 else 3),
            "solarise": ImageOps.solarize(image, math.ceil(256 * (1 - 0.3 * chance))),
        }
        for name, result in expected.items():
            assert np.array_equal(np.array(result), got[name][i].numpy()), (name, i)


def test_histograms_are_counted_row_by_row() -> None:
    counts = augmix.histograms(torch.tensor([[0, 2, 2, 1, 2], [255, 255, 7, 7, 7]]))
    assert counts.shape == (2, 256) and counts.sum(dim=1).tolist() == [5, 5]
    assert counts[0, :4].tolist() == [1, 1, 3, 0] and counts[1, [7, 255]].tolist() == [3, 2]


def test_random_numbers_are_found_by_name() -> None:
    own = augment.by_name(torch.tensor([[0.1, 0.2, 0.3, 0.4]]), ("rotation", "cutout"))
    assert {name: columns.tolist() for name, columns in own.items()} == {
        name: torch.tensor([row]).tolist() for name, row in (("rotation", [0.1]), ("cutout", [0.2, 0.3]), ("coin", [0.4]))
    }
    every = tuple(augment.DRAWS)
    widths = {name: columns.shape[1] for name, columns in augment.by_name(chances(2, augment.draws(every)), every).items()}
    assert widths == {**augment.DRAWS, "coin": 1}
    chance = augmix.named(torch.arange(25).expand(4, 25))
    assert all(len(columns) == 4 for columns in chance)
    assert [columns[0].tolist() for columns in chance] == [
        [0, 1, 2], 3, [4, 11, 18], [[5, 6, 7], [12, 13, 14], [19, 20, 21]], [[8, 9, 10], [15, 16, 17], [22, 23, 24]],
    ]  # fmt: skip


def test_an_image_whose_chain_has_ended_is_left_as_it_is() -> None:
    pixels = noise(augmix.OPERATIONS + 1) // 5 * 4 + 20  # 20 to 224: autocontrast leaves alone what is 0 to 255
    numbers = torch.tensor([*range(augmix.OPERATIONS), augmix.ENDED])
    done = augmix.operate(pixels, numbers, torch.full((len(numbers),), 0.9))
    assert [not torch.equal(new, old) for new, old in zip(done, pixels)] == (numbers != augmix.ENDED).tolist()


def test_augmix_is_the_mixture_written_out() -> None:
    """One image through a plain loop over its chains, with the operations of the lab."""
    pixels, u = scenes(5), chances(5, 25, seed=3)
    got = augmix.augmix(pixels, u)
    for i in range(5):
        draws = u[i].double()
        weights = -draws[:3].log() / (-draws[:3].log()).sum()
        mixture = torch.zeros(32, 32, 3, dtype=torch.float64)
        for chain in range(3):
            depth, *rest = draws[4 + 7 * chain : 11 + 7 * chain].tolist()
            version = pixels[i : i + 1]
            for k in range(1 + int(3 * depth)):
                number = torch.tensor([int(9 * rest[k])])
                version = augmix.operate(version, number, torch.tensor([rest[3 + k]]))
            mixture += weights[chain] * version[0].double()
        expected = draws[3] * pixels[i].double() + (1 - draws[3]) * mixture
        assert (expected - got[i].double()).abs().max() < 0.51
    assert not torch.equal(got, pixels)


def test_cutout_hides_a_square_of_the_mean_colour_cut_off_at_the_border() -> None:
    u = torch.tensor([[0.5, 0.5], [0.0, 0.0], [0.999, 0.5]])
    got = augment.cutout(torch.zeros(3, 32, 32, 3, dtype=torch.uint8), u, GREY)
    hidden = (got == GREY).all(dim=3)
    assert hidden.sum(dim=(1, 2)).tolist() == [64, 16, 32]
    assert bool(hidden[0, 12:20, 12:20].all()) and bool(hidden[1, :4, :4].all()) and bool(hidden[2, 28:, 12:20].all())


@pytest.mark.parametrize("chosen", [("mixup",), ("cutmix",), ("mixup", "cutmix")])
def test_the_labels_weigh_as_much_as_the_images_that_they_name(chosen: tuple[str, ...]) -> None:
    """The first half of the batch is black and named 0, the second white and named 1."""
    pixels = torch.cat([torch.zeros(50, 32, 32, 3), torch.full((50, 32, 32, 3), 255.0)]).byte()
    labels = torch.arange(100) // 50
    got = augment.change(pixels, labels, chosen, chances(100, augment.draws(chosen)), GREY)
    assert torch.equal(got.labels, labels) and torch.equal(got.others, 1 - labels)
    white = torch.where(labels == 1, got.weight, 1 - got.weight)
    assert (got.pixels.float().mean(dim=(1, 2, 3)) / 255 - white).abs().max() < 0.003  # of rounding to 0..255
    assert 0 < got.weight.min() < 0.5 and 0.9 < got.weight.max() < 1.01
    whole = (got.pixels == got.pixels[:, :1, :1]).flatten(1).all(dim=1)  # mixup keeps a plain image plain
    assert (chosen == ("mixup",)) == bool(whole.all())
    if len(chosen) == 2:
        assert 25 < int(whole.sum()) < 75


def test_an_epoch_is_the_same_however_it_is_cut_into_batches() -> None:
    source = augment.Source(noise(60), torch.arange(60), 2, lab_config.augmentations("augmix,colour+cutout,rotation"), CPU)
    plan = augment.plan_epoch(60, 2, seed=5, epoch=3, draws=augment.draws(source.chosen))
    whole = source.batch(plan, slice(60))
    parts = [source.batch(plan, slice(start, start + 20)) for start in (0, 20, 40)]
    assert (torch.cat([part.pixels for part in parts]).int() - whole.pixels.int()).abs().max() <= 1
    assert torch.equal(torch.cat([part.labels for part in parts]), plan.order)
    assert not augment.plan_epoch(60, 2, seed=5, epoch=3, flip=False).flip.any()


# ---- backbones ----


def weights_of(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def test_backbones_are_the_known_networks() -> None:
    """Against torchvision's, less what differs for small images, and against what kuangliu/pytorch-cifar counts."""
    from torchvision import models

    made = {name: make(10) for name, make in backbones.BACKBONES.items()}
    assert weights_of(made["mobilenetv2"]) == weights_of(models.mobilenet_v2(num_classes=10)) == 2_236_682
    assert weights_of(made["resnet18"]) == weights_of(models.resnet18(num_classes=10)) - 64 * 3 * (49 - 9) == 11_173_962
    biases = sum(layer.out_channels for layer in made["vgg16"].modules() if isinstance(layer, nn.Conv2d))
    assert weights_of(made["vgg16"]) + biases == weights_of(models.vgg16_bn().features) + 5130 == 14_728_266
    biases = sum(layer.out_channels for layer in made["googlenet"].modules() if isinstance(layer, nn.Conv2d))
    assert weights_of(made["googlenet"]) + biases == 6_166_250
    # Hu et al. (2018), equation 5: 2 / r * sum of N * C^2, here r = 16 and N = 2, and their biases.
    attention = sum(2 * (2 * c * c // 16 + c + c // 16) for c in (64, 128, 256, 512))
    assert weights_of(made["seresnet18"]) == weights_of(made["resnet18"]) + attention


@pytest.mark.parametrize(("name", "macs"), [
    ("vgg16", 313), ("resnet18", 555), ("googlenet", 1522), ("mobilenetv2", 88), ("seresnet18", 556)])  # fmt: skip
def test_backbones_cost_what_is_known_and_take_both_sizes(name: str, macs: int) -> None:
    """Published for these forms: VGG16 0.31, ResNet18 0.56 and GoogLeNet 1.52 billion multiply-adds."""
    network = backbones.BACKBONES[name](100)
    assert round(backbones.costs(network, torch.randn(1, 3, 32, 32))[1] / 1e6) == macs
    assert network(torch.randn(2, 3, 24, 24)).shape == (2, 100)
    network(torch.randn(2, 3, 32, 32)).sum().backward()
    assert all(p.grad is not None for p in network.parameters())


def test_multiply_adds_are_counted_as_torchvision_publishes_them() -> None:
    from torchvision import models

    for make, parameters, macs in ((models.resnet18, 11_689_512, 1.814), (models.mobilenet_v2, 3_504_872, 0.301)):
        found = backbones.costs(make(), torch.randn(1, 3, 224, 224))
        assert found[0] == parameters and round(found[1] / 1e9, 3) == macs


def test_attention_weighs_channels_by_the_image() -> None:
    torch.manual_seed(0)
    layer, x = backbones.SqueezeExcite(64), 0.1 * torch.rand(4, 64, 5, 5) + 9 * torch.randn(4, 64, 1, 1)
    ratio = (layer(x) / x).detach()
    assert torch.allclose(ratio, ratio[:, :, :1, :1].expand_as(ratio), atol=1e-3)  # one weight for a channel
    assert ratio.min() > 0 and ratio.max() < 1 and not torch.allclose(ratio[0], ratio[1])


def test_dropout_is_before_the_last_layer_and_in_training_alone() -> None:
    config = lab.Config(width=4, dropout=0.5)
    network = lab.build_model(config, 10)
    lab.measure_inputs(network, noise(50))
    assert isinstance(network[1].head[0], nn.Dropout) and isinstance(network[1].head[1], nn.Linear)
    assert not torch.equal(network(noise(4)), network(noise(4)))
    network.eval()
    assert torch.equal(network(noise(4)), network(noise(4)))


# ---- optimizers and schedules ----


@pytest.mark.parametrize("name", list(lab_config.OPTIMIZERS))
def test_optimizers_are_what_they_are_called_and_know_weight_decay(name: str) -> None:
    known = {"sgd": "SGD", "momentum": "SGD", "nag": "SGD", "adagrad": "Adagrad", "rmsprop": "RMSprop", "adam": "Adam",
             "adadelta": "Adadelta", "muon": "Muon"}  # fmt: skip
    made = optimizers.make_optimizers(lab.build_model(lab.Config(width=2), 10), lab.Config(optimizer=name, l2=0.01))
    assert type(made[0]).__name__ == known[name]
    assert made[0].param_groups[0]["lr"] == lab_config.OPTIMIZERS[name]
    assert all(group["weight_decay"] == 0.01 for group in made[-1].param_groups)
    if known[name] == "SGD":
        group = made[0].param_groups[0]
        assert (group["momentum"], group["nesterov"]) == (0.9 if name != "sgd" else 0, name == "nag")


def test_the_penalty_is_the_sum_of_absolute_weights_without_biases_and_scales() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 5))
    expected = sum(abs(v) for layer in (network[0], network[3]) for v in layer.weight.flatten().tolist())
    assert float(optimizers.penalty(network).detach()) == pytest.approx(expected, rel=1e-5)


def rates(schedule: str, optimizer: str = "sgd", accuracies: Any = (0.0,) * 5) -> np.ndarray:
    """The learning rates of 5 epochs of 4 steps, for every optimizer and group: (20, groups)."""
    config = lab.Config(optimizer=optimizer, schedule=schedule, epochs=5, lr=1.0, gamma=0.5, hold_out=1)
    made = optimizers.make_optimizers(lab.build_model(lab.Config(width=2), 10), config)
    plan, found = optimizers.Schedule(made, config, steps_per_epoch=4), []
    for step in range(20):
        found.append([group["lr"] for one in made for group in one.param_groups])
        for one in made:
            for group in one.param_groups:
                for p in group["params"]:
                    p.grad = torch.zeros_like(p)
            one.step()
        plan.after_step()
        if step % 4 == 3:
            plan.after_epoch(accuracies[step // 4])
    return np.array(found)


def test_schedules_are_their_formulas() -> None:
    step = np.arange(20)
    expected = {
        "constant": np.ones(20),
        "linear": 1 - step / 20,
        "exponential": 0.5 ** (step // 4),
        "cosine": (1 + np.cos(np.pi * step / 20)) / 2,
        "cyclic": 0.1 + 0.9 * (1 - np.abs(step % 8 - 4) / 4),
    }
    for name, factors in expected.items():
        assert rates(name)[:, 0] == pytest.approx(factors), name
        both = rates(name, "muon")
        assert both / both[0] == pytest.approx(np.outer(factors / factors[0], np.ones(both.shape[1]))), name
    found = rates("onecycle")[:, 0]
    assert found[0] == pytest.approx(1 / 25) and found.argmax() == 5 and found[5] == pytest.approx(1)
    assert bool((np.diff(found[5:]) < 0).all()) and found[-1] < 1e-4
    found = rates("plateau", accuracies=[0.5, 0.6, 0.6, 0.6, 0.7])[::4, 0]
    assert found == pytest.approx([1, 1, 1, 1, 0.5])  # one epoch without a better accuracy passes, the second does not


class Held(Exception):
    """Raised in the middle of a training, as a signal would."""


class Desk:
    """Stands for the run in `lab.train`: keeps what is logged, and holds the training at one step, if asked to."""

    device, seed = CPU, 0

    def __init__(self, hold_at: int = -1) -> None:
        self.hold_at, self.logged, self.epochs = hold_at, [], []
        self.state: Any = None

    def progress(self, total: int, start: int = 0, unit: str = "img") -> Any:
        return self

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass

    def advance(self, count: int, where: str = "", **shown: float) -> None:
        self.shown = {"where": where, **shown}

    def in_epochs(self, steps: int) -> None:
        pass

    def part_of(self, batch: slice) -> slice:
        return batch

    def average(self, tensors: Any) -> None:
        pass

    def log(self, step: int, **scalars: float) -> None:
        self.logged.append((step, scalars))

    def time(self, step: int, **measured: float) -> None:
        pass

    def checkpoint(self, step: int, make_state: Any, last: bool = False) -> None:
        if step == self.hold_at or last or step % 4 == 0:
            content = io.BytesIO()
            torch.save({"state": make_state(), "rng": torch.get_rng_state()}, content)
            self.state = content.getvalue()
        if step % 4 == 0 and len(self.epochs) < step // 4:
            self.epochs.append(self.state)
        if step == self.hold_at and not last:
            raise Held


def read_state(content: bytes, folder: Path) -> dict[str, Any]:
    path = folder / "state.pt"
    path.write_bytes(content)
    return compat.load(path)  # type: ignore[no-any-return]


def train_here(config: lab.Config, folder: Path, desk: Desk, state: bytes = b"") -> tuple[nn.Module, Any]:
    """`lab.train` on 200 images in batches of 50, from `state` where there is one: (network, what it returned)."""
    everything = lab.Images(scenes(40).repeat(6, 1, 1, 1), torch.arange(240) % 10)
    data, checks = everything[:200], {"test": everything[200:], "holdout": everything[150:190]}
    variant = lab_config.Variant("", config, 0)
    saved = read_state(state, folder) if state else None
    if saved:
        torch.set_rng_state(saved["rng"])
    network = lab.prepare(variant, data, ["c"] * 10, desk, fresh=saved is None)
    return network, lab.train(network, data, checks, variant, desk, saved["state"] if saved else None, {})


CASES = [
    *({"optimizer": name, "schedule": "linear"} for name in lab_config.OPTIMIZERS),
    *({"optimizer": "nag", "schedule": schedule} for schedule in lab_config.SCHEDULES if schedule != "linear"),
    {"optimizer": "muon", "schedule": "plateau", "patience": 0},
    {"optimizer": "adam", "l1": 1e-4, "l2": 1e-3, "dropout": 0.3, "augment": "rotation,colour,augmix,cutout,mixup,cutmix"},
    {"optimizer": "rmsprop", "schedule": "plateau", "patience": 0, "dropout": 0.1, "early_stop": 2},
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(str(value) for value in case.values()))
@pytest.mark.slow
def test_training_repeats_and_goes_on_to_the_last_bit(case: dict[str, Any], tmp_path: Path) -> None:
    """Held in the middle, which also repeats the first half, and gone on with by another process's random state."""
    config = lab.Config(width=1, epochs=4, small_epochs=1, batch_size=50, hold_out=40, **case)
    whole = Desk()
    network, result = train_here(config, tmp_path, whole)
    assert len(whole.logged) >= 3
    held = Desk(hold_at=6)  # in the middle of the second epoch
    with pytest.raises(Held):
        train_here(config, tmp_path, held)
    torch.manual_seed(99)
    later = Desk()
    resumed, result_later = train_here(config, tmp_path, later, held.state)
    assert held.logged + later.logged == whole.logged and result_later["curve"] == result["curve"]
    for (name, one), two in zip(network.state_dict().items(), resumed.state_dict().values()):
        assert torch.equal(one, two), name


def test_early_stop_takes_the_best_network_and_stops_in_time(tmp_path: Path) -> None:
    desk = Desk()
    config = lab.Config(width=1, epochs=40, small_epochs=0, batch_size=50, hold_out=40, optimizer="adam", lr=0.05,
                        schedule="constant", early_stop=3)  # fmt: skip
    network, result = train_here(config, tmp_path, desk)
    curve = result["curve"]
    best = int(np.argmax(curve))
    assert len(curve) == best + 1 + 3 < 40 and result["steps"] == 4 * len(curve)
    expected = read_state(desk.epochs[best], tmp_path)["state"]["model"]
    assert all(torch.equal(value, expected[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize(("small_epochs", "side"), [(0, 32), (3, 16)])
def test_images_are_judged_at_the_size_that_is_being_learned(small_epochs: int, side: int, tmp_path: Path) -> None:
    config = lab.Config(width=2, epochs=3, small_epochs=small_epochs, small_size=16, batch_size=50, hold_out=40)
    network, result = train_here(config, tmp_path, Desk())
    pixels, labels = scenes(40).repeat(6, 1, 1, 1)[150:190], (torch.arange(240) % 10)[150:190]

    def accuracy(size: int) -> float:
        return lab.accuracy(lab.classify(network, augment.shrink(pixels, size), Desk().device, mirror=False), labels)

    assert result["curve"][-1] == accuracy(side) != accuracy(48 - side)


# ---- measures ----


def test_measures_are_their_definitions() -> None:
    rng = np.random.RandomState(0)
    labels = rng.randint(0, 4, 200)
    p = rng.dirichlet(np.ones(4), 200) + 0.7 * np.eye(4)[labels] * rng.rand(200, 1)
    p = (p / p.sum(axis=1, keepdims=True)).astype(np.float32)
    found, guessed = results.by_class(labels, p), p.argmax(axis=1)
    for k in range(4):
        tp, fp = ((guessed == k) & (labels == k)).sum(), ((guessed == k) & (labels != k)).sum()
        fn, tn = ((guessed != k) & (labels == k)).sum(), ((guessed != k) & (labels != k)).sum()
        assert found["precision"][k] == pytest.approx(tp / (tp + fp))
        assert found["recall"][k] == pytest.approx(tp / (tp + fn))
        assert found["specificity"][k] == pytest.approx(tn / (tn + fp))
        assert found["f1"][k] == pytest.approx(2 * tp / (2 * tp + fp + fn)) and found["images"][k] == tp + fn
        members, others = p[labels == k, k], p[labels != k, k]
        assert found["auc"][k] == pytest.approx((members[:, None] > others).mean(), abs=1e-3)  # a member ranks higher
        ranked = (labels == k)[np.argsort(-p[:, k], kind="stable")]
        precision_at = ranked.cumsum() / np.arange(1, 201)
        assert found["average_precision"][k] == pytest.approx(precision_at[ranked].mean(), abs=1e-3)


def test_a_class_without_images_has_no_curve_and_spoils_nothing() -> None:
    p = np.eye(3, dtype=np.float32)[[0, 1, 0, 1]]
    found = results.by_class(np.array([0, 1, 0, 1]), p)
    assert np.isnan(found["auc"][2]) and found["auc"][:2].tolist() == [1, 1] and found["images"].tolist() == [2, 2, 0]


def test_top_five_counts_the_right_class_among_the_five_likeliest() -> None:
    p = np.tile(np.arange(20, 0, -1, dtype=np.float32), (4, 1))
    found = results.summary(p / p.sum(axis=1, keepdims=True), np.array([0, 4, 5, 19]))
    assert found == {"accuracy": 0.25, "top5_accuracy": 0.5}
    assert "top5_accuracy" not in results.summary(np.eye(10, dtype=np.float32), np.arange(10))


# ---- what is compared ----


def test_variants_differ_in_what_is_compared_alone() -> None:
    config = lab.Config(compare="optimizer=sgd, nag,adam,nag", epochs=2)
    found = lab_config.variants(config, seed=4)
    assert [(one.label, one.config.optimizer, one.seed) for one in found] == [
        (name, name, 4) for name in ("sgd", "nag", "adam")]  # fmt: skip
    assert {one.config.epochs for one in found} == {2}
    assert [one.seed for one in lab_config.variants(lab.Config(compare="seed=1,2"), seed=0)] == [1, 2]
    assert [one.config.flip for one in lab_config.variants(lab.Config(compare="flip=on,off"), seed=0)] == [True, False]
    assert [one.config.label_smoothing for one in lab_config.variants(lab.Config(compare="label-smoothing=0,0.2"), 0)] == [
        0, 0.2]  # fmt: skip
    assert [one.label for one in lab_config.variants(lab.Config(), seed=0)] == [""]
