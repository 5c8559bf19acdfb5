"""Makes `python -m quell` the same as the command `quell`."""

from quell.cli import main

if __name__ == "__main__":
    main()
