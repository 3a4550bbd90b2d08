"""``python -m lockon``."""

from lockon.cli import main

main()
