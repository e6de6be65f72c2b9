"""`python -m traitdrift`."""

from traitdrift.cli import main

main()
