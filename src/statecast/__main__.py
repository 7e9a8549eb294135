"""``python -m statecast`` is the command ``statecast``."""

from statecast.cli.main import main

if __name__ == "__main__":
    main()
