"""One published indicator per file."""
