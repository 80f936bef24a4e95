"""Tests of the consent library."""
