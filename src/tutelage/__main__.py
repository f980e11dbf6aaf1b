"""`python -m tutelage`: the command line, where its script is not on the path."""

from tutelage.cli import main

if __name__ == "__main__":
    main()
