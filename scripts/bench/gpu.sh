#!/bin/sh
# The labs on a machine with an NVIDIA GPU and no network; --help tells more, `pack` and `wheels` make what is carried.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd -P)
case "${1:-}" in
    wheels) exec "$root/.venv/host/bin/python" "$root/scripts/bench/gpu_carry.py" "$@" ;; # has pip and uv; ./inv makes it
    pack) exec "$root/.venv/cpu/bin/python" "$root/scripts/bench/gpu_carry.py" "$@" ;;    # has NumPy and Pillow
esac
exec "${LAB_PYTHON:-python3}" "$root/scripts/bench/gpu.py" "$@"
