"""``python -m bench.export RUN_FOLDER OUT``."""

from bench.export.images import main

main()
