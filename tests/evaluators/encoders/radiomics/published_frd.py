"""What frd-score 1.0.1 on pyradiomics 3.0.1 makes of small images; writes ``published_frd.json``, which tests read.

pip install 'frd-score==1.0.1' && pip install --no-build-isolation 'pyradiomics==3.0.1'
python -m tests.evaluators.encoders.radiomics.published_frd
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from PIL import Image

EXPECTED = Path(__file__).with_name("published_frd.json")
PER_SET = 8


def images() -> dict[str, np.ndarray]:
    """Images with texture, with odd sides, with large flat areas, with one bright pixel, and without noise."""
    rng = np.random.default_rng(12)
    patch, spot = np.zeros((32, 32), np.uint8), np.zeros((16, 24), np.uint8)
    patch[9:20, 7:22] = rng.integers(50, 200, (11, 15))
    spot[3, 4] = 255
    return {
        "texture": texture(rng, (32, 32)),
        "odd sides": texture(rng, (21, 27)),
        "patch on black": patch,
        "bright pixel": spot,
        "ramp": (np.arange(24)[:, None] * 3 + np.arange(24) * 5).astype(np.uint8),
    }


def sets() -> tuple[np.ndarray, np.ndarray]:
    """Two sets of images ``(8, 24, 24)``, the second darker and coarser."""
    rng = np.random.default_rng(13)
    first = np.stack([texture(rng, (24, 24)) for _ in range(PER_SET)])
    second = np.stack([texture(rng, (24, 24)) // 2 + 20 for _ in range(PER_SET)]).repeat(2, axis=1)[:, :24]
    return first, second


def texture(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """Means of 3x3 random integers: the same bytes everywhere."""
    noise = rng.integers(0, 256, (size[0] + 2, size[1] + 2))
    summed = sum(noise[a : a + size[0], b : b + size[1]] for a in range(3) for b in range(3))
    return np.asarray(summed // 9, np.uint8)


def published(image: np.ndarray) -> dict[str, float]:
    """All numbers of the published code for one image, by its names."""
    from frd_score import frd

    logging.disable(logging.ERROR)
    extractor = frd.get_feature_extractor("v1")
    with TemporaryDirectory() as folder:
        path = Path(folder, "image.png")
        Image.fromarray(image).save(path)
        return frd.process_image_mask_pair((str(path), None), feature_extractor=extractor)[1]


def published_distance(first: np.ndarray, second: np.ndarray) -> float:
    """The published distance of two sets, each in a folder of PNG files."""
    from frd_score import frd

    logging.disable(logging.ERROR)
    with TemporaryDirectory() as folder:
        for name, images in (("first", first), ("second", second)):
            Path(folder, name).mkdir()
            for number, image in enumerate(images):
                Image.fromarray(image).save(Path(folder, name, f"{number}.png"))
        return float(frd.compute_frd([str(Path(folder, "first")), str(Path(folder, "second"))], num_workers=1))


def main() -> None:
    made: dict[str, Any] = {name: published(image) for name, image in images().items()}
    EXPECTED.write_text(json.dumps({"images": made, "distance": published_distance(*sets())}, indent=1) + "\n")


if __name__ == "__main__":
    main()
