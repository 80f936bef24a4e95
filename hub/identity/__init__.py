"""Who is asking: OAuth 2 for partners, accounts for people."""
