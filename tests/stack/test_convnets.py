"""The lab convnets: its steps, layers by hand, fields and costs of all networks, the race and what it leaves."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
import torchvision
from labruns import assert_resumes_exactly, newest, run_here, summary
from PIL import Image
from torch import nn
from torch.nn import functional as F
from torchvision import ops

from labkit.runs import compat, steps
from labkit.runs.pixels import Normalise
from labs.convnets import (
    byhand,
    config,
    counting,
    fields,
    figures,
    lab,
    light,
    looking,
    measured,
    race,
    savings,
    skip,
    timing,
)
from labs.convnets.steps_convolutions import SETUP
from labs.convnets.ways import Gate, Shuffle, Sum
from labs.convnets.zoo import KINDS

STEPS = [one for group in lab.GROUPS for one in group.steps]
NAMES = list(KINDS)
RACE = ["--race", "--sample", "--networks", "lenet,squeezenet", "--steps", "8"]


def weights_of(network):
    return sum(weight.numel() for weight in network.parameters())


@pytest.mark.parametrize("one", STEPS, ids=lambda one: one.name)
def test_a_step_gives_what_it_must(one):
    steps.check(one, SETUP)


def test_names_are_their_own():
    assert len({one.name for one in STEPS}) == len(STEPS) == 96
    assert all(isinstance(one.name, str) and " " not in one.name and one.text.en and one.text.zh for one in STEPS)
    assert set(NAMES) == set(config.NAMES) and config.chosen("all") == config.NAMES


# ---- layers by hand ----


@pytest.mark.parametrize("seed", range(8))
def test_convolutions_by_hand_are_pytorchs(seed):
    random = np.random.RandomState(seed)
    groups, kernel, stride, padding, dilation = (int(random.randint(1, high)) for high in (4, 4, 4, 3, 3))
    torch.manual_seed(seed)
    x, weight = torch.randn(2, 2 * groups, 8, 9).double(), torch.randn(3 * groups, 2, kernel, kernel).double()
    asked = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    assert torch.allclose(byhand.conv2d(x, weight, **asked), F.conv2d(x, weight, **asked))
    whole = torch.randn(3, 2 * groups, kernel, kernel).double()
    assert torch.allclose(byhand.conv2d_matrix(x, whole, stride, padding), F.conv2d(x, whole, None, stride, padding))
    turned, cut = whole.transpose(0, 1), min(padding, (kernel - 1) // 2)
    made = byhand.conv_transpose2d(x, turned, stride, cut)
    assert torch.allclose(made, F.conv_transpose2d(x, turned, None, stride, cut))
    assert torch.allclose(byhand.max_pool2d(x, kernel, stride), F.max_pool2d(x, kernel, stride))
    assert torch.allclose(byhand.avg_pool2d(x, kernel, stride), F.avg_pool2d(x, kernel, stride))
    assert torch.equal(byhand.nearest(x, kernel), F.interpolate(x, scale_factor=kernel, mode="nearest"))


@pytest.mark.parametrize("seed", range(3))
def test_deformable_and_bilinear_by_hand_are_pytorchs(seed):
    torch.manual_seed(seed)
    x, offset, weight = torch.randn(2, 2, 4, 5), 3 * torch.randn(2, 18, 4, 5), torch.randn(3, 2, 3, 3)
    layer = ops.DeformConv2d(2, 3, 3, padding=1, bias=False)
    layer.weight.data = weight
    assert torch.allclose(byhand.deform_conv2d(x, offset, weight, 1), layer(x, offset), atol=1e-4)
    larger = F.interpolate(x, scale_factor=3, mode="bilinear", align_corners=False)
    assert torch.allclose(byhand.bilinear(x, 3), larger, atol=1e-5)


def test_focal_loss_is_cross_entropy_weighed():
    logits, target = torch.randn(6, 4), torch.randint(4, (6,))
    each = F.cross_entropy(logits, target, reduction="none")
    assert torch.allclose(byhand.focal(logits, target, 2), ((1 - torch.exp(-each)) ** 2 * each).mean(), atol=1e-6)


def test_what_a_layer_reads():
    found = {title: int((figures.reads(layer) > 1e-6).sum()) for title, layer in figures.kinds()}
    assert (found["3 x 3"], found["3 x 3, 2 groups"], found["depthwise 3 x 3"], found["1 x 1"]) == (36, 18, 9, 4)
    assert (found["3 x 3 twice"], found["3 x 3, dilation 2"], found["deformable 3 x 3"]) == (100, 36, 36)
    assert (found["max pooling 3 x 3"], found["batch norm, eval"], found["linear"]) == (1, 1, 196)
    assert found["2 groups, shuffle, 2 groups"] == 4 and found["batch norm, training"] >= 48


def test_checkerboards_come_where_the_stride_does_not_divide_the_kernel():
    even = {name: measure for name, (_, measure, _) in figures.checkerboards(seeds=2).items()}
    assert even["kernel 3, stride 2"] > 0.4 and even["kernel 5, stride 3"] > 0.4
    assert even["kernel 4, stride 2"] == even["kernel 6, stride 3"] == 0


# ---- networks: weights, MACs, fields ----


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("width", [1, 0.5])
def test_weights_and_macs_by_hand_are_those_that_are_counted(name, width):
    network, image = measured.built(name, width), torch.randn(1, 3, 32, 32)
    found = counting.by_hand(network, image)
    assert found.parameters == weights_of(network) and found.flops == 2 * found.macs
    if width == 1:
        assert found.macs == counting.by_fvcore(network, image)
    assert network(image).shape == (1, 10)


@pytest.mark.parametrize("name", NAMES)
def test_the_field_by_formula_is_that_of_the_gradient(name):
    layers = fields.features(KINDS[name].build(10, 0.5))
    assert fields.seen(layers) == fields.window(layers).size


def test_fields_that_are_known():
    sizes = {name: fields.window(layers).size for name, layers in fields.chains().items()}
    assert list(sizes.values()) == [7, 7, 15, 16, 195, 212]
    for name, layers in fields.chains().items():
        side = fields.side_for(sizes[name])
        ones = fields.gradient(fields.straight(layers), torch.ones(1, 1, side, side, dtype=torch.float64))
        assert fields.extent(ones.sum(dim=0)) == fields.extent(ones.sum(dim=1)) == sizes[name]
        assert max(fields.shares(layers, 2)) <= 1
    with pytest.raises(ValueError, match="Linear has no window"):
        fields.window(nn.Linear(2, 2))


def of_torchvision(name, **more):
    return weights_of(getattr(torchvision.models, name)(**more))


def test_with_a_thousand_classes_the_weights_are_torchvisions():
    stem = 3 * 64 * (7 * 7 - 3 * 3)  # ImageNet's first convolution has 7 x 7
    assert weights_of(KINDS["mobilenetv2"].build(1000)) == of_torchvision("mobilenet_v2")
    assert weights_of(KINDS["shufflenetv2"].build(1000)) == of_torchvision("shufflenet_v2_x1_0")
    assert weights_of(KINDS["squeezenet"].build(1000)) == of_torchvision("squeezenet1_1")
    assert weights_of(KINDS["resnet18"].build(1000)) + stem == of_torchvision("resnet18")
    deep = skip.resnext29(1000, depths=(3, 4, 6, 3))
    assert weights_of(deep) + stem == of_torchvision("resnext50_32x4d")
    dense = skip.densenet100(1000, depths=(6, 12, 24, 16), growth=32)
    assert weights_of(dense) + stem + 2 * 64 == of_torchvision("densenet121")  # and a normalisation behind it
    vgg = sum(weights_of(layer) for layer in fields.features(KINDS["vgg16"].build(1000)))
    theirs = torchvision.models.vgg16_bn().features  # whose convolutions have biases
    assert vgg == weights_of(theirs) - sum(x.out_channels for x in theirs if isinstance(x, nn.Conv2d))
    if compat.MODERN:
        assert weights_of(KINDS["mobilenetv3"].build(1000)) == of_torchvision("mobilenet_v3_small")


def test_weights_that_the_papers_name():
    millions = {name: weights_of(KINDS[name].build(1000)) / 1e6 for name in ("mobilenetv1", "shufflenetv1")}
    assert round(millions["mobilenetv1"], 1) == 4.2  # table 8 of the paper
    assert round(weights_of(KINDS["densenet100"].build(10)) / 1e6, 1) == 0.8  # its table 2
    with_gates = weights_of(KINDS["senet18"].build(10)) - weights_of(KINDS["resnet18"].build(10))
    assert with_gates == 2 * sum(2 * c * (c // 16) + c + c // 16 for c in (64, 128, 256, 512))


def test_the_inception_blocks_have_the_channels_of_the_table():
    x, seen = torch.randn(1, 3, 32, 32), []
    for layer in fields.features(KINDS["googlenet"].build(10).eval()):
        x = layer(x)
        seen.append(x.shape[1])
    assert seen == [192, 256, 480, 480, 512, 512, 512, 528, 832, 832, 832, 1024]


def test_eighths_are_torchvisions_rule():
    assert [light.eighths(value) for value in (4, 18, 24, 60, 72 / 4, 36.1)] == [8, 24, 24, 64, 24, 40]


def test_what_saves_weights_and_what_saves_macs_alone():
    image = torch.zeros(1, savings.CHANNELS, savings.SIDE, savings.SIDE)
    cost = {str(getattr(what, "en", what)): counting.by_hand(layers, image) for what, _, layers in savings.ways()}
    plain = cost["3 x 3"]
    for name in ("3 x 3, stride 2", "pool 2 x 2, then 3 x 3"):
        assert cost[name].parameters == plain.parameters and cost[name].macs * 4 == plain.macs
    assert cost["3 x 3 three times"].parameters * 49 == cost["7 x 7"].parameters * 27
    assert cost["depthwise 3 x 3, then 1 x 1"].macs * 64 * 9 == plain.macs * (9 + 64)


@pytest.mark.skipif(not compat.MODERN, reason="PyTorch 1.5 does not tell what it keeps for the way back")
def test_what_layers_put_out_is_about_what_a_training_keeps():
    for name in ("vgg16", "resnet18", "mobilenetv2"):
        network, image, kept = measured.built(name).train(), torch.randn(2, 3, 32, 32), {}
        weights = {weight.data_ptr() for weight in network.parameters()}

        def keep(tensor, kept=kept, weights=weights):
            if tensor.data_ptr() not in weights and tensor.dim() == 4:
                kept[tensor.data_ptr()] = tensor
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            network(image).sum()
        numbers = sum(tensor.numel() * tensor.element_size() / 4 for tensor in kept.values()) / 2
        assert 0.5 < numbers / counting.by_hand(network, image[:1]).numbers < 1.2, name


def test_a_shuffle_and_a_gate():
    x = torch.randn(2, 6, 3, 3)
    assert torch.equal(Shuffle(3)(Shuffle(2)(x)), x)
    gate = Gate(6, 2)
    inner = gate.weigh[1](x.mean(dim=(2, 3), keepdim=True)).relu()
    assert torch.allclose(gate(x), x * torch.sigmoid(gate.weigh[3](inner)), atol=1e-6)
    assert torch.equal(Sum(nn.Identity(), nn.Identity())(x), 2 * x)


# ---- times, and the race ----


def test_times_are_taken_in_every_dtype_that_pays():
    found = timing.fastest(measured.built("lenet"), torch.randn(2, 3, 32, 32), 1)
    assert {each.dtype for each in found} == set(timing.dtypes(torch.device("cpu"))) and torch.float32 in timing.dtypes(torch.device("cpu"))
    assert all(each.forward > 0 and each.backward > 0 for each in found) and found[0].step == min(each.step for each in found)


def test_the_batches_of_a_step_are_the_same_whenever_it_is_asked_for():
    data = race.Images(torch.randint(256, (200, 32, 32, 3)).byte(), torch.arange(200))
    one, other = race.Batches(data, 3), race.Batches(data, 3)
    first = [one[k] for k in range(7)]
    assert all(torch.equal(other[k].pixels, first[k].pixels) for k in (6, 2, 5))
    seen = torch.cat([batch.labels for batch in first[:3]])
    assert len(set(seen.tolist())) == 3 * race.BATCH
    for image, label in zip(first[0].pixels, first[0].labels):
        assert torch.equal(image, data.pixels[label]) or torch.equal(image, data.pixels[label].flip(1))
    assert not torch.equal(first[0].labels, first[3].labels)


def test_the_learning_rate_rises_and_falls():
    rates = [race.learning_rate(k, 100, 1.0) for k in range(100)]
    assert rates[0] < rates[4] and max(rates) > 0.9 and 0 < rates[-1] < 0.02 and rates[5:] == sorted(rates[5:])[::-1]


@pytest.fixture(scope="module")
def quick():
    """Few test images, since each network is tested nine times."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(race, "LOOKED_AT", 50)
        patch.setattr(race, "TESTED", 100)
        yield


