import pytest
import torch

from skts.errors import ParameterError, PersistenceError
from skts.fractal.paper import FACTORIES, PaperConfig, PaperFractal, config_of
from tests.fractal.paper.common import TINY

KEYS = {  # of the released files: tensors, and millions of parameters in each generator and in the head
    "fractalar_in64": (348, (412.47, 27.81, 0.76)),
    "fractalmar_in64": (550, (404.45, 25.76, 0.76)),
    "fractalmar_base_in256": (552, (171.49, 11.77, 2.16, 0.11)),
    "fractalmar_large_in256": (684, (405.19, 26.61, 4.06, 0.12)),
    "fractalmar_huge_in256": (816, (790.06, 50.96, 7.16, 0.12)),
}
TOTALS = dict(zip(KEYS, (442.07, 432.00, 186.30, 437.00, 849.59), strict=True))


def on_meta(config):
    with torch.device("meta"):
        return PaperFractal(config)


def shapes(net):
    return {k: tuple(v.shape) for k, v in net.state_dict().items()}


def millions(module):
    return sum(p.numel() for p in module.parameters()) / 1e6


def expected_keys(c):
    """Names of the tensors of a released file, written out from its layout."""
    both = ("weight", "bias")
    block = [f"{m}.{b}" for m in ("norm1", "norm2", "attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2") for b in both]
    llama = [f"attention.{w}.weight" for w in ("wqkv", "wo")] + [f"feed_forward.{w}.weight" for w in ("w1", "w2", "w3")]
    llama += ["attention_norm.weight", "ffn_norm.weight"]

    def head(prefix, n_blocks):
        yield from (f"{prefix}{m}.{b}" for m in ("cond_proj", "ln", "norm") for b in both)
        yield from (f"{prefix}{c}_{m}" for c in "rgb" for m in ("codebook.weight", "mlm.bias"))
        yield from (f"{prefix}blocks.{i}.{name}" for i in range(n_blocks) for name in block)

    yield from ("class_emb.weight", "fake_latent")
    for level in range(len(c.sides) - 1):
        prefix = "next_fractal." * level + "generator."
        yield f"{prefix}pos_embed_learned"
        yield from (f"{prefix}{m}.{b}" for m in ("patch_emb", "patch_emb_ln", "cond_emb", "norm") for b in both)
        names = llama if c.kind == "ar" else block
        yield from (f"{prefix}blocks.{i}.{name}" for i in range(c.blocks[level]) for name in names)
        if c.kind == "mar":
            yield f"{prefix}mask_token"
        if c.guiding and level:
            yield from (f"{prefix}pix_proj.{b}" for b in both)
            yield from head(f"{prefix}guiding_pixel_loss.", 3)
    yield from head("next_fractal." * (len(c.sides) - 1), c.blocks[-1])


@pytest.mark.parametrize("name", FACTORIES)
def test_released_layout(name):
    net, (n_keys, parts) = on_meta(FACTORIES[name]), KEYS[name]
    assert set(net.state_dict()) == set(expected_keys(FACTORIES[name]))
    assert len(net.state_dict()) == n_keys
    assert millions(net) == pytest.approx(TOTALS[name], abs=0.006)
    level = net
    for part in parts[:-1]:
        assert millions(level.generator) == pytest.approx(part, abs=0.006)
        level = level.next_fractal
    assert millions(level) == pytest.approx(parts[-1], abs=0.006)


@pytest.mark.parametrize("name", FACTORIES)
def test_released_shapes_tell_the_configuration(name):
    assert config_of(shapes(on_meta(FACTORIES[name]))) == FACTORIES[name]


@pytest.mark.parametrize("name", TINY)
def test_shapes_tell_all_but_the_heads(name):
    found = shapes(on_meta(TINY[name]))
    assert config_of(found, TINY[name].heads) == TINY[name]
    with pytest.raises(PersistenceError, match="pass heads="):
        config_of(found)


def test_text_and_back():
    for config in FACTORIES.values():
        assert PaperConfig.from_json(config.to_json()) == config


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "rnn"},
        {"sides": (8, 3, 1)},
        {"sides": (8, 4)},
        {"dims": (16, 16)},
        {"heads": (3, 2, 2)},
        {"heads": (8, 8, 2)},
        {"guiding": True},
    ],
)
def test_parts_that_do_not_fit(change):
    parts = {"kind": "ar", "sides": (8, 4, 1), "dims": (16, 16, 8), "blocks": (1, 1, 1), "heads": (2, 2, 2)}
    with pytest.raises(ParameterError, match="parts fit"):
        PaperConfig(**parts | change)


def test_other_tensors_are_refused():
    with pytest.raises(PersistenceError, match="fractal network"):
        config_of({"encoder.weight": (2, 2)})
