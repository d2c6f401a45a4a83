import pytest
import torch

from skts.errors import InputError
from skts.fractal.paper import FixedOrders, random_orders
from skts.fractal.paper.masked import masked_pass, training_masks
from skts.fractal.paper.pixels import block_colour, cut, join
from tests.fractal.paper.common import TINY, images, tiny

LABELS = torch.tensor([0, 2])


def raster(level, rows, k):
    """Last patch revealed last, as an order is written: last first."""
    return torch.arange(k).flip(0).expand(len(rows), -1)


@pytest.mark.parametrize("name", ["ar", "mar"])
@torch.no_grad()
def test_a_value_never_changes_what_came_before(name):
    """Causality, in the raster order of blocks, at each place of the tree."""
    net = tiny(name)
    x = images(1, net)
    S = net.config.sides[0]
    place = torch.arange(S * S).view(1, 1, S, S).float().expand(1, 3, -1, -1)
    when = cut(cut(place, 2).flatten(0, 1), 1).flatten()[::3]  # pixels in the order in which they are drawn
    base = net.nll(x, orders=raster).view(3, -1)
    for step in (0, 5, 10, 15):
        pixel = int(when[step])
        other = x.clone()
        other.view(3, -1)[1, pixel] += 100
        after = net.nll(other, orders=raster).view(3, -1)
        changed = (after - base).abs() > 1e-12
        assert not changed[:, when[:step].long()].any()
        assert not changed[0, pixel]
        assert changed[1:, pixel].all()
        assert step == 15 or changed[:, when[step + 1 :].long()].any()


@pytest.mark.parametrize("name", ["ar", "mar"])
@torch.no_grad()
def test_conditionals_sum_to_one(name):
    """Over the 256 values of a channel, all before it fixed."""
    net = tiny(name)
    for channel, pixel in ((0, 0), (1, 6), (2, 15)):
        x = images(1, net).repeat(256, 1, 1, 1)
        x.view(256, 3, -1)[:, channel, pixel] = torch.arange(256, dtype=torch.uint8)
        nats = net.nll(x, orders=raster).view(256, 3, -1)[:, channel, pixel]
        assert nats.std() > 0.1
        assert float((-nats).exp().sum()) == pytest.approx(1, abs=1e-9)


@torch.no_grad()
def test_classes_and_the_null_vector():
    net = tiny("ar")
    x = images(2, net)
    given, null = net.nll(x, LABELS), net.nll(x)
    assert (given - null).abs().max() > 1e-3
    net.class_emb.weight.copy_(net.fake_latent.expand(3, -1))
    torch.testing.assert_close(net.nll(x, LABELS), null)


@pytest.mark.parametrize("name", TINY)
@torch.no_grad()
def test_rows_are_independent(name):
    net = tiny(name)
    x, orders = images(3, net), FixedOrders(torch.tensor([0, 1, 2]))
    together = net.nll(x, orders=orders)
    for i in range(3):
        alone = net.nll(x[i : i + 1], orders=FixedOrders(torch.tensor([i])))
        torch.testing.assert_close(alone[0], together[i])


@pytest.mark.parametrize("name", ["mar", "guided"])
@torch.no_grad()
def test_the_bound_is_the_mean_over_orders(name):
    """Two ways to the same number: masks drawn at random, and whole orders followed patch by patch."""
    net, n = tiny(name), 60
    generator = torch.Generator().manual_seed(0)
    x = images(1, net)
    x = x.repeat(n, 1, 1, 1)
    ordered = net.nll(x, orders=random_orders(generator)).sum(1)
    masked = net.bound(x, n_draws=8, generator=generator)
    error = (ordered.var() / n + masked.var() / n).sqrt()
    assert abs(ordered.mean() - masked.mean()) < 4 * error
    assert error / ordered.mean() < 0.01


@torch.no_grad()
def test_bound_and_loss_of_a_causal_network_are_exact():
    net = tiny("ar")
    x = images(2, net)
    exact = net.nll(x, LABELS).sum(1)
    torch.testing.assert_close(net.bound(x, LABELS), exact)
    torch.testing.assert_close(net.loss(x, LABELS), exact.mean() / x[0].numel())
    torch.testing.assert_close(net.loss(x, LABELS, official=True), net.loss(x, LABELS))


