"""NetPulse UpGuardX: a self-hosted uptime monitor in one process."""

__version__ = "0.1.0"
