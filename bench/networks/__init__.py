"""Networks that plug-ins of several kinds share. Its modules import torch, as no others of the core do."""

from typing import Literal

Backbone = Literal["squeeze", "alex", "vgg"]  # the networks that LPIPS is fitted for
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of red, green and blue in 0..1
