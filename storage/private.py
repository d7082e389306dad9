"""Files that appear whole and that nobody else of this machine may read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def private_file(file: Path) -> Iterator[BinaryIO]:
    """Write into it; it takes its name when all is on the disk. After an exception there is none.

    Raises OSError.
    """
    unfinished = file.with_name(f".{file.name}.part")
    unfinished.unlink(missing_ok=True)
    # Private from its first byte on: a file that is made readable is read.
    handle = os.open(unfinished, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "w+b") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        unfinished.replace(file)
    finally:
        unfinished.unlink(missing_ok=True)
