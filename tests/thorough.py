"""How much the long suites do: a quick sample by default, all of it with THOROUGH=yes, as in CI."""

from __future__ import annotations

import os
from typing import Final

THOROUGH: Final = os.environ.get("THOROUGH") == "yes"
