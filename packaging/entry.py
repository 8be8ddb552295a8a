"""Where the executable begins. Outside the package, so that `netpulse` stays one package in it."""

import sys

from netpulse.cli import main

sys.exit(main())
