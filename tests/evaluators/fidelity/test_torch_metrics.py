"""The torchmetrics classes: the values of the functions, whatever the batches and processes."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torchmetrics import MetricCollection
from torchmetrics.image.fid import FrechetInceptionDistance

from bench.api import BenchError, Refused
from bench.compare import encode, encoder
from evaluators.fidelity import torch_metrics
from evaluators.fidelity.functions import FUNCTIONS
from evaluators.fidelity.torch_metrics import (
    FrechetDistance,
    KernelDistance,
    PlainFrechetDistance,
    SetCoverage,
    SetMetric,
)

KINDS = [each for each in vars(torch_metrics).values() if isinstance(each, type) and issubclass(each, SetMetric)]
KINDS.remove(SetMetric)
MADE = torch.Generator().manual_seed(0)
REAL, FAKE = torch.randn(230, 6, generator=MADE), torch.randn(210, 6, generator=MADE) + 0.4


def fed(metric: Any, size: int = 32) -> Any:
    for rows, real in ((REAL, True), (FAKE, False)):
        for batch in rows.split(size):
            metric.update(batch, real=real)
    return metric


class Through(torch.nn.Module):
    """Stands where torchmetrics wants an encoder: its images are features already."""

    num_features = 6

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return rows


@pytest.mark.parametrize("kind", KINDS)
def test_the_value_is_that_of_the_function(kind: type[SetMetric]) -> None:
    metric = fed(kind(units="alike"))
    score = FUNCTIONS[kind.function.metric.key](REAL.numpy(), FAKE.numpy(), units="alike")
    assert float(metric.compute()) == pytest.approx(score.value) and metric.score == score
    said = kind.function.metric
    assert kind.higher_is_better is {"higher": True, "lower": False}.get(said.better)
    bounds = [None if np.isinf(end) else end for end in said.bounds]
    assert [kind.plot_lower_bound, kind.plot_upper_bound] == bounds


def test_the_batches_do_not_matter() -> None:
    found = {float(fed(KernelDistance(units="alike"), size).compute()) for size in (1, 7, 230)}
    assert len(found) == 1


def test_the_plain_distance_is_that_of_torchmetrics() -> None:
    theirs = fed(FrechetInceptionDistance(feature=Through()), 300).compute()
    assert float(fed(PlainFrechetDistance(units="alike")).compute()) == pytest.approx(float(theirs), rel=1e-3)


def test_patients_are_taken_into_account() -> None:
    metric, whose = KernelDistance(units="alike"), torch.arange(230) // 2
    for place in range(0, 230, 46):
        metric.update(REAL[place : place + 46], real=True, patients=whose[place : place + 46])
    metric.update(FAKE, real=False)
    wanted = FUNCTIONS["kid"](REAL.numpy(), FAKE.numpy(), [str(each) for each in whose.tolist()], units="alike")
    assert float(metric.compute()) == pytest.approx(wanted.value)
    metric.update(REAL, real=True)
    with pytest.raises(BenchError, match="230 of 460 images came without patients"):
        metric.compute()


def test_images_go_through_an_encoder() -> None:
    images = np.random.default_rng(0).integers(0, 255, (140, 32, 32), dtype=np.uint8)
    rows = encode(images, "small_cnn")
    wanted = FUNCTIONS["kid"](rows[:70], rows[70:])
    for batch in (torch.from_numpy(images), torch.from_numpy(images)[:, None], torch.from_numpy(images) / 255):
        metric = KernelDistance(encoder("small_cnn"))
        metric.update(batch[:70], real=True)
        metric.update(batch[70:], real=False)
        assert float(metric.compute()) == pytest.approx(wanted.value, rel=1e-3, abs=1e-6)


def test_reset_may_keep_the_real_images() -> None:
    metric = fed(SetCoverage(units="alike", reset_real_features=False))
    first = float(metric.compute())
    metric.reset()
    for batch in FAKE.split(50):
        metric.update(batch, real=False)
    assert float(metric.compute()) == first
    forgetful = fed(SetCoverage(units="alike"))
    forgetful.reset()
    forgetful.update(FAKE, real=False)
    with pytest.raises(BenchError, match="a side has no image yet"):
        forgetful.compute()


def test_collections_pickles_and_steps_of_a_loop() -> None:
    together = MetricCollection({"fd": FrechetDistance(units="alike"), "kid": KernelDistance(units="alike")})
    for rows, real in ((REAL, True), (FAKE, False)):
        for batch in rows.split(40):
            together(batch, real=real)
    found = together.compute()
    assert set(found) == {"fd", "kid"} and all(torch.isfinite(each) for each in found.values())
    again = pickle.loads(pickle.dumps(fed(KernelDistance(units="alike"))))
    assert float(again.compute()) == float(found["kid"])


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        (torch.zeros(3, 2, 8, 8), r"needed \(batch, height, width\)"),
        (torch.full((3, 8, 8), 2.0), "needed uint8, or floats from 0 to 1"),
        (torch.zeros(3, 8, 8, dtype=torch.int64), "needed uint8"),
    ],
)
def test_what_is_no_batch_of_grey_images_is_refused(batch: torch.Tensor, message: str) -> None:
    with pytest.raises(BenchError, match=message):
        KernelDistance(encoder("small_cnn")).update(batch, real=True)


def test_features_without_units_and_too_few_images_are_said() -> None:
    with pytest.raises(BenchError, match="KernelDistance needs an encoder of images, or for features their units"):
        KernelDistance()
    metric = KernelDistance(units="alike")
    with pytest.raises(BenchError, match="needed features"):
        metric.update(torch.zeros(3, 8, 8), real=True)
    metric.update(REAL[:10], real=True)
    metric.update(FAKE[:10], real=False)
    with pytest.raises(Refused, match="10 images; 50 are needed"):
        metric.compute()


def test_a_name_is_no_encoder() -> None:
    with pytest.raises(BenchError, match=r"encoder = 'small_cnn', needed .*bench\.compare\.encoder\('small_cnn'\)"):
        KernelDistance("small_cnn")  # type: ignore[arg-type]


def test_it_plots() -> None:
    figure, _ = fed(SetCoverage(units="alike")).plot()
    assert figure is not None


# which rows of the real and of the synthetic side each of two processes has
SHARES = {
    "each some of both": ((slice(0, 50), slice(0, 50)), (slice(50, None), slice(50, None))),
    "each one side": ((slice(None), slice(0, 0)), (slice(0, 0), slice(None))),
    "one none": ((slice(0, 0), slice(0, 0)), (slice(None), slice(None))),
}


def _one_of_two(rank: int, place: str, left: str) -> None:
    torch.distributed.init_process_group("gloo", init_method=f"file://{place}", rank=rank, world_size=2)
    found = []
    for shares in SHARES.values():
        metric = FrechetDistance(units="alike")
        for rows, share, real in zip((REAL, FAKE), shares[rank], (True, False), strict=True):
            if len(rows[share]):
                metric.update(rows[share], real=real)
        found.append(repr(float(metric.compute())))
    with pytest.raises(BenchError, match="a side has no image yet"):
        FrechetDistance(units="alike").compute()
    Path(f"{left}{rank}").write_text("\n".join(found))
    torch.distributed.destroy_process_group()


def test_two_processes_find_what_one_finds(tmp_path: Path) -> None:
    torch.multiprocessing.spawn(_one_of_two, args=(str(tmp_path / "meet"), str(tmp_path / "value")), nprocs=2)
    wanted = repr(float(fed(FrechetDistance(units="alike")).compute()))
    for rank in range(2):
        assert (tmp_path / f"value{rank}").read_text().split("\n") == [wanted] * len(SHARES)
