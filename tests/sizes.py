"""What is smaller in tests than in a hub, and real in benchmarks: `tests/conftest.py` says so."""

contributor_leaves: int | None = None
"""Of a release's tree of contributors; None for as many as the territory file says."""
