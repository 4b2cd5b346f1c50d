"""``python -m augkit`` and the ``augkit`` script: the command line."""

import sys

from augkit.starting import exit_code


def main() -> None:
    """Run the command line; Ctrl-C while it is still being imported ends it as quietly as later."""
    try:
        from augkit.cli import main as run

        run()
    except KeyboardInterrupt as end:
        sys.stderr.write("Interrupted.\n")
        sys.exit(exit_code(end))


if __name__ == "__main__":
    main()
