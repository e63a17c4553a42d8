"""Generated files are what their generators make today."""

from __future__ import annotations

import json
import subprocess
import sys

from labkit.base import paths


def test_the_generated_files_are_up_to_date():
    done = subprocess.run([sys.executable, "scripts/render.py", "--check"], cwd=paths.ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_devcontainers_start_with_and_without_a_gpu():
    files = sorted(paths.ROOT.glob(".devcontainer/**/devcontainer.json"))
    assert len(files) == 3
    for file in files:
        content = json.loads(file.read_text().partition("\n")[2])
        assert content["hostRequirements"] == {"gpu": "optional"}
        assert (file.parent / content["dockerComposeFile"][0]).resolve() == paths.ROOT / "docker" / "compose.yaml"
