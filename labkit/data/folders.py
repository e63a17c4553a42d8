"""What counts in a folder of data: the one rule, for imports, archives, readers and demos alike."""

from __future__ import annotations

from pathlib import Path, PurePath

from labkit.base.errors import UserError
from labkit.base.paths import shown

# What systems leave in every folder that a person looks at; so are all hidden files ("._one.jpg", ".DS_Store").
CLUTTER = frozenset({"__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini", "$recycle.bin", "@eadir"})
IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"})


def is_data(path: PurePath) -> bool:
    """Whether a file is data, by its path below the folder that was named: nothing in it is hidden or a system's."""
    return not any(part.startswith(".") or part.lower() in CLUTTER for part in path.parts)


def left_out(where: str, count: int, example: str) -> str:
    """What to say of files in `where` that are no data."""
    them, are = ("one file", "is") if count == 1 else (f"{count:,} files", "are")
    return f"{where}: {them} that systems leave in folders {are} left out, such as {example}"


def fitting(folder: Path, pattern: str) -> list[Path]:
    """The files of data below `folder` that fit the glob, sorted."""
    return sorted(path for path in folder.glob(pattern) if is_data(path.relative_to(folder)) and path.is_file())


def own_files(wanted: Path) -> list[Path]:
    """The file `wanted`, or the files of data in that folder, sorted. Raises UserError where there is none."""
    files = fitting(wanted, "*") if wanted.is_dir() else [wanted]
    if not files:
        raise UserError(f"{shown(wanted)} holds no images")
    return files


def images(folder: Path) -> list[Path]:
    """The image files in `folder` itself, by their names, sorted."""
    return [path for path in fitting(folder, "*") if path.suffix.lower() in IMAGE_SUFFIXES]
