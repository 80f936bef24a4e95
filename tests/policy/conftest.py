"""Loads what the hub loads, in its order: shapely after the policy engine ends the process."""

import hub.parts  # noqa: F401
