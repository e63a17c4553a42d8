"""Compile what was installed, the same bytes every time; run by the Python whose packages are compiled.

    python compile.py FOLDER

The packages' own tests go before: they are 60 to 120 MB of an image, and nothing imports them. Only modules without
bytecode are compiled, so that a layer of an image holds that of its own packages. How Python writes a constant depends
on what its process has seen before: each file goes through the same process at the same place in a fixed order, however
many cores there are. The bytecode is marked as unchecked, since times differ between builds.
"""

import contextlib
import importlib.util
import os
import py_compile
import shutil
import subprocess
import sys

PROCESSES = 8


def missing(folder):
    """The modules below `folder` that have no bytecode, in a fixed order; folders of tests are removed on the way."""
    found = []
    for place, folders, names in os.walk(folder):
        if "tests" in folders:
            shutil.rmtree(os.path.join(place, "tests"))
            folders.remove("tests")
        folders.sort()
        paths = [os.path.join(place, name) for name in sorted(names) if name.endswith(".py")]
        found += [path for path in paths if not os.path.exists(importlib.util.cache_from_source(path))]
    return found


def main():
    if sys.argv[1] == "--":
        for path in sys.stdin.read().splitlines():
            with contextlib.suppress(py_compile.PyCompileError, RecursionError):  # a template, or for another Python
                py_compile.compile(path, doraise=True, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
        return
    found = missing(sys.argv[1])
    slices = ["\n".join(found[number::PROCESSES]) for number in range(PROCESSES)]
    command = [sys.executable, __file__, "--"]  # without -I, which would leave out the seed of the hashes
    environment = dict(os.environ, PYTHONHASHSEED="0")
    running = [subprocess.Popen(command, stdin=subprocess.PIPE, text=True, env=environment) for _ in slices]
    for process, part in zip(running, slices):
        process.stdin.write(part)
        process.stdin.close()
    sys.exit(max(process.wait() for process in running))


if __name__ == "__main__":
    main()
