"""``python -m vipose.runtime``: the command line where the ``vipose`` script is not on the path."""

from vipose.runtime.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