@pytest.fixture(scope="module")
def raced(quick, tmp_path_factory):
    """A race that was run in one go and another that was stopped in its second network: its folder of runs, and data."""
    folder = tmp_path_factory.mktemp("race")
    assert_resumes_exactly(lab, [*RACE, "--save-every", "1000"], 11, folder / "data", folder)
    return folder


@pytest.mark.slow
def test_a_race_that_was_stopped_goes_on_to_the_same_bits(raced):
    found = summary(newest(lab, raced / "halves"))["metrics"]
    assert set(found) == {"accuracy", "accuracy/lenet", "accuracy/squeezenet"}
    folder = newest(lab, raced / "whole")
    assert {path.stem for path in (folder / "plots").glob("*.png")} == {"race", "maps", "first-filters"}
    table = json.loads((folder / "tables" / "race.json").read_text())
    assert len(table["rows"]) == 2


def test_a_race_shares_its_time_out_by_what_a_step_takes_with_its_batch(quick, tmp_path, monkeypatch):
    calls, asked = [], []

    class Asked(race.Batches):
        def __getitem__(self, step):
            asked.append(step)
            return super().__getitem__(step)

    def seconds(work, device):
        calls.append(work)
        if len(calls) <= 4 * len(timing.dtypes(device)):
            work()
            return 0.5
        return 0.001

    monkeypatch.setattr(race.timing, "seconds", seconds)
    data = race.Images(torch.randint(256, (64, 32, 32, 3)).byte(), torch.arange(64) % 10)
    run = type("Run", (), {"device": torch.device("cpu")})
    plan = race.make_plan(config.Config(race=True, networks="lenet,vgg16", minutes=1.0), run, Asked(data, 0), Normalise())
    assert [entry["steps"] for entry in plan] == [48, 24000] and plan[0]["name"] == "lenet"
    assert asked == [0, 1, 2, 3] * len(timing.dtypes(torch.device("cpu")))


