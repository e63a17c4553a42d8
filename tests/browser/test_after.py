"""What can be seen when the training is over, and by whom."""

from __future__ import annotations

import hashlib
import json
import urllib.error
import urllib.request

import pytest
from conftest import listening, shoot, until, visdom_lines

PANES = {"line", "scatter", "bar", "histogram", "heatmap", "image", "images", "text", "video", "mesh"}
RECORDS = {"scalars", "custom_scalars", "histograms", "images", "graphs", "projector", "pr_curves", "text"}
TITLES = """() => [...document.querySelectorAll('.window .bar')].map(bar => bar.innerText.trim().split('\\n').pop())"""


def plugins(page, address):
    """The plugins of TensorBoard that have something to show; it looks for that in the background."""
    listing = page.request.get(f"{address}data/plugins_listing").json()
    return {name for name, plugin in listing.items() if plugin["enabled"]}


def test_the_windows_of_a_finished_run_are_rebuilt(front, page):
    """The lab dashboards runs with no server; later one is started and told everything."""
    lab = front.lab("dashboards", "--smoke")
    assert lab.wait(timeout=300) == 0, lab.stderr.read()
    address = front.serve("visdom", "--replay=latest")
    folder = front.folder("dashboards")
    assert address.endswith(f"/env/dashboards_{folder.name}")
    page.set_viewport_size({"width": 1500, "height": 1500})
    page.goto(address)
    until(lambda: len(page.evaluate(TITLES)) == len(PANES) + 2)
    shown = {title.partition(":")[0].replace("heat map", "heatmap") for title in page.evaluate(TITLES)}
    assert shown >= {"loss", "accuracy"} and {title for title in shown if title} <= PANES | {"loss", "accuracy"}
    assert visdom_lines(page)["loss"] == [30]
    until(lambda: page.evaluate("document.querySelector('video').videoWidth") == 256)
    until(lambda: page.evaluate("document.querySelectorAll('.gl-container canvas').length") > 0)
    page.wait_for_timeout(1000)
    shoot(page, f"panes-{front.stack}")


def test_the_records_in_tensorboard(front, page):
    lab = front.lab("dashboards", "--smoke")
    assert lab.wait(timeout=300) == 0, lab.stderr.read()
    address = front.serve("tensorboard")
    until(lambda: RECORDS <= plugins(page, address))
    layout = page.request.get(f"{address}data/plugin/custom_scalars/layout").json()
    assert [chart["title"] for chart in layout["category"][0]["chart"]] == ["loss", "accuracy"]
    page.goto(f"{address}?darkMode=false#custom_scalars")
    page.locator("tf-custom-scalar-multi-line-chart-card").first.wait_for()
    page.wait_for_timeout(1500)
    shoot(page, f"custom-{front.stack}")


def test_who_may_look_at_a_public_visdom(front, page):
    address = front.serve("visdom", "--public")
    port = front.ports["visdom"]
    assert listening(port) == {"0.0.0.0"} or listening(port) == set()  # also all of IPv6, in another table
    secret = (front.runs / ".services" / "visdom.password").read_text()
    assert (front.runs / ".services" / "visdom.password").stat().st_mode & 0o077 == 0
    event = {"eid": "main", "win": "w", "data": [{"type": "text", "content": "hello"}], "layout": {}, "opts": {}}
    for path, body in (("events", event), ("env_state", {}), ("win_data", {"eid": "main", "win": "w"})):
        with pytest.raises(urllib.error.HTTPError) as refused:
            request = urllib.request.Request(f"{address}{path}", json.dumps(body).encode())
            urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request)
        assert 400 <= refused.value.code < 500, path
    page.goto(address)
    assert page.evaluate(TITLES) == [] and "login" in page.content().lower()

    lab = front.lab("dashboards", "--smoke")  # labs on this machine find the password by themselves
    assert lab.wait(timeout=300) == 0, lab.stderr.read()
    digest = hashlib.sha256(secret.encode()).hexdigest()
    assert page.request.post(address, data={"username": "lab", "password": "wrong"}).status == 400
    assert page.request.post(address, data={"username": "lab", "password": digest}).ok
    page.goto(f"{address}env/dashboards_{front.folder('dashboards').name}")
    until(lambda: len(page.evaluate(TITLES)) == len(PANES) + 2)
    front.inv("visdom", "--stop")
    assert listening(port) == set() and not (front.runs / ".services" / "visdom.password").exists()
