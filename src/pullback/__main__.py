"""`python -m pullback`."""

import sys

from pullback.cli.main import main

sys.exit(main())
