"""``python -m bench.describe DIR`` writes ``dataset/mine.yaml`` for the images and the table in a folder."""

import sys

sys.stderr.write("bench.describe: looking at the files\n")
sys.stderr.flush()

from bench.describe.command import main  # noqa: E402 - libraries take seconds to load

main()