@torch.no_grad()
def test_mixture_of_orders():
    net = tiny("mar")
    x = images(2, net)
    each = [-net.nll(x, orders=FixedOrders(torch.full((2,), r))).sum(1) for r in range(3)]
    assert (each[0] - each[1]).abs().min() > 1e-3
    found = net.log_density(x, n_orders=3)
    best = torch.stack(each).max(0).values
    wanted = best + (torch.stack(each) - best).exp().mean(0).log()
    torch.testing.assert_close(found, wanted)


@torch.no_grad()
def test_the_released_loss_charges_guiding_pixels_as_if_they_were_as_many():
    """Mean over pixels plus a mean for each guided level, whereas the bound divides all nats by the values."""
    net = tiny("guided")
    x = images(4, net)

    def everything(level, rows, k):
        return torch.ones(len(rows), k, dtype=torch.bool)

    released, right = (net.loss(x, official=o, masks=everything) for o in (True, False))
    assert released > right + 5


@torch.no_grad()
def test_mean_colours():
    net = tiny("guided")
    x = images(2, net)
    values, shown = block_colour(x, torch.float64)
    assert torch.equal(values, x.double().mean((2, 3)).round().long())
    same, _ = block_colour(values[:, :, None, None].expand_as(x).to(torch.uint8), torch.float64)
    assert torch.equal(same, values)
    _, unrounded = block_colour(x, torch.float64, exact=True)
    assert 0 < (unrounded - shown).abs().max() < 0.5 / 255 / 0.22


def test_patches_are_put_back():
    x = torch.arange(2 * 3 * 36).view(2, 3, 6, 6)
    assert torch.equal(join(cut(x, 2)), x)
    assert torch.equal(cut(x, 2)[:, 1], x[:, :, :2, 2:4])


@torch.no_grad()
def test_red_weighs_five_times_in_the_released_training_alone():
    net = tiny("guided")
    x = images(4, net)

    def everything(level, rows, k):
        return torch.ones(len(rows), k, dtype=torch.bool)

    found = masked_pass(net, x, net.root(None, 4), everything, exact_colour=True)
    parts = [charge.nats.mean(0) for charge in (found.pixels, *found.guiding)]
    weight = torch.tensor([5.0, 1.0, 1.0], dtype=torch.float64) / 7
    net.requires_grad_(False).train()
    for module in net.modules():  # training differs by dropout as well
        if isinstance(getattr(module, "dropout", None), float):
            module.dropout = 0.0
    torch.testing.assert_close(net.loss(x, official=True, masks=everything), sum(p @ weight for p in parts))
    net.eval()
    torch.testing.assert_close(net.loss(x, official=True, masks=everything), sum(p.mean() for p in parts))


def test_training_masks_most_patches():
    """A share from a normal around 1 with deviation 0.25, cut to [0, 1]: 1 - 0.25 sqrt(2 / pi) on average."""
    rule = training_masks(torch.Generator().manual_seed(0))
    masked = rule(0, torch.zeros(4000, dtype=torch.long), 256).double().mean(1)
    assert float(masked.mean()) == pytest.approx(1 - 0.25 * (2 / torch.pi) ** 0.5 + 0.5 / 256, abs=0.01)
    assert masked.min() > 0


@pytest.mark.parametrize("official", [False, True])
@pytest.mark.parametrize("name", TINY)
def test_every_parameter_is_trained(name, official):
    net = tiny(name).train()
    x, labels = images(8, net), torch.arange(8) % 3
    torch.manual_seed(0)
    net.loss(x, labels, official=official).backward()
    idle = {k for k, p in net.named_parameters() if p.grad is None or not p.grad.any()}
    assert idle <= {"fake_latent"}  # dropped labels are rare


@pytest.mark.parametrize(
    "x", [torch.zeros(1, 3, 4, 4), torch.zeros(1, 1, 4, 4, dtype=torch.uint8), torch.zeros(1, 3, 8, 8).byte()]
)
def test_other_images_are_refused(x):
    with pytest.raises(InputError, match="uint8"):
        tiny("ar").nll(x)


@pytest.mark.parametrize("labels", [torch.tensor([0, 3]), torch.tensor([-1, 0]), torch.tensor([0])])
def test_other_labels_are_refused(labels):
    net = tiny("ar")
    with pytest.raises(InputError, match="from 0 to 2"):
        net.nll(images(2, net), labels)
