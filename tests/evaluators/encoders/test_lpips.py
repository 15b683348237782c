"""LPIPS as squared distances of rows, against torchmetrics."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from bench.api import BenchError, ComparesPairs
from bench.networks.lpips import NETWORKS, fitted_weights
from evaluators.encoders.lpips import columns, lpips


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """AlexNet with random convolutions; its large classifier, which is not read, left at zero."""
    from torchvision.models import alexnet

    torch.manual_seed(0)
    network = alexnet(weights=None)
    path = tmp_path_factory.mktemp("alexnet") / "alexnet.pth"
    state = network.state_dict()
    zeros = {key: torch.zeros(1).expand(each.shape) for key, each in state.items() if key.startswith("classifier")}
    torch.save(state | zeros, path)
    return path


def test_squared_distances_equal_torchmetrics(weights: Path) -> None:
    size = 64

    from torchmetrics.functional.image.lpips import _LPIPS

    reference = _LPIPS(pretrained=True, net="alex", pnet_rand=True)
    state = torch.load(weights)
    for name, parameter in reference.net.named_parameters():
        parameter.copy_(state[f"features.{name.split('.', 1)[1]}"])
    images = np.random.default_rng(0).integers(0, 256, (4, size, size), dtype=np.uint8)
    batch = torch.from_numpy(images)[:, None].expand(-1, 3, -1, -1).float() / 255
    with torch.no_grad():
        wanted = reference(batch[:2], batch[2:], normalize=True).flatten().numpy()
    encoder = lpips("lpips", size, str(weights), {}, {"device": "cpu"})
    rows = encoder(images).astype(np.float64)
    assert rows.shape == (4, columns(size)) and isinstance(encoder, ComparesPairs)
    np.testing.assert_allclose(np.square(rows[:2] - rows[2:]).sum(axis=1), wanted, rtol=1e-4)


def test_the_fitted_weights_are_those_of_alexnet() -> None:
    weights = fitted_weights("alex")
    assert [len(each) for each in weights] == [64, 192, 384, 256, 256] and len(NETWORKS["alex"][1]) == 5
    assert all((each >= 0).all() for each in weights)


def test_too_small_an_input_is_an_error() -> None:
    with pytest.raises(BenchError, match="at least 31"):
        lpips("lpips", 24, None, {}, {})
    assert columns(31) > 0
