"""``python -m bench.deidentify CHECK_DIR``."""

from bench.deidentify.command import main

main()
