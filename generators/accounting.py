"""What a privacy accountant said of a training: a file that lies beside images or a checkpoint made elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bench.api import BenchError
from bench.storage.files import read_json

FILE = "privacy_accounting.json"


class Accounting(BaseModel):
    """An accountant's record. Nothing here is measured: it is what the training's own books say.

    Attributes:
        mechanism: what was accounted for, e.g. ``DP-SGD``.
        epsilon, delta: of the guarantee.
        unit: whose data the guarantee is for: neighbouring data sets differ in all images of a patient, in a study, or
            in one image.
        accountant, version: what counted, e.g. ``dp_accounting pld`` and ``0.6.0``.
        noise_multiplier, sampling_rate, steps, clipping_norm: of the training, where it has them.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    mechanism: str = Field(min_length=1)
    epsilon: float = Field(ge=0)
    delta: float = Field(ge=0, lt=1)
    unit: Literal["patient", "study", "image"]
    accountant: str = Field(min_length=1)
    version: str = Field(min_length=1)
    noise_multiplier: float | None = Field(default=None, ge=0)
    sampling_rate: float | None = Field(default=None, gt=0, le=1)
    steps: int | None = Field(default=None, ge=1)
    clipping_norm: float | None = Field(default=None, gt=0)


def accounting_record(setting: str | None) -> Mapping[str, Any] | None:
    """What the file that ``generator.accounting`` names says; ``None`` where none is named.

    Args:
        setting: the file, or a folder with a ``privacy_accounting.json``.

    Raises:
        BenchError: there is no such file, or it is no such record; every fault is named with its place.
    """
    if setting is None:
        return None
    path = Path(setting).expanduser()
    path = path / FILE if path.is_dir() else path
    found = read_json(path)
    if found is None:
        raise BenchError(f"generator.accounting: {path} does not exist; name a {FILE}, or null where there is none")
    try:
        return Accounting.model_validate(found).model_dump()
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, each['loc'])) or 'the whole'}: {each['msg']}" for each in error.errors()]
        fields = ", ".join(Accounting.model_fields)
        raise BenchError(f"generator.accounting: {path}: {'; '.join(faults)}; needed an object of {fields}") from error