def own_image(folder, size=(50, 40)):
    path = folder / "own.png"
    Image.fromarray(np.random.RandomState(0).randint(0, 256, (*size[::-1], 3)).astype(np.uint8)).save(str(path))
    return str(path)


@pytest.mark.parametrize("size", [(50, 40), (1, 1), (3, 200)])
def test_the_networks_of_a_race_look_at_an_image_of_the_users_own(raced, tmp_path, size):
    status, said = run_here(lab, ["--map", own_image(tmp_path, size)], raced / "data", raced / "whole")
    assert status == 0 and "LeNet-5: " in said and "synthetic shapes" in said, said
    plots = {path.stem for path in (newest(lab, raced / "whole") / "plots").glob("*.png")}
    assert plots == {"maps", "feature-maps", "first-filters"}


def test_a_map_without_a_race_is_one_sentence(tmp_path):
    status, said = run_here(lab, ["--map", own_image(tmp_path)], tmp_path, tmp_path / "runs")
    assert status == 2 and "no race has been run yet" in said and "Traceback" not in said
    (tmp_path / "own.png").write_bytes(b"no image")
    status, said = run_here(lab, ["--map", str(tmp_path / "own.png")], tmp_path, tmp_path / "runs")
    assert status == 2 and "own.png" in said and "Traceback" not in said


