"""Where the uncertainty of FD and KID comes from: a finite synthetic set, a finite real set, or both."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bench.api import Rows
from bench.statistics.arrays import Indices
from bench.statistics.distances import across, centred, mean_row, sweep, within
from bench.statistics.estimate import Estimate
from bench.statistics.resampling import jackknife
from evaluators.fidelity.fold_tables import Parts
from evaluators.fidelity.frechet_distance import frechet_jackknife, frechet_left_out, null_se, spectrum
from evaluators.fidelity.kernel_distance import kernel_sums, null_deviation, tables_of


def kernel_parts(first: Rows, second: Rows, first_folds: Indices, second_folds: Indices) -> Parts:
    """KID of real ``first`` and synthetic ``second`` features with the error that each side brings.

    One pass over the pairs: leaving folds out of one side only needs the same sums as leaving them out of both.
    """
    centre = mean_row(first)
    x, y = centred(first, centre), centred(second, centre)
    sums = kernel_sums(x, y, first_folds, second_folds)
    for each, tiles in zip(sums, (within(x), within(y), across(x, y)), strict=True):
        sweep(tiles, [each])
    return tables_of(sums, first_folds, second_folds).parts(null_deviation(sums, first_folds, second_folds))


def frechet_parts(
    first: Rows, second: Rows, first_folds: Indices, second_folds: Indices, both: Estimate | None = None
) -> Parts:
    """FD, bias removed, of real ``first`` and synthetic ``second`` features with the error that each side brings.

    The error of a side is the delete-fold jackknife's with the other side whole, and its share of the deviation
    between two samples of one population, as in ``frechet_jackknife``, which gives ``both`` where it is not at hand.
    """
    both = both or frechet_jackknife(first, second, first_folds, second_folds).corrected
    n, m = len(first), len(second)
    null = null_se(spectrum(first), n, m)
    whole = [np.full_like(folds, -1) for folds in (first_folds, second_folds)]
    sides = {
        "synthetic": (frechet_left_out(first, second, whole[0], second_folds), n / (n + m)),
        "real": (frechet_left_out(first, second, first_folds, whole[1]), m / (n + m)),
    }
    made = {name: replace(jackknife(values, null * share), value=both.value) for name, (values, share) in sides.items()}
    return Parts(both.value, made["synthetic"], made["real"], both)
