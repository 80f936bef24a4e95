"""The hub: three verbs (push, release, withdraw) composed from three small libraries."""
