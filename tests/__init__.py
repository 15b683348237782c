"""Tests mirror the tree. One thread, as in a run, so that the last digits agree with those of child processes."""

import os

for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[_name] = "1"
