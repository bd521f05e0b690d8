"""`python -m m2v_core` is the `m2v` command."""

from m2v_core.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
