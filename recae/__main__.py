"""`python -m recae`, the same as `recae`."""

from recae.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
