import pytest
import torch
from torch import nn

from wsss_toolkit.model.attention import GatedAttention, asymmetric_attention
from wsss_toolkit.model.gate import FixedGates, HardConcreteGate

C, N, R, D, H = 5, 12, 2, 24, 3


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
    ours = attention(x, classes, N, asymmetric=asymmetric, maps=True, affinity=True)
    tokens, class_map, affinity = naive(attention, x, classes, N, asymmetric=asymmetric)
    torch.testing.assert_close(ours.tokens, tokens, atol=1e-5, rtol=0)
    torch.testing.assert_close(ours.class_map, class_map, atol=1e-5, rtol=0)
    torch.testing.assert_close(ours.affinity, affinity, atol=1e-5, rtol=0)
    assert ours.open == 1


@pytest.mark.parametrize("asymmetric", [False, True])
@pytest.mark.parametrize("outputs", [C, C + 3, C + N + R])
@pytest.mark.parametrize("some", [False, True])
def test_first_outputs_alone_equal_those_of_the_whole(attention, asymmetric, outputs, some):
    x = torch.randn(2, C + N + R, D) * 2
    visible = torch.rand(2, N) < 0.7 if some else None
    whole = attention(x, C, N, asymmetric=asymmetric, visible=visible, head_maps=True)
    part = attention(x, C, N, asymmetric=asymmetric, visible=visible, head_maps=True, outputs=outputs)
    assert part.tokens.shape == (2, outputs, D)
    torch.testing.assert_close(part.tokens, whole.tokens[:, :outputs], atol=1e-6, rtol=0)
    torch.testing.assert_close(part.class_map, whole.class_map, atol=1e-6, rtol=0)
    torch.testing.assert_close(part.head_maps, whole.head_maps, atol=1e-6, rtol=0)


def test_affinity_needs_every_output(attention):
    x = torch.randn(2, C + N + R, D)
    assert attention(x, C, N, asymmetric=False, affinity=True, outputs=C).tokens.shape == x.shape


@pytest.mark.parametrize("asymmetric", [False, True])
@pytest.mark.parametrize("classes", [0, C, 70])
def test_patches_without_data_are_read_by_nobody(attention, asymmetric, classes):
    x = torch.randn(3, classes + N + R, D) * 2
    visible = torch.rand(3, N) < 0.5
    visible[2] = False  # nothing to see: then everything is
    readable = visible | ~visible.any(1, keepdim=True)
    ours = attention(x, classes, N, asymmetric=asymmetric, visible=visible, maps=True, affinity=True)
    tokens, class_map, affinity = naive(attention, x, classes, N, asymmetric=asymmetric, visible=readable)
    torch.testing.assert_close(ours.tokens, tokens, atol=1e-5, rtol=0)
    torch.testing.assert_close(ours.class_map, class_map, atol=1e-5, rtol=0)
    torch.testing.assert_close(ours.affinity, affinity, atol=1e-5, rtol=0)
    assert ours.class_map.masked_fill(readable[:, None], 0).sum() == 0


def test_without_class_tokens_both_attentions_are_one(attention):
    x = torch.randn(2, N + R, D)
    assert attention(x, 0, N, asymmetric=True).tokens.equal(attention(x, 0, N, asymmetric=False).tokens)


def test_layer_without_an_open_gate_gives_zero_maps_of_weight_zero(attention):
    attention.gate.log_alpha.data.fill_(-9)
    result = attention(torch.randn(2, C + N + R, D), C, N, asymmetric=True, maps=True)
    assert result.open == 0
    assert result.class_map.abs().sum() == 0
    torch.testing.assert_close(result.tokens, attention.proj.bias.expand_as(result.tokens))


def test_ungated_heads_are_averaged_evenly(attention):
    attention.gate = None
    x = torch.randn(1, C + N + R, D)
    _, class_map, _ = naive(attention, x, C, N, asymmetric=False)
    torch.testing.assert_close(attention(x, C, N, asymmetric=False, maps=True).class_map, class_map, atol=1e-6, rtol=0)


@pytest.mark.parametrize("asymmetric", [False, True])
def test_maps_of_each_head_equal_full_attention_and_their_gated_mean_is_the_class_map(attention, asymmetric):
    x = torch.randn(2, C + N + R, D) * 2
    ours = attention(x, C, N, asymmetric=asymmetric, head_maps=True)
    assert ours.head_maps.shape == (2, H, C, N)
    torch.testing.assert_close(ours.head_maps, by_head(attention, x, C, N, asymmetric=asymmetric), atol=1e-6, rtol=0)
    torch.testing.assert_close(ours.gates, attention.gate.evaluation())
    assert ours.gates[1] == 0
    mean = torch.einsum("h,bhcn->bcn", ours.gates / ours.gates.sum(), ours.head_maps)
    torch.testing.assert_close(ours.class_map, mean, atol=1e-6, rtol=0)
    without = attention(x, C, N, asymmetric=asymmetric, maps=True)
    assert without.head_maps is None and without.gates is None
    assert without.class_map.equal(ours.class_map) and without.tokens.equal(ours.tokens)


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
