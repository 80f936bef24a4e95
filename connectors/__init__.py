"""Partner file in, typed record batches out. Imports nothing of ours."""
