"""A classifier small enough for tests: patches of 8, three blocks, five channels of two sensors."""

import torch

from wsss_toolkit.domain import ChannelTable, Sensor
from wsss_toolkit.heads.classifier import build_classifier
from wsss_toolkit.heads.kinds import Linear, PerToken
from wsss_toolkit.recipe.schema import Model

CHANNELS = ChannelTable((Sensor("radar", ("VV", "VH")), Sensor("optical", ("B02", "B03", "B04"))))


def tiny_classifier(*, fusion="early", frozen_below=0, patch_head=False, **section):
    torch.manual_seed(0)
    values = {
        "backbone": "vit_tiny_patch16_224",
        "patch_size": 8,
        "image_size": 24,
        "depth": 3,
        "attention": "asymmetric",
        "class_tokens": {"enter_at": 1},
        **section,
    }
    heads = {"class": PerToken(kind="per_token")} | ({"patch": Linear(kind="linear")} if patch_head else {})
    model = build_classifier(Model.model_validate(values), heads, CHANNELS, fusion, 3, frozen_below=frozen_below)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():  # weights away from their start, so that every term counts
        for name, parameter in model.named_parameters():
            if not name.endswith("log_alpha"):
                parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    return model


def images(count, size):
    return torch.randn(count, 5, size, size, generator=torch.Generator().manual_seed(size))
