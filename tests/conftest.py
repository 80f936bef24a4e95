"""Shared by every test: Hypothesis without deadlines, because speed is `make bench`'s matter."""

from hypothesis import settings

settings.register_profile("hub", deadline=None)
settings.load_profile("hub")
