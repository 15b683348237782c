"""``python -m bench.tracking RUN_FOLDER``."""

from bench.tracking.wandb_runs import main

main()
