"""The set metrics as ``torchmetrics.Metric`` classes, for training loops that log them.

>>> import torch
>>> metric = KernelDistance(units="alike")
>>> features = torch.randn(200, 16, generator=torch.Generator().manual_seed(0))
>>> metric.update(features[:100], real=True)
>>> metric.update(features[100:] + 1, real=False)
>>> bool(metric.compute() > 0), metric.score.low > 0
(True, True)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import torch
from torchmetrics import Metric as TorchMetric
from torchmetrics.utilities.distributed import gather_all_tensors

from bench.api import BenchError, ColumnUnits, Encoder, Images, Rows, Score
from bench.runtime.blocks import BlockEncoder
from evaluators.fidelity.functions import FUNCTIONS, SetMetricFunction

UNKNOWN = -1  # the patient of an image of which nobody says whose it is


class SetMetric(TorchMetric):
    """One metric of two sets of images, collected batch by batch and over processes.

    ``update(batch, real=True)`` takes features ``(B, D)``, or, with an ``encoder``, images ``(B, H, W)`` or
    ``(B, 1, H, W)``: uint8, or floats from 0 to 1. ``patients`` ``(B,)``, whole numbers of 0 or more, say whose the
    images are, of a whole side or of none of it. ``compute()`` is the value as a scalar; ``score`` then has the
    interval. The value is the same however the images were divided among batches and processes.
    """

    function: ClassVar[SetMetricFunction]
    is_differentiable = False
    full_state_update = False
    real_rows: list[torch.Tensor]
    fake_rows: list[torch.Tensor]
    real_patients: list[torch.Tensor]
    fake_patients: list[torch.Tensor]

    def __init_subclass__(cls, **options: Any) -> None:
        """Say to torchmetrics what the metric itself says; ``None`` for what is neither better nor bounded."""
        super().__init_subclass__(**options)
        metric = cls.function.metric
        cls.higher_is_better = {"higher": True, "lower": False}.get(metric.better)
        cls.plot_lower_bound, cls.plot_upper_bound = (None if math.isinf(end) else end for end in metric.bounds)

    def __init__(
        self,
        encoder: Encoder | None = None,
        units: ColumnUnits | None = None,
        reset_real_features: bool = True,
        **options: Any,
    ) -> None:
        """``encoder``: of images, see ``bench.compare.encoder``; ``None`` where features come.

        ``units``: of the columns of features, see ``evaluators.fidelity.functions.Options``. ``reset_real_features``:
        whether ``reset`` forgets the real images too. ``options``: those of ``torchmetrics.Metric``.

        Raises:
            BenchError: neither an encoder nor units, or the name of an encoder.
        """
        super().__init__(**options)
        if encoder is not None and not isinstance(encoder, Encoder):
            raise BenchError(f"encoder = {encoder!r}, needed one that is built: bench.compare.encoder({encoder!r})")
        if encoder is None and units is None:
            raise BenchError(
                f"{type(self).__name__} needs an encoder of images, or for features their units: units='alike' for "
                "those of one network, units='different' for radiomics and the like"
            )
        self.encoder, self.units = encoder, units if encoder is None else encoder.column_units
        self.reset_real_features = reset_real_features
        self.score: Score | None = None
        for side in ("real", "fake"):
            self.add_state(f"{side}_rows", [], dist_reduce_fx="cat")
            self.add_state(f"{side}_patients", [], dist_reduce_fx="cat")

    def update(self, batch: torch.Tensor, real: bool, patients: torch.Tensor | None = None) -> None:
        """Take in one batch of one side."""
        rows = torch.from_numpy(self._rows(batch)).to(self.device)
        if patients is None:
            whose = torch.full((len(rows),), UNKNOWN, dtype=torch.int64, device=self.device)
        else:
            whose = torch.as_tensor(patients, dtype=torch.int64, device=self.device)
        if whose.shape != (len(rows),):
            raise BenchError(f"patients have the shape {tuple(whose.shape)}, needed one of each of {len(rows)} images")
        (self.real_rows if real else self.fake_rows).append(rows)
        (self.real_patients if real else self.fake_patients).append(whose)

    def forward(self, *args: Any, **kwargs: Any) -> None:
        """``update``: a batch of its own is no set that such a metric means anything for."""
        self.update(*args, **kwargs)

    def compute(self) -> torch.Tensor:
        """The value over all that was taken in.

        Raises:
            Refused: too few images, or of too few patients.
            BenchError: a side without an image.
        """
        sides = (self.real_rows, self.real_patients), (self.fake_rows, self.fake_patients)
        (real, ours), (fake, theirs) = ((_joined(rows), _joined(whose)) for rows, whose in sides)
        self.score = type(self).function(real, fake, _names(ours), fake_patients=_names(theirs), units=self.units)
        return torch.tensor(float(self.score), device=self.device)

    def reset(self) -> None:
        """Forget what was taken in, the real images only with ``reset_real_features``."""
        kept = None if self.reset_real_features else (_parts(self.real_rows), _parts(self.real_patients))
        super().reset()
        self.score = None
        if kept is not None:
            self.real_rows, self.real_patients = kept

    def plot(self, val: Any = None, ax: Any = None) -> Any:
        """The value, or several given ones, in a figure; see ``torchmetrics.Metric``."""
        return self._plot(val, ax)

    def _sync_dist(
        self, dist_sync_fn: Callable[..., list[torch.Tensor]] = gather_all_tensors, process_group: Any = None
    ) -> None:
        """A process that has no image of a side hands in none of them, as wide as those of the others."""
        own = max((part.shape[1] for part in (*self.real_rows, *self.fake_rows)), default=0)
        told = dist_sync_fn(torch.tensor(own, device=self.device), group=process_group or self.process_group)
        columns = max(int(each) for each in told)
        for side in ("real", "fake"):
            if not len(getattr(self, f"{side}_rows")):
                setattr(self, f"{side}_rows", [torch.empty(0, columns, device=self.device)])
                setattr(self, f"{side}_patients", [torch.empty(0, dtype=torch.int64, device=self.device)])
        super()._sync_dist(dist_sync_fn, process_group)

    def _rows(self, batch: torch.Tensor) -> Rows:
        if self.encoder is None:
            if batch.ndim != 2:
                raise BenchError(
                    f"a batch of shape {tuple(batch.shape)}, needed features (images, columns), or an encoder"
                )
            return batch.detach().cpu().numpy().astype(np.float32)
        images = _images(batch)
        encoding = BlockEncoder(self.encoder, len(images))
        encoding.take(images)
        return encoding.rows


def _images(batch: torch.Tensor) -> Images:
    """Grey levels ``(B, H, W)`` uint8."""
    found = batch.detach().cpu()
    if found.ndim == 4 and found.shape[1] == 1:
        found = found[:, 0]
    if found.ndim != 3 or not len(found):
        raise BenchError(
            f"images of shape {tuple(batch.shape)}, needed (batch, height, width) or (batch, 1, height, width)"
        )
    if found.dtype == torch.uint8:
        return found.numpy()
    if not found.is_floating_point() or not bool(((found >= 0) & (found <= 1)).all()):
        raise BenchError(f"images of {found.dtype}, needed uint8, or floats from 0 to 1")
    return (found * 255).round().to(torch.uint8).numpy()


def _joined(parts: list[torch.Tensor] | torch.Tensor) -> np.ndarray:
    """What batches, or after a gather one tensor, hold."""
    whole = torch.cat(parts) if isinstance(parts, list) and parts else parts
    if not isinstance(whole, torch.Tensor) or not len(whole):
        raise BenchError("a side has no image yet: update it with real=True and with real=False before compute")
    return np.asarray(whole.cpu().numpy())


def _parts(held: list[torch.Tensor] | torch.Tensor) -> list[torch.Tensor]:
    """A list of its own, for ``reset`` empties the one that there is."""
    return list(held) if isinstance(held, list) else [held]


def _names(whose: np.ndarray) -> list[str] | None:
    """Patients by name; ``None`` where nothing is known of any."""
    unknown = int((whose == UNKNOWN).sum())
    if unknown == len(whose):
        return None
    if unknown:
        raise BenchError(f"{unknown} of {len(whose)} images came without patients; say it of a whole side, or of none")
    return [str(each) for each in whose.tolist()]


class FrechetDistance(SetMetric):
    """``fd``: the Fréchet distance without its bias."""

    function = FUNCTIONS["fd"]


class PlainFrechetDistance(SetMetric):
    """``fd_plain``: the Fréchet distance as in papers."""

    function = FUNCTIONS["fd_plain"]


class FrechetAtInfinity(SetMetric):
    """``fd_infinity``: the Fréchet distance for infinitely many images."""

    function = FUNCTIONS["fd_infinity"]


class KernelDistance(SetMetric):
    """``kid``: the squared maximum mean discrepancy under a cubic kernel."""

    function = FUNCTIONS["kid"]


class GaussianDistance(SetMetric):
    """``cmmd``: the same under a Gaussian kernel on rows of length 1."""

    function = FUNCTIONS["cmmd"]


class SetPrecision(SetMetric):
    """``precision``: the share of synthetic images near a real one."""

    function = FUNCTIONS["precision"]


class SetRecall(SetMetric):
    """``recall``: the share of real images near a synthetic one."""

    function = FUNCTIONS["recall"]


class SetDensity(SetMetric):
    """``density``: in how many balls of real images a synthetic one lies."""

    function = FUNCTIONS["density"]


class SetCoverage(SetMetric):
    """``coverage``: the share of real images whose ball holds a synthetic one."""

    function = FUNCTIONS["coverage"]


class ClippedDensity(SetMetric):
    """``clipped_density``."""

    function = FUNCTIONS["clipped_density"]


class ClippedCoverage(SetMetric):
    """``clipped_coverage``."""

    function = FUNCTIONS["clipped_coverage"]


class AlphaPrecision(SetMetric):
    """``alpha_precision``."""

    function = FUNCTIONS["alpha_precision"]


class BetaRecall(SetMetric):
    """``beta_recall``."""

    function = FUNCTIONS["beta_recall"]


class VendiRatio(SetMetric):
    """``vendi_ratio``: the diversity of the synthetic images over that of as many real ones."""

    function = FUNCTIONS["vendi_ratio"]