def test_a_checkpoint_of_something_else_is_one_sentence(raced, tmp_path):
    path = newest(lab, raced / "whole").parent
    checkpoint = next(folder for folder in sorted(path.glob("*")) if (folder / "checkpoints").exists()) / "checkpoints" / "last.pt"
    saved = compat.load(checkpoint)
    for change, words in ((lambda s: s.update(lab="cifar10"), "of the lab cifar10"),
                          (lambda s: s["state"].pop("mean"), "another version"),
                          (lambda s: s["state"]["finished"][0].update(name="vgg16"), "another version"),
                          (lambda s: s["state"].update(finished=[]), "has reached its end")):  # fmt: skip
        other = compat.load(checkpoint)
        change(other)
        compat.save(other, tmp_path / "other.pt")
        words_typed = ["--map", own_image(tmp_path), "--checkpoint", str(tmp_path / "other.pt")]
        status, said = run_here(lab, words_typed, tmp_path, tmp_path / "runs")
        assert status == 2 and words in said and "Traceback" not in said, said
    assert saved["lab"] == "convnets"


def test_a_class_activation_map_is_that_of_the_linear_layers_weights():
    network, image = measured.built("resnet18", 0.5), torch.randn(1, 3, 32, 32)
    probabilities, found = looking.activation_map(network, image)
    with torch.no_grad():
        maps = fields.features(network.eval())(image)
        wanted = F.relu((network[-1].weight[probabilities.argmax()].reshape(1, -1, 1, 1) * maps).sum(dim=1)[0])
    assert torch.allclose(found, wanted / wanted.max(), atol=1e-4)
    assert torch.allclose(probabilities, F.softmax(network(image), dim=1)[0].detach(), atol=1e-5)


