"""Everything that dials out goes through here: names, addresses that may be dialled, TLS, posts."""
