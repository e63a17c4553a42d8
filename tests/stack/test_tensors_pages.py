"""The pictures of the lab tensors: each number in its cell, and every curve under its name."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from labruns import title_of

from labs.tensors import figures


def written(axis):
    """The numbers of a table of cells, by (row, column)."""
    return {text.get_position()[::-1]: text.get_text() for text in axis.texts}


def table_of(values):
    return {place: f"{value:g}" for place, value in np.ndenumerate(np.asarray(values))}


def test_numbers_stand_in_their_cells_the_first_row_at_the_top():
    x = np.arange(12).reshape(3, 4)
    rows, columns = np.arange(3)[:, None] * 10 + np.zeros((3, 4), int), np.zeros((3, 4), int) + np.arange(4)
    expected = {
        "strides": (x, x.T, x[:, ::2]), "broadcasting": (rows, columns, rows + columns),
        "views": (x.reshape(1, 12),) * 4, "gather": (x, [[0, 3], [1, 1], [2, 0]], [[0, 3], [5, 5], [10, 8]]),
    }  # fmt: skip
    for name, tables in expected.items():
        axes = figures.FIGURES[name][0]().axes
        assert [written(axis) for axis in axes] == [table_of(values) for values in tables], name
        assert all(axis.yaxis_inverted() for axis in axes)
    titles = [title_of(axis) for axis in figures.strides().axes]
    assert titles == ["x: strides (4, 1)", "x.t(): strides (1, 4)", "x[:, ::2]: strides (4, 2)"]


def test_what_a_view_sees_is_dark():
    seen = [range(12), range(4, 8), (2, 6, 10), (5, 6, 9, 10)]
    starts = [(0, "(4, 1)"), (4, "(1,)"), (2, "(4,)"), (5, "(4, 1)")]
    for axis, places, (start, strides) in zip(figures.views().axes, seen, starts):
        assert np.flatnonzero(np.asarray(axis.images[0].get_array())[0]).tolist() == list(places)
        assert title_of(axis).endswith(f": starts at {start}, strides {strides}")
    x, index, _ = figures.gather().axes
    taken = np.zeros((3, 4))
    for row, columns in enumerate([[0, 3], [1, 1], [2, 0]]):
        taken[row, columns] = 1
    assert np.array_equal(x.images[0].get_array(), taken) and not np.asarray(index.images[0].get_array()).any()


def test_the_histogram_counts_the_picture():
    picture, bars = figures.histogram().axes
    values = np.asarray(picture.images[0].get_array())
    counted, _ = np.histogram(values, 64, (0, 256))
    assert [bar.get_height() for bar in bars.patches] == pytest.approx(counted) and counted.sum() == 96 * 96
    assert [bar.get_x() + bar.get_width() / 2 for bar in bars.patches] == pytest.approx(4 * np.arange(64) + 2)
    assert abs(values[48, 30] - 200) < 20 and abs(values[48, 66] - 20) < 20  # the bright disc stands at the left
    assert values[5, 90] - values[5, 5] > 25  # the ramp rises to the right


def test_both_estimates_settle_at_the_slope_under_their_names():
    (axis,) = figures.estimators().axes
    score, pathwise, truth = axis.lines
    assert [line.get_label() for line in axis.lines] == ["score function", "pathwise", "2 mu"] and not axis.yaxis_inverted()
    assert abs(score.get_ydata()[-1] - 3) < 0.3 and abs(pathwise.get_ydata()[-1] - 3) < 0.1 and set(truth.get_ydata()) == {3.0}
    noise = torch.randn(3000, generator=torch.Generator().manual_seed(1)).numpy()
    assert np.allclose(pathwise.get_ydata()[99], 2 * (1.5 + noise[:100]).mean(), atol=1e-4)
    assert np.allclose(score.get_ydata()[99], ((1.5 + noise[:100]) ** 2 * noise[:100]).mean(), atol=1e-4)


def test_directions_are_those_of_the_classes_that_part_along_them():
    cloud, along_pca, along_lda = figures.pca_and_lda().axes
    x, labels = figures.two_classes()
    assert [line.get_label() for line in cloud.lines] == ["PCA", "LDA"]
    for line, direction in zip(cloud.lines, (figures.pca_direction(x), figures.lda_direction(x, labels))):
        assert np.allclose(line.get_xydata(), torch.stack([-5 * direction, 5 * direction]).numpy(), atol=1e-5)
    for k, points in enumerate(cloud.collections):
        assert np.allclose(points.get_offsets(), x[labels == k])
    assert "PCA" in title_of(along_pca) and "LDA" in title_of(along_lda)
    for axis, direction in ((along_pca, figures.pca_direction(x)), (along_lda, figures.lda_direction(x, labels))):
        for k, bars in enumerate((axis.patches[:30], axis.patches[30:])):
            counted, edges = np.histogram((x[labels == k] @ direction).numpy(), 30)
            assert [bar.get_height() for bar in bars] == counted.tolist() and bars[0].get_x() == pytest.approx(edges[0])


def test_the_spectrum_has_two_tones():
    wave, bars = figures.spectrum().axes
    heights = np.array([bar.get_height() for bar in bars.patches])
    assert heights[5] == pytest.approx(1, abs=1e-4) and heights[20] == pytest.approx(0.5, abs=1e-4)
    assert np.delete(heights, [5, 20]).max() < 1e-3
    t = np.asarray(wave.lines[0].get_xdata())
    assert np.allclose(wave.lines[0].get_ydata(), np.sin(10 * np.pi * t) + 0.5 * np.sin(40 * np.pi * t), atol=1e-4) and t[-1] < 1
