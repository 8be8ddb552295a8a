"""Keys, sealed secrets, password hashes and random tokens."""
