"""`python -m sensei`, the same command as `sensei`."""

from sensei.cli.main import main

if __name__ == "__main__":
    main()
