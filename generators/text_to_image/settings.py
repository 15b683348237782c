"""What can be set for a diffusers pipeline, checked when the generator is built."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from bench.api import BenchError

Precision = Literal["float32", "float16", "bfloat16"]


class Strict(BaseModel):
    """Unknown settings are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Source(Strict):
    """A local folder, or a model hub id at one commit.

    Attributes:
        path: a folder, or ``owner/name``.
        revision: the commit of a hub id, 40 hex digits; without it the weights could change under the name.
        subfolder: where in the folder or repository to look.
    """

    path: str | None = None
    revision: str | None = None
    subfolder: str | None = None


class Component(Source):
    """One part of the pipeline that is taken from elsewhere or configured otherwise.

    Attributes:
        kind: ``diffusers.NAME`` or ``transformers.NAME``; by default what the pipeline or the part's own
            configuration says.
        config: overrides of a scheduler's configuration, or settings of a tokenizer.
        may_miss: beginnings of the names of weights that the files need not hold, since the pipeline never uses them.
    """

    kind: str | None = Field(default=None, alias="class")
    config: dict[str, Any] = {}
    may_miss: tuple[str, ...] = ()


class Lora(Source):
    """A low-rank adapter laid over the pipeline.

    Attributes:
        file: the safetensors file in the folder.
        adapter: the name it gets.
        scale: how strongly it acts; 0 is the pipeline without it.
        fuse: add it to the weights, which is faster and rounds differently.
    """

    file: str = "pytorch_lora_weights.safetensors"
    adapter: str = "default"
    scale: float = 1.0
    fuse: bool = False


class Settings(Source):
    """The settings of ``conf/generator/diffusers.yaml``, which explains each."""

    pipeline: str | None = None
    components: dict[str, Component | None] = {}
    lora: Lora | None = None
    dtype: dict[str, Precision] = {"default": "float32"}
    prompt: str = "{prompt}"
    call: dict[str, Any] = {}
    size: tuple[int, int]
    resize: Literal["pad", "crop"] = "pad"
    remote_code: tuple[str, ...] = ()
    offload: Literal["none", "model", "sequential"] = "none"
    device: str = "auto"
    bad_tolerance: int = Field(default=0, ge=0)
    block: int = Field(default=8, ge=1)
    trained_on: str | None = None
    accounting: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _one_dtype_for_all(cls, values: Any) -> Any:
        if isinstance(values, dict) and isinstance(values.get("dtype"), str):
            return {**values, "dtype": {"default": values["dtype"]}}
        return values

    @property
    def places(self) -> tuple[str, ...]:
        """Every folder or hub id something is loaded from."""
        sources = (self, *self.components.values(), self.lora)
        return tuple(each.path for each in sources if each is not None and each.path)

    def precision(self, component: str) -> Precision:
        """The number format of a component."""
        return self.dtype.get(component, self.dtype.get("default", "float32"))


class Recipe(Strict):
    """What decides a trained adapter; ``conf/generator/sd_lora.yaml`` explains each setting.

    Attributes:
        family: a ``generators.text_to_image.families.Family``: how pipelines of this kind are trained.
    """

    family: Any
    rank: int = Field(default=32, ge=1)
    alpha: float | None = None
    layers: tuple[str, ...] = ("to_q", "to_k", "to_v", "to_out.0")
    learning_rate: float = Field(default=1e-4, gt=0)
    warmup_steps: int = Field(default=100, ge=0)
    weight_decay: float = Field(default=1e-2, ge=0)
    clip_norm: float = Field(default=1.0, gt=0)
    steps: int = Field(default=10_000, ge=1)
    batch: int = Field(default=8, ge=1)
    caption_dropout: float = Field(default=0.1, ge=0, le=1)

    def described(self) -> dict[str, Any]:
        """Every setting that decides the adapter as plain values, the family with its name."""
        chosen = self.model_dump(include=set(Recipe.model_fields))
        return chosen | {"family": {"name": type(self.family).__name__, **self.family.model_dump()}}


class Thrift(Strict):
    """What a training may cost; it changes no byte of the adapter.

    Attributes:
        checkpoint_every: steps a kill can cost.
        gradient_checkpointing: compute activations twice and keep few.
        caption_memory: GiB of main memory for encoded captions.
    """

    checkpoint_every: int = Field(default=500, ge=1)
    gradient_checkpointing: bool = False
    caption_memory: float = Field(default=4.0, ge=0)


class Training(Recipe, Thrift):
    """All that a trainer is told."""


Model = TypeVar("Model", bound=Strict)


def read(model: type[Model], values: Mapping[str, Any], setting: str = "generator") -> Model:
    """Check ``values``, which stand under ``setting`` in the configuration.

    Raises:
        BenchError: every unknown or unfit setting, with its place.
    """
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        faults = [f"{setting}.{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()]
        raise BenchError("; ".join(faults)) from error
