"""Disclosure control and the attacker that audits it."""
