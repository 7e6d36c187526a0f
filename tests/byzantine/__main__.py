"""`python -m tests.byzantine`; what it does stands in `sweep`, where worker processes find it."""

from tests.byzantine.sweep import main

if __name__ == "__main__":
    main()