# ---- the whole lab ----


def test_the_whole_lab_and_its_report(tmp_path):
    status, said = run_here(lab, ["--smoke"], tmp_path, tmp_path)
    assert status == 0, said
    folder = newest(lab, tmp_path)
    count = len(config.chosen(config.SMOKE))
    assert summary(folder)["metrics"] == {"steps": 96, "macs": count, "fields": count + 6, "networks": count}
    plots = {path.stem for path in (folder / "plots").glob("*.png")}
    assert plots == {"reads", "checkerboard", "batch-norm", "fields", "time-over-macs"}
    rows = json.loads((folder / "tables" / "networks.json").read_text())["rows"]
    assert len(rows) == count


@pytest.mark.parametrize("part, metrics", [("layers", {"steps"}), ("networks", {"networks"}), ("numbers", {"macs", "fields"})])
def test_a_part_runs_alone(part, metrics, tmp_path):
    words = ["--part", part, "--networks", "lenet,mobilenetv1", "--batch", "2", "--repeats", "1"]
    status, said = run_here(lab, words, tmp_path, tmp_path)
    assert status == 0, said
    assert set(summary(newest(lab, tmp_path))["metrics"]) == metrics


@pytest.mark.parametrize("words, said_of", [
    (["--networks", "vgg61"], "there is no vgg61; did you mean vgg16?"), (["--networks", ","], "names no network"),
    (["--steps", "3"], "--race is not given"), (["--race", "--part", "layers"], "in place of --part layers"),
    (["--part", "layer"], "did you mean layers?"),
])  # fmt: skip
def test_what_cannot_be_done_is_one_sentence(words, said_of, tmp_path):
    status, said = run_here(lab, words, tmp_path, tmp_path)
    assert status == 2 and said_of in said and "Traceback" not in said, said
