"""``python -m fastpty``: the same as the ``fastpty`` command."""

from fastpty.cli import main

if __name__ == "__main__":
    main()
