"""One file per partner."""
