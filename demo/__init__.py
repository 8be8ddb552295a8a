"""A filled NetPulse to look at, with targets that fail and recover: `make demo`."""
