"""How much the long suites do.

A quick sample by default; all of the log's with `THOROUGH=yes`, as in CI; with `THOROUGH=all` also
those that take long (1,000 pushes under kills, a 5 GB file, kills at every step of a batch of
withdrawals, every cut of a real service, the demo at full scale, many more made-up requests).
"""

from __future__ import annotations

import os
from typing import Final

EVERYTHING: Final = os.environ.get("THOROUGH") == "all"
THOROUGH: Final = EVERYTHING or os.environ.get("THOROUGH") == "yes"
