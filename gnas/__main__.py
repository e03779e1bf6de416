"""``python -m gnas`` is the command ``gnas``."""

from gnas.cli import main

if __name__ == "__main__":
    main()
