"""Become one of the services: `python -m labkit.services.serve NAME ADDRESS PORT`, in a stack's Python.

ADDRESS is 127.0.0.1, or 0.0.0.0 in a container, whose port is published on the loopback address. No service asks the
network for anything. JupyterLab takes its token from $JUPYTER_TOKEN, visdom its password from the services' folder.
"""

from __future__ import annotations

import json
import os
import runpy
import secrets
import sys

from labkit.base import files, login, paths
from labkit.services import guard


def command(name: str, address: str, port: str) -> list[str]:
    """The arguments for Python that start the service."""
    runs = paths.runs_dir()
    if name == "visdom":
        # It knows these two addresses only, and without -bind_local it takes all of them.
        local = ["-bind_local"] if address == "127.0.0.1" else []
        closed = ["-enable_login", "-force_new_cookie"] if login.password() else []
        return ["-m", "visdom.server", "-port", port, *local, *closed, "-env_path", f"{runs / '.visdom'}/"]
    if name == "tensorboard":
        # Its faster loader is a program of its own that needs a newer glibc than the notes stack has.
        options = ["--host", address, "--port", port, "--load_fast", "false"]
        return ["-m", "tensorboard.main", "--logdir", str(runs), *options]
    if name == "notebook":
        settings = {
            "ServerApp.ip": address,
            "ServerApp.port": port,
            "ServerApp.port_retries": "0",
            "ServerApp.open_browser": "False",
            "ServerApp.allow_root": "True",
            "ServerApp.root_dir": str(paths.ROOT),
            "LabApp.news_url": "None",
            "LabApp.check_for_updates_class": "jupyterlab.NeverCheckForUpdate",
        }
        return ["-m", "jupyterlab", *(f"--{setting}={value}" for setting, value in settings.items())]
    raise SystemExit(f"there is no service {name}")


def credentials() -> dict[str, str]:
    """What visdom's server wants in the environment for its login: the cookie's secret goes to .visdom of its home."""
    (paths.runs_dir() / ".visdom").mkdir(exist_ok=True)
    os.umask(0o077)
    return {
        "HOME": str(paths.runs_dir()),
        "VISDOM_USE_ENV_CREDENTIALS": "1",
        "VISDOM_USERNAME": login.USER,
        "VISDOM_PASSWORD": login.password(),
        "VISDOM_COOKIE": secrets.token_hex(32),
    }


def own_jupyter() -> dict[str, str]:
    """Where JupyterLab has its configuration: the user's own could move its address, or leave it without a token.

    Its page does not ask whether it may fetch news.
    """
    folder = paths.runs_dir() / ".services" / "jupyter"
    page = {"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": True}}
    files.write_text(files.made(folder / "labconfig") / "page_config.json", json.dumps(page))
    return {"JUPYTER_CONFIG_DIR": str(folder)}


if __name__ == "__main__":
    if sys.argv[1] == "visdom" and login.password():
        os.environ.update(credentials())
    elif sys.argv[1] == "notebook":
        os.environ.update(own_jupyter())
    _, module, *sys.argv[1:] = command(*sys.argv[1:])
    if module == "visdom.server":
        # The server loads the client, and that one these two where they are, for seconds and to no use.
        sys.modules.update({"torch": None, "sklearn": None})  # type: ignore[dict-item]
        guard.before_tornado(["visdom"], is_public=bool(login.password()))
    elif module == "tensorboard.main":
        guard.before_tensorboard(["tensorboard"])
    runpy.run_module(module, run_name="__main__", alter_sys=True)
