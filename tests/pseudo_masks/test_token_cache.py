"""Tokens that were computed before are read from disk, and only where they are those that would be computed."""

import pytest
import torch

from wsss_toolkit.domain import ChannelTable, Sensor
from wsss_toolkit.model.vit import MultiTokenViT, build_backbone
from wsss_toolkit.pseudo_masks.consensus.features import TokenReader
from wsss_toolkit.recipe.schema import ClassTokens, Gates, Model

CAMERA = ChannelTable((Sensor("camera", ("R", "G", "B")),))


def backbone(seed=0, **section):
    values = {"backbone": "vit_tiny_patch16_224", "depth": 2, "image_size": 32, "attention": "asymmetric"} | section
    values |= {"gates": Gates(enabled=False), "class_tokens": ClassTokens(enter_at=1)}
    torch.manual_seed(seed)
    return build_backbone(Model(**values), CAMERA, "early", 2)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "wsss-toolkit" / "tokens"


@pytest.fixture
def computed(monkeypatch):
    """The images of every pass through a backbone."""
    passes, embed = [], MultiTokenViT.embed

    def counted(self, images, present):
        passes.append(len(images))
        return embed(self, images, present)

    monkeypatch.setattr(MultiTokenViT, "embed", counted)
    return passes


def batch(seed=1):
    images = torch.rand(2, 3, 40, 48, generator=torch.Generator().manual_seed(seed))
    valid = torch.ones(2, 40, 48, dtype=torch.bool)
    valid[1, :, :20] = False
    return images, valid, torch.ones(2, 1, dtype=torch.bool)


def test_tokens_from_disk_are_those_that_were_computed_and_those_without_a_cache(folder, computed):
    plain = TokenReader(backbone(), (0, 1), 32)(*batch())
    first = TokenReader(backbone(), (0, 1), 32, kept=True)(*batch())
    assert len(computed) == 2 and len(list(folder.rglob("*.safetensors"))) == 2
    again = TokenReader(backbone(), (0, 1), 32, kept=True)(*batch())
    assert len(computed) == 2
    for tokens in (first, again):
        assert all(torch.equal(one, other) for one, other in zip(tokens[:2], plain[:2], strict=True))
        assert tokens.grid == plain.grid


def test_what_changes_tokens_makes_others_and_what_does_not_finds_them(folder, computed):
    def count(model=None, blocks=(0, 1), side=32, changed=None, seed=1):
        parts = list(batch(seed))
        if changed is not None:
            parts[changed] = ~parts[changed]
        before = len(computed)
        TokenReader(model or backbone(), blocks, side, kept=True)(*parts)
        return len(computed) - before

    assert count() == 1
    other_weights = backbone()
    with torch.no_grad():
        other_weights.block(0).attn.qkv.weight[0, 0] += 1
    assert [count(other_weights), count(blocks=(1,)), count(side=48), count(changed=1), count(seed=2)] == [1] * 5
    other_start = backbone()
    with torch.no_grad():
        other_start.class_tokens += 1  # patches do not read them
    assert [count(other_start), count()] == [0, 0]
    joint = backbone(attention="joint")
    assert count(joint) == 1
    with torch.no_grad():
        joint.class_tokens += 1
    assert count(joint) == 1


def test_a_damaged_file_is_made_again(folder, computed):
    reader = TokenReader(backbone(), (1,), 32, kept=True)
    expected = reader(*batch()).values
    damaged = next(folder.rglob("*.safetensors"))
    damaged.write_bytes(damaged.read_bytes()[:100])
    assert torch.equal(reader(*batch()).values, expected)
    assert len(computed) == 2
    assert torch.equal(reader(*batch()).values, expected)
    assert len(computed) == 2
