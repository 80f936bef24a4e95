"""Measures and disclosure control; knows nothing of HTTP, SQL sessions or people."""
