"""The pictures of the lab convnets: what each shows, under its name."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from labruns import Desk, row_names, tiles, title_of
from torch import nn
from torch.nn import functional as F

from labkit.runs.pixels import Normalise
from labs.convnets import fields, figures, looking, measured, seeing
from labs.convnets.zoo import KINDS


def networks(*names):
    torch.manual_seed(0)
    return {name: measured.built(name, 0.5) for name in names}


def normalised(pixels):
    made = Normalise()
    made.measure(pixels)
    return made


def some(count, seed=0):
    return torch.from_numpy(np.random.RandomState(seed).randint(0, 256, (count, 32, 32, 3)).astype(np.uint8))


def test_every_layer_is_drawn_with_its_four_channels_and_how_many_it_reads():
    torch.manual_seed(8)
    figure = figures.reading(3)
    torch.manual_seed(8)
    layers = figures.kinds()
    torch.manual_seed(3)
    found = [(title, figures.reads(layer)) for title, layer in layers]
    assert len(figure.axes) == len(found) == 20
    for axis, (title, amounts) in zip(figure.axes, found):
        assert title_of(axis) == f"{title}: {int((amounts > 1e-6).sum())}"
        sheet = np.ma.filled(axis.images[0].get_array(), 0)
        for channel, amount in enumerate(amounts):
            top, left = channel // 2 * 8, channel % 2 * 8
            assert np.allclose(sheet[top : top + 7, left : left + 7], np.where(amount < 1e-6, 0, amount), atol=1e-5)


def test_what_is_enlarged_stands_under_its_way_and_the_table_has_its_numbers():
    desk = Desk()
    figures.show_checkerboards(desk)
    found = figures.checkerboards()
    for axis, row, (name, (image, even, drawn)) in zip(desk.figures["checkerboard"].axes, desk.tables["checkerboard"], found.items()):
        inner = image[6:-6, 6:-6].numpy()
        assert title_of(axis) == f"{name}\nones: {even:.0%}" and row == [figures.WAYS[name].en, f"{even:.1%}", f"{drawn:.1%}"]
        assert np.allclose(axis.images[0].get_array(), inner / inner.mean())
    inner = found["kernel 3, stride 2"][0][6:-6, 6:-6]
    assert figures.rest(found["kernel 3, stride 2"][0]) == pytest.approx(float(inner.std() / inner.mean()))


def test_small_batches_err_by_one_over_the_root_of_their_size():
    desk = Desk(seed=1)
    figures.batch_statistics(desk)
    small, before, after = desk.figures["batch-norm"].axes
    sizes = np.asarray(small.lines[0].get_xdata())
    assert np.allclose(small.lines[0].get_ydata(), sizes**-0.5, rtol=0.12) and np.allclose(small.lines[1].get_ydata(), sizes**-0.5)
    assert [line.get_label() for line in small.lines] == ["500 batches each", "1 / root of the size"] and not small.yaxis_inverted()
    assert title_of(before).startswith("before: mean") and title_of(after) == "after: mean 0.0, variance 1.0"


def test_each_network_looks_at_each_image_in_its_own_place():
    made, pixels, classes, desk = networks("lenet", "squeezenet"), some(3), [f"class {k}" for k in range(10)], Desk()
    normalise = normalised(pixels)
    said = looking.show_maps(desk, made, pixels, normalise, classes)
    axes = np.array(desk.figures["maps"].axes).reshape(3, 3)
    for row, image in enumerate(pixels):
        assert np.array_equal(axes[row, 0].images[0].get_array(), image)
        for column, (name, network) in enumerate(made.items(), start=1):
            probabilities, found = looking.activation_map(network, normalise(image[None]).contiguous())
            best = int(probabilities.argmax())
            assert said[row][column - 1] == (classes[best], pytest.approx(float(probabilities[best])))
            title = f"{KINDS[name].title}\n" * (row == 0) + f"{classes[best]} {probabilities[best]:.0%}"
            assert title_of(axes[row, column]) == title
            under, over = axes[row, column].images
            wide = F.interpolate(found[None, None], size=(32, 32), mode="bilinear", align_corners=False)[0, 0]
            assert np.array_equal(under.get_array(), image) and np.allclose(over.get_array(), wide, atol=1e-5)


def test_first_filters_are_stretched_each_by_itself():
    made, desk = networks("lenet", "squeezenet"), Desk()
    looking.show_first_layer(desk, made)
    for axis, (name, network) in zip(desk.figures["first-filters"].axes, made.items()):
        weight = next(layer.weight for layer in network.modules() if isinstance(layer, nn.Conv2d)).detach().numpy()
        assert KINDS[name].title == title_of(axis)
        sheet, size = np.asarray(axis.images[0].get_array()), weight.shape[2]
        for k, one in enumerate(weight[:32]):
            stretched = 255 * (one - one.min()) / (one.max() - one.min())
            assert np.abs(sheet[:size, k * (size + 1) : k * (size + 1) + size].astype(float) - stretched.transpose(1, 2, 0)).max() <= 0.51


def test_feature_maps_are_those_after_each_of_the_first_layers():
    (network,), desk = networks("squeezenet").values(), Desk()
    image = normalised(some(2))(some(1)).contiguous()
    looking.show_feature_maps(desk, "squeezenet", network, image)
    found = tiles(desk.figures["feature-maps"], 32)
    assert list(row_names(desk.figures["feature-maps"], 32).values()) == [f"after layer {k}" for k in range(1, len(found) + 1)]
    x = image
    with torch.no_grad():
        for row, layer in zip(found, fields.features(network.eval())):
            x = layer(x)
            maps = x[0, :8]
            grey = ((maps - maps.min()) / (maps.max() - maps.min()) * 255)[:, None]
            assert np.abs(row.astype(int) - F.interpolate(grey, size=(32, 32))[:, 0].round().numpy()).max() <= 1


@pytest.mark.parametrize("size", [(40, 60), (60, 40), (20, 50)])
def test_the_middle_of_an_image_is_looked_at(size, tmp_path):
    from PIL import Image

    pixels = np.zeros((*size, 3), np.uint8)
    side = min(size)
    top, left = (size[0] - side) // 2, (size[1] - side) // 2
    pixels[top : top + side, left : left + side] = (10, 120, 230)
    Image.fromarray(pixels).save(str(tmp_path / "own.png"))
    assert (looking.square(tmp_path / "own.png") == (10, 120, 230)).all()


def test_fields_are_shown_with_their_formula_and_what_the_gradient_reaches():
    desk = Desk()
    assert seeing.field_of_all(desk, ["lenet", "squeezenet", "senet18"]) == 3
    for row, name in zip(desk.tables["fields"], ("lenet", "squeezenet", "senet18")):
        layers = fields.features(KINDS[name].build(10, 0.5))
        formula = fields.window(layers)
        assert row == [KINDS[name].title, formula.size, formula.size, formula.stride, "yes" if name == "senet18" else "no"]
