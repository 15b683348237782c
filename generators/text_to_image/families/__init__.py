"""How pipelines of each kind are trained: latents, captions, noise, prediction, target."""

from generators.text_to_image.families.family import Captions, Family
from generators.text_to_image.families.flow import Flow, Flux, Lumina2, Sana, StableDiffusion3
from generators.text_to_image.families.noising import Noising, PixArtSigma, StableDiffusion

__all__ = [
    "Captions",
    "Family",
    "Flow",
    "Flux",
    "Lumina2",
    "Noising",
    "PixArtSigma",
    "Sana",
    "StableDiffusion",
    "StableDiffusion3",
]
