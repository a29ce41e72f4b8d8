"""Five ways to train, small: the first steps that the old code took with each are in gradients.json."""

import torch
from small_model import parts, small_classifier
from torch.nn import functional as F

from wsss_toolkit.model.layout import visible_patches
from wsss_toolkit.objective.objective import Objective
from wsss_toolkit.recipe.schema import Augment, Train
from wsss_toolkit.training.task import ClassifierTask

GATES = {"enabled": True, "log_alpha": 0.5}
PRESENCE = {"presence": {}}
LSE = {"kind": "linear", "pool": "lse", "sharpness": 1.0}
PATCH_TERM = {"kind": "presence", "head": "patch"}

CONFIGURATIONS = {
    "all": {
        "heads": {"class": "per_token", "patch": LSE},
        "terms": {**PRESENCE, "patch": PATCH_TERM, "open_gates": {"weight": 0.01}, "map_diversity": {"weight": 0.1}},
        "section": {"attention": "asymmetric", "class_tokens": {"enter_at": 1}, "gates": GATES},
    },
    "paper": {
        "heads": {"class": "concat"},
        "terms": {**PRESENCE, "open_gates": {"weight": 0.01}},
        "section": {"gates": GATES},
    },
    "mct": {
        "heads": {"class": "mean", "patch": "linear"},
        "terms": {**PRESENCE, "patch": PATCH_TERM, "open_gates": {"weight": 0.01}},
        "section": {"gates": {"enabled": False}, "token_masking": 0.0},
        "exclusive": True,
    },
    "shared": {
        "heads": {"class": "concat"},
        "terms": {**PRESENCE, "open_gates": {"weight": 0.01}},
        "section": {"gates": GATES, "token_masking": 0.0, "class_tokens": {"shared": True}},
    },
    "frozen": {
        "heads": {"class": "per_token", "patch": "linear"},
        "terms": {
            **PRESENCE,
            "patch": {**PATCH_TERM, "weight": 0.7},
            "open_gates": {"weight": 0.02},
            "map_diversity": {"weight": 0.2},
        },
        "section": {"attention": "asymmetric", "class_tokens": {"enter_at": 1}, "gates": GATES},
        "frozen_below": 1,
    },
}


def first_step(name, **changes):
    """Return the task of a configuration and its first batch: six images, four classes, some patches without data."""
    chosen = {"exclusive": False, "frozen_below": 0, **CONFIGURATIONS[name], **changes}
    frozen = chosen["frozen_below"]
    torch.manual_seed(3)
    model = small_classifier(
        heads=chosen["heads"],
        frozen_below=frozen,
        **{"depth": 2, "image_size": 32, "patch_size": 8},
        **chosen["section"],
    )
    numbers = torch.Generator().manual_seed(5)
    images = torch.randn(6, 3, 32, 32, generator=numbers)
    valid = torch.rand(6, 32, 32, generator=numbers) > 0.05
    valid[0, :8, :16] = False
    labels = (torch.rand(6, 4, generator=numbers) > 0.5).float()
    if chosen["exclusive"]:
        labels = F.one_hot(torch.arange(6) % 4, 4).float()
    batch = {
        "image": images * valid[:, None],
        "valid": valid,
        "present": torch.ones(6, 1, dtype=torch.bool),
        "labels": labels,
        "code": torch.arange(6) % 4,
        "index": torch.arange(6),
    }
    if frozen:
        visible = visible_patches(valid, 8)
        tokens = model.backbone.encode_frozen(batch["image"], batch["present"], visible)
        batch.update(image=tokens, valid=visible)
    train = Train(augment=Augment(color_jitter=0.0 if frozen else 0.2), freeze_below=frozen, epochs=2)
    task = ClassifierTask(
        model,
        Objective(parts("terms", chosen["terms"]), model.shape, model.backbone.enter_at),
        train,
        seed=7,
        exclusive=chosen["exclusive"],
        sensor_dropout=0.0,
        steps_per_epoch=3,
        grid=(4, 4) if frozen else None,
    )
    task.log = lambda *arguments, **options: None  # there is no trainer to log to
    return task.train(), batch


def gradients(model):
    return {name: value.grad for name, value in model.named_parameters() if value.grad is not None}
