"""Runs the command line with `python -m recae`."""

from recae.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
