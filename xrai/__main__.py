"""`python -m xrai`."""

import sys

from xrai.cli import main

if __name__ == "__main__":  # worker processes of a shared run import this file again
    sys.exit(main())
