"""Unpacking with the Python of each stack: threads that share a zip mix up their positions before Python 3.11.4."""

from __future__ import annotations

import random
import zipfile

from labkit.data import archives


def test_many_members_unpacked_at_once_keep_their_bytes(tmp_path):
    drawn = random.Random(0)
    members = {f"folder/{k}": bytes(drawn.choice(b"abcdefgh") for _ in range(9000)) for k in range(300)}
    archive = tmp_path / "many.zip"
    with zipfile.ZipFile(str(archive), "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in members.items():
            packed.writestr(name, content)
    for attempt in range(8):
        folder = tmp_path / str(attempt)
        folder.mkdir()
        archives.unpack(archive, folder, limit_bytes=10_000_000, limit_members=1000)
        assert all((folder / name).read_bytes() == content for name, content in members.items())
