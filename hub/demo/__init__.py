"""The demo territory."""
