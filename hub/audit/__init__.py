"""The log, its proofs, its verifier."""
