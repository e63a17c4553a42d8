"""A training watched while it goes on: in visdom, in TensorBoard and in its report, through Chromium, without a network."""

from __future__ import annotations

import os
import signal

from conftest import listening, shoot, until, visdom_lines
from playwright import sync_api as playwright

EPOCHS = 500  # it is stopped when all has been seen


def points(page, panel="loss"):
    return (visdom_lines(page).get(panel) or [0])[0]


def tensorboard_points(page, address, run):
    """The points of loss/train that TensorBoard knows, asked as its page asks."""
    answer = page.request.get(f"{address}data/plugin/scalars/scalars?run={run}&tag=loss%2Ftrain")
    return len(answer.json()) if answer.ok else 0


def report_points(page, folder):
    """The loss curve as the report shows it: it changes when there is a new point."""
    try:
        return page.evaluate("""() => { const curve = document.querySelector('img[alt^="loss "]');
            return curve ? curve.src : '' }""")
    except playwright.Error:  # the page loads itself anew while the run goes on, and this fell into it
        return ""


def test_the_loss_curve_grows_in_all_three(front, context):
    """The smoke run of cifar10, going on until it is stopped, with visdom killed in the middle."""
    visdom, board = front.serve("visdom"), front.serve("tensorboard")
    for name, port in front.ports.items():
        assert listening(port) == {"127.0.0.1"}, name
    lab = front.lab("cifar10", "--smoke", "--", "--epochs", str(EPOCHS))
    folder = front.folder("cifar10")
    windows, curves, report = context.new_page(), context.new_page(), context.new_page()

    environment = f"{visdom}env/cifar10_{folder.name}"
    until(lambda: f"cifar10_{folder.name}" in windows.request.post(f"{visdom}env_state", data={}).json())
    windows.goto(environment)
    first = until(lambda: points(windows))
    until(lambda: (folder / "report.html").exists())
    report.goto((folder / "report.html").as_uri())
    run = f"cifar10%2F{folder.name}%2Ftensorboard"
    board_first = until(lambda: tensorboard_points(curves, board, run))
    report_first = until(lambda: report_points(report, folder))

    second = until(lambda: points(windows) > first and points(windows))
    os.kill(front.process("visdom"), signal.SIGKILL)
    assert front.serve("visdom") == environment
    again = context.new_page()
    until(lambda: f"cifar10_{folder.name}" in again.request.post(f"{visdom}env_state", data={}).json())
    again.goto(environment)
    until(lambda: points(again) > second)

    lab.send_signal(signal.SIGINT)
    assert lab.wait(timeout=300) == 130, lab.stderr.read()
    logged = sum("train_loss" in line for line in (folder / "metrics.jsonl").read_text().splitlines())
    assert until(lambda: points(again) == logged), "the windows came back complete"
    assert set(visdom_lines(again)) == {"loss", "accuracy", "lr"}
    assert until(lambda: tensorboard_points(curves, board, run) == logged) and board_first < logged
    report.reload()
    assert report_points(report, folder) != report_first
    again.bring_to_front()
    again.wait_for_timeout(1000)
    shoot(again, f"visdom-{front.stack}")

    curves.goto(f"{board}?darkMode=false#timeseries")
    curves.locator("scalar-card").first.wait_for()
    curves.wait_for_timeout(1500)
    shoot(curves, f"tensorboard-{front.stack}")
    shoot(report, f"report-{front.stack}", full_page=True)
    # The server that was killed took the connection of the first page with it, and that is what its console says.
    context.watch.complaints = [text for text in context.watch.complaints if "ERR_CONNECTION" not in text]

