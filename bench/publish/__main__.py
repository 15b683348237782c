"""``python -m bench.publish RUN_FOLDER --dry-run``: what would be sent of a run; without ``--dry-run``, send it."""

from bench.publish.sending import main

main()
