import pytest
import torch
from torch import nn

from wsss_toolkit.model.attention import GatedAttention, asymmetric_attention
from wsss_toolkit.model.attention_maps import affinity, class_map, head_maps, together
from wsss_toolkit.model.gate import FixedGates, HardConcreteGate
from wsss_toolkit.model.layout import TokenLayout

C, N, R, D, H = 5, 12, 2, 24, 3


def layout(classes=C, *, asymmetric=False, visible=None):
    return TokenLayout(classes, (3, 4), R, visible, asymmetric)


def naive(attention, x, classes, patches, *, asymmetric, visible=None):
    """Attention from its definition: the full matrix over all tokens, with a mask."""
    b, n, _ = x.shape
    q, k, v = attention.qkv(x).view(b, n, 3, attention.heads, -1).permute(2, 0, 3, 1, 4)
    q, k = attention.q_norm(q), attention.k_norm(k)
    scores = torch.einsum("bhie,bhje->bhij", q, k) / q.shape[-1] ** 0.5
    if asymmetric:
        allowed = torch.ones(n, n, dtype=torch.bool)
        allowed[:, :classes] = False
        allowed |= torch.eye(n, dtype=torch.bool)
        scores = scores.masked_fill(~allowed, -torch.inf)
    if visible is not None:
        readable = torch.ones(b, n, dtype=torch.bool)
        readable[:, classes : classes + patches] = visible
        scores = scores.masked_fill(~readable[:, None, None], -torch.inf)
    weights = scores.softmax(-1)
    gates = attention.gate.evaluation() if attention.gate is not None else torch.ones(attention.heads)
    heads = torch.einsum("bhij,bhje->bihe", weights, v) * gates.view(1, 1, -1, 1)
    mean = torch.einsum("h,bhij->bij", gates, weights) / gates.sum()
    span = slice(classes, classes + patches)
    return attention.proj(heads.flatten(2)), mean[:, :classes, span], mean[:, span, span]


def by_head(attention, x, classes, patches, *, asymmetric):
    """Class maps of one head at a time: from `naive`, with all other gates closed."""
    gates = attention.gate
    found = []
    for head in range(attention.heads):
        attention.gate = FixedGates(torch.eye(attention.heads)[head], attention.heads)
        attention.gate.evaluation = attention.gate.forward
        found.append(naive(attention, x, classes, patches, asymmetric=asymmetric)[1])
    attention.gate = gates
    return torch.stack(found, 1)


@pytest.fixture
def attention():
    gate = HardConcreteGate(H)
    gate.log_alpha.data = torch.tensor([2.0, -3.0, 0.0])
    return GatedAttention(nn.Linear(D, 3 * D), nn.Linear(D, D), H, nn.LayerNorm(8), nn.LayerNorm(8), gate).eval()


@pytest.mark.parametrize("asymmetric", [False, True])
@pytest.mark.parametrize("classes", [1, C, 70])
def test_output_class_map_and_affinity_equal_full_attention(attention, asymmetric, classes):
    x = torch.randn(2, classes + N + R, D) * 2
    ours, attending = attention(x, layout(classes, asymmetric=asymmetric))
    tokens, rows, pairs = naive(attention, x, classes, N, asymmetric=asymmetric)
    seen = class_map(attending)
    torch.testing.assert_close(ours, tokens, atol=1e-5, rtol=0)
    torch.testing.assert_close(seen.maps, rows.view(2, classes, 3, 4), atol=1e-5, rtol=0)
    torch.testing.assert_close(affinity(attending), pairs, atol=1e-5, rtol=0)
    assert seen.open == 1


@pytest.mark.parametrize("asymmetric", [False, True])
@pytest.mark.parametrize("outputs", [C, C + 3, C + N + R])
@pytest.mark.parametrize("some", [False, True])
def test_first_outputs_alone_equal_those_of_the_whole(attention, asymmetric, outputs, some):
    x = torch.randn(2, C + N + R, D) * 2
    places = layout(asymmetric=asymmetric, visible=torch.rand(2, N) < 0.7 if some else None)
    whole, of_all = attention(x, places)
    part, of_some = attention(x, places, outputs)
    assert part.shape == (2, outputs, D)
    torch.testing.assert_close(part, whole[:, :outputs], atol=1e-6, rtol=0)
    for reader in (class_map, head_maps):
        torch.testing.assert_close(reader(of_some).maps, reader(of_all).maps, atol=1e-6, rtol=0)


