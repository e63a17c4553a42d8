"""What has arrived of a file: `target.part` at its full size, and one byte for each finished block beside it."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections import deque
from pathlib import Path

BLOCK_BYTES = 1 << 17  # at most one unfinished block for each connection is fetched again after a kill


class Part:
    """`target.part` at its full size, and which of its blocks are filled."""

    def __init__(self, target: Path, size_bytes: int, fresh: bool, version: str = "") -> None:
        """`version`: of the file, where only blocks of that one may stand together; "" where a hash will tell."""
        self.path, self.size_bytes, self.closed = self.path_of(target), size_bytes, False
        self.target_name = target.name
        self._done_path = self.path.with_name(self.path.name + ".done")
        blocks = -(-size_bytes // BLOCK_BYTES)
        sizes = [path.stat().st_size if path.exists() else -1 for path in (self.path, self._done_path)]
        self._version_path = self.path.with_name(self.path.name + ".version")
        begun = self._version_path.read_text(encoding="utf-8") if self._version_path.exists() else ""
        if fresh or begun != version or sizes != [size_bytes, blocks]:
            self.delete()
        if version:
            self._version_path.write_text(version, encoding="utf-8")
        self._file = os.fdopen(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644), "r+b", buffering=0)
        self._file.truncate(size_bytes)
        self._done_file = os.fdopen(os.open(self._done_path, os.O_RDWR | os.O_CREAT, 0o644), "r+b", buffering=0)
        self._done_file.truncate(blocks)
        self.done = bytearray(self._done_file.read())
        self.left = self.done.count(0)

    @staticmethod
    def path_of(target: Path) -> Path:
        return target.with_name(target.name + ".part")

    def end(self, block: int) -> int:
        """The offset in bytes at which the block ends."""
        return min((block + 1) * BLOCK_BYTES, self.size_bytes)

    def there_bytes(self) -> int:
        """How much of the file is in finished blocks."""
        return min((len(self.done) - self.left) * BLOCK_BYTES, self.size_bytes)

    def write(self, chunk: bytes, offset: int) -> None:
        os.pwrite(self._file.fileno(), chunk, offset)

    def finish(self, block: int) -> None:
        os.pwrite(self._done_file.fileno(), b"\1", block)
        self.left -= not self.done[block]
        self.done[block] = 1

    def read(self, size_bytes: int, offset: int) -> bytes:
        return os.pread(self._file.fileno(), size_bytes, offset)

    def missing(self) -> deque[tuple[int, int]]:
        """The runs of blocks that are missing, each (first, one past the last)."""
        runs: deque[tuple[int, int]] = deque()
        for block, done in enumerate(self.done):
            if not done:
                runs.append((runs.pop()[0] if runs and runs[-1][1] == block else block, block + 1))
        return runs

    def close(self) -> None:
        os.fsync(self._file.fileno())
        self._file.close()
        self._done_file.close()

    def move_to(self, target: Path) -> None:
        self.path.replace(target)
        self._done_path.unlink()
        if self._version_path.exists():
            self._version_path.unlink()

    def delete(self) -> None:
        for path in (self.path, self._done_path, self._version_path):
            if path.exists():
                path.unlink()


class Hashing(threading.Thread):
    """Hashes the file from its beginning as far as it has arrived, while the rest is on its way."""

    def __init__(self, part: Part, algorithm: str) -> None:
        super().__init__(daemon=True)
        self.part, self.total = part, hashlib.new(algorithm)
        self.failure: Exception | None = None
        self.start()

    def run(self) -> None:
        try:
            self._follow()
        except Exception as failure:  # for whoever waits for the result, who would blame the host for half a hash
            self.failure = failure

    def _follow(self) -> None:
        block, offset = 0, 0
        while block < len(self.part.done) and not self.part.closed:
            while block < len(self.part.done) and self.part.done[block]:
                block += 1
            end = self.part.end(block - 1) if block else 0
            if offset == end:
                time.sleep(0.02)
            while offset < end and not self.part.closed:
                chunk = self.part.read(min(1 << 20, end - offset), offset)
                self.total.update(chunk)
                offset += len(chunk)

    def result(self) -> str:
        self.join()
        if self.failure:
            raise self.failure
        return self.total.hexdigest()
