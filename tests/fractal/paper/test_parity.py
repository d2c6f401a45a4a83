"""The networks against the released code, by its fixtures: acceptance row 3."""

import itertools

import pytest
import torch

from skts.fractal.paper.head import PixelHead
from skts.fractal.paper.masked import masked_pass
from skts.fractal.paper.pixels import cut
from tests.fractal.paper.common import FIXTURES, fixture

ROOTS = ("cond", "uncond")
CLOSE = {"rtol": 0, "atol": 1e-5}


def rolled(level, rows, k):
    """The orders of the fixtures, by the number of a block in its batch."""
    return torch.stack([torch.arange(k).roll(-(3 * b + 1)).flip(0) for b in range(len(rows))])


def first_parts(level, rows, k):
    """The masks of the fixtures: the first 60 % of the order."""
    masked = torch.zeros(len(rows), k, dtype=torch.bool)
    return masked.scatter(1, rolled(level, rows, k)[:, : max(1, int(0.6 * k))], True)


def passed(name, root):
    data, net = fixture(name)
    labels = data["y"] if root == "cond" else None
    with torch.no_grad():
        found = masked_pass(net, data["x_uint8"], net.root(labels, 3), first_parts, exact_colour=True)
    return data, net, labels, found


def leaf(net):
    while not isinstance(net, PixelHead):
        net = net.next_fractal
    return net


@pytest.mark.parametrize("root", ROOTS)
@pytest.mark.parametrize("name", FIXTURES)
def test_conditions_logits_and_likelihood(name, root):
    data, net, _, found = passed(name, root)
    for ours, theirs in zip(found.conds, data[f"{root}_level_conds"], strict=True):
        for a, b in zip(ours, theirs, strict=True):
            torch.testing.assert_close(a[:64], b, **CLOSE)
    targets = data[f"{root}_leaf_targets"]
    with torch.no_grad():
        logits = leaf(net)(found.conds[-1][0][:48], targets[:48])
    torch.testing.assert_close(logits, data[f"{root}_leaf_logits_first48"], **CLOSE)
    torch.testing.assert_close(found.pixels.nats, data[f"{root}_leaf_nll"], **CLOSE)


@pytest.mark.parametrize("root", ROOTS)
@pytest.mark.parametrize("name", FIXTURES[:3])
@torch.no_grad()
def test_evaluation_loss(name, root):
    data, net, labels, _ = passed(name, root)
    loss = net.loss(data["x_uint8"], labels, official=True, masks=first_parts)
    torch.testing.assert_close(loss, data[f"{root}_eval_loss"], **CLOSE)


@pytest.mark.parametrize("root", ROOTS)
@torch.no_grad()
def test_evaluation_loss_with_guiding_pixels(root):
    """The released code adds noise of 0.01 before it rounds, and many means of four values end in .5.

    Its loss is then random; it has to lie between those of the best and of the worst way to round.
    """
    data, net, _, found = passed(FIXTURES[3], root)
    low = high = found.pixels.mean()
    values, level, conds = data["x_uint8"], net, None
    masked = torch.ones(3, dtype=torch.bool)
    for i, given in enumerate(found.conds):
        if i > 0:
            costs = [roundings(level.generator.guiding_pixel_loss, c, x) for c, x in zip(conds, values, strict=True)]
            low = low + torch.stack([c.min() for c in costs]).mean()
            high = high + torch.stack([c.max() for c in costs]).mean()
        patches = cut(values, level.side)
        masked = first_parts(i, torch.arange(len(values)), patches.shape[1])
        values, conds, level = patches[masked], given[0], level.next_fractal
    assert low - 1e-5 <= data[f"{root}_eval_loss"] <= high + 1e-5
    assert high - low < 1.0


def roundings(head, cond, block):
    """Mean nats over channels for each way in which noise of 0.01 may round the mean colour of a block."""
    mean = block.double().mean((1, 2))
    ways = [sorted({(m - 0.04).round().item(), (m + 0.04).round().item()}) for m in mean]
    colours = torch.tensor(list(itertools.product(*ways))).long()
    return head.nll(cond.expand(len(colours), -1), colours).mean(1)


@pytest.mark.parametrize("schedule", ["linear", "constant"])
@pytest.mark.parametrize("cfg", [1.0, 3.0])
@pytest.mark.parametrize("name", FIXTURES)
def test_samples_are_identical(name, cfg, schedule):
    data, net = fixture(name)
    steps = None if net.config.kind == "ar" else [2, 16, 16][: net.config.n_levels]
    found = net.sample(
        data["y"],
        None,
        cfg=cfg,
        cfg_schedule=schedule,
        temperature=1.1,
        filter_threshold=1e-3,
        num_iter=steps,
        decode="argmax",
        orders=rolled,
    )
    assert torch.equal(found, data[f"sample_argmax_cfg{cfg}_{schedule}"])
