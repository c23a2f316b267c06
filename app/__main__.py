"""``python -m vipose.app`` is ``vipose app``."""

import sys

from vipose.runtime.cli import main

if __name__ == "__main__":
    sys.exit(main(["app", *sys.argv[1:]]))
