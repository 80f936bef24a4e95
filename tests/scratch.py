"""Where tests keep their files: in memory where there is plenty, since nobody cuts its power.

Half of what a hub does in a test is to wait for the disk, and a disk on which the test before
removed thousands of files makes new ones slowly. What a kill leaves behind is the same in both
places; what a power cut leaves is decided by tests that stand in for the disk (`test_journal`).
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Final

import psutil

MEMORY: Final = Path("/dev/shm")
ROOT: Final = "PYTEST_DEBUG_TEMPROOT"
"""What tells pytest where to make its folders."""
ROOM: Final = 6 << 30
"""Bytes that must be free: several times what the folders of a run take at their largest."""


def keep_in_memory() -> None:
    """Have pytest make its folders in memory where there is room, and nobody said where."""
    if (
        MEMORY.is_dir()
        and min(shutil.disk_usage(MEMORY).free, psutil.virtual_memory().available) > ROOM
    ):
        os.environ.setdefault(ROOT, str(MEMORY))
