"""The same measures by published packages, features in: what ``fidelity_speed`` compares with."""

from __future__ import annotations

import contextlib
import io
import warnings
from typing import Any

import numpy as np
import torch
from scipy import linalg

from bench.api import Rows

BATCH = 1000  # rows a call of torchmetrics' update; smaller batches are slower


class Given(torch.nn.Module):
    """Stands where torchmetrics wants an encoder: its images are features already."""

    def __init__(self, columns: int) -> None:
        super().__init__()
        self.num_features = columns

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return rows


def _fed(metric: Any, real: Rows, fake: Rows) -> Any:
    """A torchmetrics metric that has been shown both sets."""
    for rows, is_real in ((real, True), (fake, False)):
        for start in range(0, len(rows), BATCH):
            metric.update(torch.from_numpy(rows[start : start + BATCH]), real=is_real)
    return metric.compute()


def torchmetrics_fd(real: Rows, fake: Rows) -> float:
    from torchmetrics.image.fid import FrechetInceptionDistance

    return float(_fed(FrechetInceptionDistance(feature=Given(real.shape[1])), real, fake))


def torch_fidelity_fd(real: Rows, fake: Rows) -> float:
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

    first, second = (fid_features_to_statistics(torch.from_numpy(rows)) for rows in (real, fake))
    return float(fid_statistics_to_metric(first, second, verbose=False)["frechet_inception_distance"])


def square_root_fd(real: Rows, fake: Rows) -> float:
    """Means, ``numpy.cov`` and ``scipy.linalg.sqrtm``, as in pytorch-fid, clean-fid and many more."""
    gap = real.mean(axis=0) - fake.mean(axis=0)
    a, b = np.cov(real, rowvar=False), np.cov(fake, rowvar=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        root = linalg.sqrtm(a @ b)
    return float(gap @ gap + np.trace(a) + np.trace(b) - 2 * np.trace(root).real)


def torchmetrics_kid(real: Rows, fake: Rows) -> float:
    """100 subsets of 1000: its default."""
    from torchmetrics.image.kid import KernelInceptionDistance

    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        metric = KernelInceptionDistance(feature=Given(real.shape[1]), subsets=100, subset_size=1000)
    return float(_fed(metric, real, fake)[0])


def torch_fidelity_kid(real: Rows, fake: Rows) -> float:
    """100 subsets of 1000: its default."""
    from torch_fidelity.metric_kid import kid_features_to_metric

    first, second = torch.from_numpy(real), torch.from_numpy(fake)
    found = kid_features_to_metric(first, second, kid_subsets=100, kid_subset_size=1000, verbose=False)
    return float(found["kernel_inception_distance_mean"])


def prdc_package(real: Rows, fake: Rows) -> list[float]:
    from prdc import compute_prdc

    with contextlib.redirect_stdout(io.StringIO()):
        found = compute_prdc(real_features=real, fake_features=fake, nearest_k=5)
    return [float(found[name]) for name in ("precision", "recall", "density", "coverage")]


def faiss_flat(queries: Rows, references: Rows) -> float:
    """The sum of distances to the nearest reference."""
    import faiss

    faiss.omp_set_num_threads(torch.get_num_threads())
    index = faiss.IndexFlatL2(references.shape[1])
    index.add(references)
    return float(np.sqrt(index.search(queries, 1)[0]).sum())


def primal_vendi(rows: Rows) -> float:
    """Eigenvalues of the ``(N, N)`` kernel of cosines, in float64."""
    unit = rows.astype(np.float64)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    values = linalg.eigvalsh(unit @ unit.T / len(unit))
    values = values[values > 0]
    return float(np.exp(-(values * np.log(values)).sum()))
