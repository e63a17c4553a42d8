"""Generated files are what their generators make today."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from labkit.base import labs, paths


def test_the_generated_files_are_up_to_date():
    done = subprocess.run([sys.executable, "scripts/render.py", "--check"], cwd=paths.ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_devcontainers_start_with_and_without_a_gpu():
    files = sorted(paths.ROOT.glob(".devcontainer/**/devcontainer.json"))
    assert len(files) == 3
    for file in files:
        content = generated(file)
        assert content["hostRequirements"] == {"gpu": "optional"}
        assert content["dockerComposeFile"] == ["compose.yaml"] and (file.parent / "compose.yaml").exists()


def generated(file):
    return json.loads(file.read_text().partition("\n")[2])


def test_what_the_editor_starts_is_there():
    (launch,) = generated(paths.ROOT / ".vscode" / "launch.json")["configurations"]
    for lab in labs.table():  # in a file of whose folder somebody presses F5
        assert Path(launch["program"].replace("${fileDirname}", str(paths.ROOT / "labs" / lab.name))) == lab.program
    (folder,) = generated(paths.ROOT / ".vscode" / "settings.json")["python.testing.pytestArgs"]
    assert list((paths.ROOT / folder).glob("test_*.py"))
