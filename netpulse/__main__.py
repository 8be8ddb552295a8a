"""`python -m netpulse`: the same as the executable."""

from __future__ import annotations

import sys

from netpulse.cli import main

if __name__ == "__main__":
    sys.exit(main())
