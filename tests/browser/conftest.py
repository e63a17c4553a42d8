"""A real Chromium with no network: what it asks of any other machine, and what its console says, fails the test."""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import socket
import struct
import subprocess
import time
import urllib.parse

import pytest

from labkit import testing
from labkit.base import paths
from labkit.stacks import builds, catalog, native

ON_THIS_MACHINE = ("127.0.0.1", "localhost")


@pytest.fixture(scope="session", autouse=True)
def offline():
    """This process, and so all that it starts, in a network of its own with nothing but loopback; takes root."""
    if os.geteuid() == 0 and ctypes.CDLL(None).unshare(0x40000000) == 0:  # CLONE_NEWNET
        with socket.socket() as any_socket:
            fcntl.ioctl(any_socket, 0x8914, struct.pack("16sh", b"lo", 1))  # SIOCSIFFLAGS, IFF_UP


@pytest.fixture(scope="session")
def chromium(offline):
    program = testing.find_browser()
    if not program:
        pytest.skip(f"there is no {testing.BROWSERS[0]}")
    from playwright.sync_api import sync_playwright

    # No sandbox for root; WebGL in software, which a machine without a GPU needs for visdom's meshes.
    options = ["--no-sandbox"] * (os.geteuid() == 0) + ["--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=options)
        yield browser
        browser.close()


class Watch:
    """What a page asked of other machines, and what it complained about."""

    def __init__(self) -> None:
        self.abroad, self.complaints = [], []

    def follow(self, page) -> None:
        page.on("request", lambda request: self.asked(request.url))
        page.on("websocket", lambda websocket: self.asked(websocket.url))
        page.on("console", lambda message: message.type == "error" and self.complained(message))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def complained(self, message) -> None:
        if "/favicon." not in message.location["url"]:  # visdom has pages that look for their icon in vain
            self.complaints.append(f"{message.text} ({message.location['url']})")

    def asked(self, address) -> None:
        parts = urllib.parse.urlsplit(address)
        if parts.scheme not in ("file", "data", "blob") and parts.hostname not in ON_THIS_MACHINE:
            self.abroad.append(address)


@pytest.fixture
def context(chromium):
    """Opens pages, and at the end looks at what they did."""
    watch = Watch()
    opened = chromium.new_context(viewport={"width": 1280, "height": 900})
    opened.on("page", watch.follow)
    opened.watch = watch
    yield opened
    opened.close()
    assert watch.abroad == []
    assert watch.complaints == []


@pytest.fixture
def page(context):
    return context.new_page()


@pytest.fixture(params=testing.FAMILIES)
def stack(request):
    """A stack that is installed natively."""
    found = catalog.load(request.param)
    if not native.ready(found, builds.made(found)):
        pytest.skip(f"stack {found.name} is not installed: ./inv setup --where venv --stack {found.name}")
    return found.name


class Front:
    """The front door with folders and ports of its own."""

    def __init__(self, folder, stack) -> None:
        self.stack, self.runs = stack, folder / "runs"
        self.ports = {"visdom": free_port(), "tensorboard": free_port()}
        self.environment = {
            **os.environ, "LAB_RUNS": str(self.runs), "LAB_DATA": str(folder / "data"),
            "LAB_VISDOM_PORT": str(self.ports["visdom"]), "COMPOSE_PROJECT_NAME": f"torch-labs-browser-{os.getpid()}",
        }  # fmt: skip
        self.labs = []

    def inv(self, *words):
        """`./inv WORDS` to its end."""
        done = subprocess.run([str(paths.ROOT / "inv"), *words], env=self.environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done

    def serve(self, name, *words):
        """Start a service; what it said on standard output is its address."""
        place = ["--where", "venv", "--stack", self.stack, "--port", str(self.ports[name])]
        return self.inv(name, *place, *words).stdout.strip()

    def process(self, name):
        """The number of the process of a service."""
        return json.loads((self.runs / ".services" / f"{name}.json").read_text())["process"]

    def lab(self, *words):
        """Start a lab and go on; its process."""
        command = [str(paths.ROOT / "inv"), "lab", words[0], "--where", "venv", "--stack", self.stack, *words[1:]]
        started = subprocess.Popen(command, env=self.environment, stderr=subprocess.PIPE, text=True)
        self.labs.append(started)
        return started

    def folder(self, lab):
        """The folder of the only run of `lab`, as soon as it is there."""
        return until(lambda: next(self.runs.glob(f"{lab}/*/config.json"), None)).parent

    def close(self) -> None:
        for started in self.labs:
            if started.poll() is None:
                started.kill()
            started.communicate()
        for name in self.ports:
            subprocess.run([str(paths.ROOT / "inv"), name, "--stop"], env=self.environment, capture_output=True)


@pytest.fixture
def front(tmp_path, stack):
    made = Front(tmp_path, stack)
    yield made
    made.close()


def until(look, seconds=120):
    """What `look()` returns as soon as that is true."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(0.2)
    raise AssertionError(f"waited {seconds} s in vain")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def listening(port):
    """The addresses on which this port is served, from the kernel's own table."""
    rows = [row.split() for row in open("/proc/net/tcp").read().splitlines()[1:]]  # noqa: SIM115
    here = [row[1].split(":") for row in rows if row[3] == "0A"]
    return {socket.inet_ntoa(struct.pack("<I", int(host, 16))) for host, own in here if int(own, 16) == port}


def visdom_lines(page):
    """{window: [points of each of its lines inside the axes]} as visdom's page has drawn them."""
    return page.evaluate("""() => Object.fromEntries([...document.querySelectorAll('.js-plotly-plot')].map(plot => {
        const {title, xaxis} = plot._fullLayout, [low, high] = xaxis ? xaxis.range : [0, 0];
        return [title.text, plot.data.map(line => [...(line.x || [])].filter(x => low <= x && x <= high).length)];
    }))""")


def shoot(page, name, **options):
    """An image of the page in $LAB_SCREENSHOTS, for those who want to look."""
    if os.environ.get("LAB_SCREENSHOTS"):
        page.screenshot(path=f"{os.environ['LAB_SCREENSHOTS']}/{name}.png", **options)
