"""``python -m geomill`` is the command line."""

from geomill.cli import main

if __name__ == "__main__":
    main()