def test_affinity_needs_every_patch(attention):
    x = torch.randn(2, C + N + R, D)
    whole, some = (attention(x, layout(), outputs)[1] for outputs in (C + N, C + N - 1))
    assert affinity(whole).shape == (2, N, N)
    with pytest.raises(ValueError, match="call the model with whole=True"):
        affinity(some)


@pytest.mark.parametrize("asymmetric", [False, True])
@pytest.mark.parametrize("classes", [0, C, 70])
def test_patches_without_data_are_read_by_nobody(attention, asymmetric, classes):
    x = torch.randn(3, classes + N + R, D) * 2
    visible = torch.rand(3, N) < 0.5
    visible[2] = False  # nothing to see: then everything is
    readable = visible | ~visible.any(1, keepdim=True)
    ours, attending = attention(x, layout(classes, asymmetric=asymmetric, visible=visible))
    tokens, rows, pairs = naive(attention, x, classes, N, asymmetric=asymmetric, visible=readable)
    maps = class_map(attending).maps.flatten(2)
    torch.testing.assert_close(ours, tokens, atol=1e-5, rtol=0)
    torch.testing.assert_close(maps, rows, atol=1e-5, rtol=0)
    torch.testing.assert_close(affinity(attending), pairs, atol=1e-5, rtol=0)
    assert maps.masked_fill(readable[:, None], 0).sum() == 0


def test_without_class_tokens_both_attentions_are_one(attention):
    x = torch.randn(2, N + R, D)
    assert attention(x, layout(0, asymmetric=True))[0].equal(attention(x, layout(0))[0])


def test_layer_without_an_open_gate_gives_zero_maps_of_weight_zero(attention):
    attention.gate.log_alpha.data.fill_(-9)
    tokens, attending = attention(torch.randn(2, C + N + R, D), layout(asymmetric=True))
    maps, opened = class_map(attending)
    assert opened == 0
    assert maps.abs().sum() == 0
    torch.testing.assert_close(tokens, attention.proj.bias.expand_as(tokens))


def test_ungated_heads_are_averaged_evenly(attention):
    attention.gate = None
    x = torch.randn(1, C + N + R, D)
    _, rows, _ = naive(attention, x, C, N, asymmetric=False)
    torch.testing.assert_close(class_map(attention(x, layout())[1]).maps.flatten(2), rows, atol=1e-6, rtol=0)


@pytest.mark.parametrize("asymmetric", [False, True])
def test_maps_of_each_head_equal_full_attention_and_their_gated_mean_is_the_class_map(attention, asymmetric):
    x = torch.randn(2, C + N + R, D) * 2
    _, attending = attention(x, layout(asymmetric=asymmetric))
    found = together([class_map, head_maps, class_map])(attending)
    assert list(found) == [class_map, head_maps]
    maps, gates = found[head_maps]
    assert maps.shape == (2, H, C, 3, 4)
    expected = by_head(attention, x, C, N, asymmetric=asymmetric)
    torch.testing.assert_close(maps.flatten(3), expected, atol=1e-6, rtol=0)
    torch.testing.assert_close(gates, attention.gate.evaluation())
    assert gates[1] == 0
    mean = torch.einsum("h,bhcyx->bcyx", gates / gates.sum(), maps)
    torch.testing.assert_close(found[class_map].maps, mean, atol=1e-6, rtol=0)


def test_asymmetric_attention_never_holds_a_matrix_over_all_classes(monkeypatch):
    shapes = []
    fused = nn.functional.scaled_dot_product_attention

    def record(q, k, v, attn_mask=None):
        shapes.append((q.shape[2], k.shape[2]))
        return fused(q, k, v, attn_mask=attn_mask)

    monkeypatch.setattr(nn.functional, "scaled_dot_product_attention", record)
    x = torch.randn(1, 2, 500 + N, 8)
    asymmetric_attention(x, x, x, 500)
    assert max(keys for _, keys in shapes) == N + 32
    assert sum(queries for queries, _ in shapes) == 500 + N
