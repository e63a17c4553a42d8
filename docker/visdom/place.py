"""Put what the page of visdom's server loads where the server looks for it; run by the Python that visdom is in.

    python place.py        node_modules is beside this file

At its first start visdom's server fetches these files from four hosts and dies without a network. Here it is asked to
fetch them as always and gets each file out of node_modules, so that what goes where is its own decision. Afterwards it
starts without asking anybody.

The page's template asks tornado for a file outside the folder of static files, which tornado 6.6 refuses:
the address that is meant is written into the template.
"""

from __future__ import annotations

import io
import json
import re
import shutil
from pathlib import Path
from urllib import request

MODULES = Path(__file__).resolve().parent / "node_modules"
NPM = {  # address that visdom asks -> package, version, path in it
    r"https://unpkg\.com/([^@]+)@([^/]+)/?([^#]*)(?:#.*)?": r"\1 \2 \3",
    r"https://cdn\.plot\.ly/plotly-(.+)\.min\.js": r"plotly.js-dist-min \1 plotly.min.js",
    r"https?://d3js\.org/d3\.v3\.min\.js": "d3 3.5.17 d3.min.js",
    r"https://d3js\.org/d3-selection-multi\.v1\.js": "d3-selection-multi 1.0.1 build/d3-selection-multi.js",
    r"https://cdnjs\.cloudflare\.com/ajax/libs/(mathjax)/([^/]+)/([^?]+).*": r"\1 \2 \3",
}
MATHJAX_2_PARTS = ("extensions", "jax/output/SVG/fonts/TeX")  # loaded when a formula needs them; visdom forgets them


def find(package: str, version: str) -> Path:
    """The folder of this package in this version; the folders of one in two versions have names of their own."""
    for description in MODULES.glob("*/package.json"):
        said = json.loads(description.read_text(encoding="utf-8"))
        if (said["name"], said["version"]) == (package, version):
            return description.parent
    raise SystemExit(f"place.py: {package} {version}, which this visdom asks for, is not in package.json")


def content(address: str) -> bytes:
    """The bytes behind an address that visdom asks for."""
    for pattern, replacement in NPM.items():
        match = re.fullmatch(pattern, address)
        if match:
            package, version, path = match.expand(replacement).split(" ")
            folder = find(package, version)
            return (folder / (path or "index.js")).read_bytes()
    raise SystemExit(f"place.py: nothing is known about {address}, which this visdom asks for")


class Answer(io.BytesIO):
    """What both ways of fetching that visdom uses give back."""

    def __init__(self, asked: str | request.Request) -> None:
        super().__init__(content(asked.full_url if isinstance(asked, request.Request) else asked))
        self.content = self.getvalue()


class Opener(request.OpenerDirector):
    """Stands in for the opener of urllib."""

    def open(self, asked, data=None, timeout=None):  # type: ignore[no-untyped-def, override]
        return Answer(asked)


def main() -> None:
    import requests
    from visdom.server import build

    build.request.build_opener = lambda *handlers: Opener()
    requests.get = Answer
    build.download_scripts()
    static = Path(build.get_visdom_path()) / "static"
    for mathjax in static.glob("js/mathjax/2.*"):
        for part in MATHJAX_2_PARTS:
            shutil.copytree(find("mathjax", mathjax.name) / part, mathjax / part, dirs_exist_ok=True)
    index = static / "index.html"
    page = index.read_text(encoding="utf-8")
    index.write_text(page.replace('{{ static_url("../user/style.css") }}', '"/user/style.css"'), encoding="utf-8")
    size_mb = sum(path.stat().st_size for path in static.rglob("*")) / 1e6
    print(f"{static}: {size_mb:.0f} MB")


if __name__ == "__main__":
    main()
