"""How much the long suites do.

A quick sample by default; all of the log's with `THOROUGH=yes`, as in CI; with `THOROUGH=all` also
those that take a quarter of an hour and more each (1,000 pushes under kills, a 5 GB file).
"""

from __future__ import annotations

import os
from typing import Final

EVERYTHING: Final = os.environ.get("THOROUGH") == "all"
THOROUGH: Final = EVERYTHING or os.environ.get("THOROUGH") == "yes"
