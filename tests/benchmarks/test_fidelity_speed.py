"""Ours and published packages agree where they are timed, and the passes stay near the products they cannot avoid."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.fidelity_speed import (
    Case,
    all_case,
    fd_case,
    features,
    kid_case,
    main,
    measure,
    nearest_case,
    prdc_case,
    report,
    vendi_case,
)


@pytest.mark.parametrize(
    ("case", "tolerance"),
    [(fd_case(24, 200), 1e-4), (fd_case(200, 24), 1e-4), (prdc_case(12, 150), 1e-12), (vendi_case(12, 90), 1e-6)],
    ids=lambda each: each.name if isinstance(each, Case) else "",
)
def test_values_agree_with_those_of_every_peer(case: Case, tolerance: float) -> None:
    ours = case.ours()
    for name, run in case.peers.items():
        package = {"torchmetrics": "torchmetrics", "torch-fidelity": "torch_fidelity", "prdc": "prdc"}.get(name)
        if package:
            pytest.importorskip(package)
        np.testing.assert_allclose(run(), ours, rtol=tolerance, err_msg=name)


def test_features_have_the_mean_and_the_spectrum_they_claim() -> None:
    rows = features(0, 20000, 8)
    eigenvalues = np.linalg.eigvalsh(np.cov(rows.T))[::-1]
    np.testing.assert_allclose(rows.mean(axis=0), 0.5, atol=0.05)
    np.testing.assert_allclose(eigenvalues, 1 / np.arange(1, 9), rtol=0.1)


def test_a_table_has_a_line_for_ours_and_every_peer_that_ran() -> None:
    def missing() -> None:
        raise ModuleNotFoundError("not installed")

    case = Case("sum", 1e6, lambda: 2.0, {"twice": lambda: [2.0, 3.0], "missing": missing})
    lines = list(report(case, measure(case, 2)))
    assert [line.split(" | ")[1] for line in lines] == ["ours", "twice"]
    assert lines[1].endswith("| 2, 3 |")


def test_an_unknown_case_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["fd-3-1"])
    assert "unknown cases ['fd-3-1']" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("case", "most"),
    [
        (lambda: prdc_case(768, 6000), 3.5),
        (lambda: kid_case(768, 6000), 2.5),
        (lambda: nearest_case(768, 4000, 20000), 2.0),
        (lambda: all_case(768, 4000, 20000), 3.0),
    ],
    ids=["prdc", "kid", "nearest", "all"],
)
def test_a_pass_takes_little_more_than_its_products(case: object, most: float, one_thread: None) -> None:
    made = case()  # type: ignore[operator]
    ours = Case(made.name, made.operations, made.ours, {})
    timings = measure(ours, 3)["ours"]
    assert min(each.seconds * each.rate / made.operations for each in timings) <= most


@pytest.mark.slow
def test_memory_of_a_pass_does_not_grow_with_the_references(one_thread: None) -> None:
    peaks = []
    for references in (10000, 40000):
        case = nearest_case(768, 500, references)
        case.ours()
        peaks.append(measure(Case(case.name, 1.0, case.ours, {}), 1)["ours"][0].peak)
    assert peaks[1] <= peaks[0] + 20
