"""Where things rest: objects, vault, keyring, tables and books."""
