"""What is said of download, disk and time before anything is fetched."""

from __future__ import annotations

import pytest

from labkit.stacks import catalog, sizes


@pytest.mark.parametrize(
    ("download", "minutes"),
    [(1, 1), (375_000_000, 2), (int(12.5e6 * 60 * 9), 10), (1_120_000_000, 2), (1_130_000_000, 3)],
)
def test_the_time_is_that_of_the_download_at_100_mbit_and_a_minute_to_unpack(download, minutes):
    lines = sizes.Size(download, False, 1, 1, 1).announcement("3 GB")
    assert f"about {minutes} min at 100 Mbit/s" in lines[2] and "about 3 GB" in lines[1]


def test_what_is_not_known_is_not_made_up():
    lines = sizes.Size(0, False, 1, 1, 1).announcement("3 GB")
    assert lines[0].split() == ["download", "not", "known"] and lines[2].split() == ["time", "minutes"]
    assert "MB or more, less" in sizes.Size(5_000_000, True, 1, 1, 1).announcement("")[0]
    assert "or more" not in sizes.Size(5_000_000, False, 1, 1, 1).announcement("")[0]


@pytest.mark.parametrize("stack", [catalog.load(name) for name in catalog.names()], ids=lambda stack: stack.name)
def test_an_image_is_its_packages_and_the_system_and_building_it_takes_them_twice(stack):
    for build in stack.builds:
        size = sizes.of(stack, build)
        assert size.environment == int(build.disk_gb * 1e9) and size.image == size.environment + 400_000_000
        assert size.building == size.image + size.environment
        assert build.pending <= size.at_least and (size.download > 1e8 or build.pending)
        assert sizes.of(stack, build, stack.python) == size
