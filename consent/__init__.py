"""Who allowed what, for which purpose, until when, and under which name they appear."""
