"""Shared by every test: Hypothesis without deadlines, because speed is `make bench`'s matter."""

import shapely  # noqa: F401 - as the hub does: loaded after the policy engine, it ends the process
from hypothesis import settings

from tests import hashing, scratch, sizes

settings.register_profile("hub", deadline=None)
settings.load_profile("hub")
hashing.hash_with(hashing.QUICK)
scratch.keep_in_memory()
sizes.contributor_leaves = 1024
