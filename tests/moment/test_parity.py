"""The network against momentfm 0.1.4 (golden/tiny.safetensors, written by make_golden.py): acceptance row A."""

import numpy as np
import pytest
import torch
from torch import nn

from skts.moment.module import ClassificationHead, ForecastHead
from tests.moment.common import CASES, dense, embedder, left_padded, tiny_net

NET = tiny_net()
EMBEDDINGS = [case for case in CASES if case.startswith(("embed", "masked"))]


def inputs(case):
    data = dict(CASES[case])
    if "left" in case and "input_mask" not in data:
        data["x"], data["input_mask"] = left_padded(data["x"])
    return data


@pytest.mark.parametrize("case", EMBEDDINGS)
@torch.no_grad()
def test_mean_embedding_of_the_padded_network(case):
    data = inputs(case)
    pack, keys, *_ = dense(data["x"], data.get("input_mask"))
    tokens = NET(pack)[-1].view(*keys.shape, -1).mean(1)
    weight = keys[:, 0, :, None]
    torch.testing.assert_close((tokens * weight).sum(1) / weight.sum(1), data["out"], rtol=0, atol=1e-5)


@pytest.mark.parametrize("case", [case for case in EMBEDDINGS if case != "masked-nan"])
def test_strict_transformer(case, released):
    x = CASES[case]["x"].numpy()
    short = "pad" if "left" in case else "raw"
    model = embedder(weights=released, strict_parity=True, short=short)
    if case == "embed-odd64":  # momentfm embeds a channel of nothing but NaN as if it were constant
        x = np.nan_to_num(x)
    np.testing.assert_allclose(model.fit(x).transform(x), CASES[case]["out"], rtol=0, atol=1e-5)


@torch.no_grad()
def test_tokens():
    data = CASES["tokens"]
    pack, *_ = dense(data["x"])
    torch.testing.assert_close(NET(pack)[-1].view(data["out"].shape), data["out"], rtol=0, atol=1e-5)


@pytest.mark.parametrize("case", [case for case in CASES if case.startswith("reconstruct")])
@torch.no_grad()
def test_reconstruction(case):
    data = CASES[case]
    everything = torch.ones(len(data["x"]), data["x"].shape[2])
    pack, keys, mean, scale = dense(data["x"], data.get("input_mask"), data.get("visible", everything))
    found = NET.reconstruct(pack).view(*keys.shape[:2], -1) * scale + mean
    worst = (found - data["out"]).abs().max() / data["out"].abs().max()
    assert worst <= 1e-5


def with_weights(head, data):
    head.linear.load_state_dict({"weight": data["weight"], "bias": data["bias"]})
    return head.eval()


@pytest.mark.parametrize("how", ["concat", "mean"])
@torch.no_grad()
def test_classification_head(how):
    data = CASES[f"classify-{how}"]
    pack, keys, *_ = dense(data["x"])
    head = with_weights(ClassificationHead(2, 32, 3, how), data)
    torch.testing.assert_close(head(NET(pack)[-1].view(*keys.shape, -1)), data["out"], rtol=0, atol=1e-5)


@torch.no_grad()
def test_forecast_head():
    data = CASES["forecast"]
    pack, keys, mean, scale = dense(data["x"])
    head = with_weights(ForecastHead(8, 32, 5), data)
    found = head(NET(pack)[-1].view(*keys.shape, -1)) * scale + mean
    torch.testing.assert_close(found.float(), data["out"], rtol=1e-5, atol=1e-5)


def test_every_parameter_is_trained():
    data = CASES["reconstruction-full"]
    pack, *_ = dense(data["x"], data["input_mask"], data["visible"])
    net = tiny_net()
    net.reconstruct(pack).square().mean().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in net.parameters())


def test_training_differs_by_dropout_alone():
    """In training mode with the probabilities at 0 the network is the one that is tested here."""
    pack, *_ = dense(CASES["embed-full"]["x"])
    net = tiny_net().train()
    for part in net.modules():
        if isinstance(part, nn.Dropout):
            part.p = 0.0
        if isinstance(getattr(part, "dropout", None), float):
            part.dropout = 0.0
    torch.testing.assert_close(net(pack)[-1], NET(pack)[-1])
