from itertools import pairwise

import pytest
import torch

from skts.errors import InputError
from skts.fractal.paper import FixedOrders, random_orders
from skts.fractal.paper.decode_mar import revealed
from skts.fractal.paper.draws import Draws
from tests.fractal.paper.common import TINY, tiny, uniforms

LABELS = torch.tensor([0, 1, 2, 1])


@pytest.mark.parametrize("labels", [None, LABELS])
@pytest.mark.parametrize("name", ["ar", "mar"])
@torch.no_grad()
def test_log_probability_is_that_of_teacher_forcing(name, labels):
    """Kept keys and tables against the parallel pass: acceptance row 4."""
    net, orders = tiny(name), FixedOrders(torch.tensor([0, 1, 2, 3]))
    x, log_prob = net.sample(labels, uniforms(4, net), orders=orders, return_log_prob=True)
    torch.testing.assert_close(log_prob, -net.nll(x, labels, orders).sum(1), rtol=1e-9, atol=1e-9)
    assert len(x.unique()) > 20


@pytest.mark.parametrize("name", ["ar", "mar"])
@torch.no_grad()
def test_in_single_precision(name):
    net = tiny(name, dtype=torch.float32)
    x, log_prob = net.sample(LABELS, uniforms(4, net), return_log_prob=True)
    torch.testing.assert_close(log_prob, -net.nll(x, LABELS).double().sum(1), rtol=0, atol=1e-3)


@pytest.mark.parametrize("cfg", [1.0, 2.5])
@pytest.mark.parametrize("name", TINY)
def test_an_image_depends_on_its_own_row_alone(name, cfg):
    net, numbers = tiny(name), torch.tensor([3, 1, 0, 2])
    u = uniforms(4, net)
    options = {"cfg": cfg, "temperature": 1.2, "num_iter": 3}
    together = net.sample(LABELS, u, orders=FixedOrders(numbers), **options)
    for rows in ([0], [2, 1], [3]):
        few = net.sample(LABELS[rows], u[rows], orders=FixedOrders(numbers[rows]), **options)
        assert torch.equal(few, together[rows])


@pytest.mark.parametrize("name", TINY)
def test_each_triple_is_used(name):
    """Another number for any pixel or guiding pixel makes another image."""
    net = tiny(name)
    u = uniforms(1, net).repeat(net.n_draws + 1, 1, 1)
    for i in range(net.n_draws):
        u[i + 1, i] = (u[i + 1, i] + 0.5) % 1
    x = net.sample(None, u, orders=FixedOrders(torch.zeros(len(u), dtype=torch.long)))
    same = (x[1:] == x[0]).flatten(1).all(1)
    assert not same.any()


@pytest.mark.parametrize("name", TINY)
def test_gradients_work_after_sampling(name):
    """No tensor made for sampling is kept in the network."""
    net = tiny(name)
    x = net.sample(None, uniforms(2, net)).clone()
    net.train().loss(x).backward()
    assert net.fake_latent.grad.abs().sum() > 0


def test_guidance_is_the_formula():
    logits = 4 * torch.randn(10, 256, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    given, null = logits.chunk(2)
    p = given.softmax(-1)
    lifted = torch.maximum(null, given - given.amax(-1, keepdim=True) + null.amax(-1, keepdim=True))
    null = torch.where(p < 1e-3, lifted, null)
    wanted = (null + 3.0 * (given - null)).softmax(-1)
    assert (p < 1e-3).any()
    assert (p >= 1e-3).any()
    found = Draws(None, 5, 1, 1.0, 1e-3).guided(logits, 3.0).softmax(-1)
    torch.testing.assert_close(found, wanted)


def test_the_filter_keeps_improbable_values_improbable():
    """Without it, a value that the null vector abhors even more would be lifted."""
    logits = torch.zeros(2, 256, dtype=torch.float64)
    logits[0, 7], logits[1, 7] = -12.0, -60.0
    with_filter, without = (Draws(None, 1, 1, 1.0, t).guided(logits, 3.0).softmax(-1)[0, 7] for t in (1e-4, 0.0))
    assert without > 0.99
    assert with_filter < 1e-5


def test_even_numbers_give_the_distribution():
    """Inverse distribution function: the values at (i + 0.5) / n have the frequencies p to within 1 / n."""
    n = 4096
    u = ((torch.arange(n, dtype=torch.float64) + 0.5) / n)[:, None, None].expand(n, 1, 3)
    logits = torch.randn(256, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    draws, index = Draws(u, n, 1, 2.0, 0.0), torch.arange(n)
    values = draws(logits.expand(n, -1), 1.0, draws.numbers(index)[0], index)
    p = (2 * logits).softmax(0)
    assert (torch.bincount(values, minlength=256) / n - p).abs().max() <= 1 / n
    torch.testing.assert_close(draws.log_prob, p.log()[values])


@pytest.mark.parametrize("top", [0.0, 1 - 2.0**-24, 1.0])
def test_the_ends_of_the_unit_interval_are_values(top):
    logits = 5 * torch.randn(64, 256, generator=torch.Generator().manual_seed(0))
    u = torch.full((64, 1, 3), top)
    draws = Draws(u, 64, 1, 1.0, 0.0)
    values = draws(logits, 1.0, draws.numbers(torch.arange(64))[0], torch.arange(64))
    assert values.min() >= 0
    assert values.max() <= 255


@pytest.mark.parametrize(("k", "num_iter"), [(4, 1), (16, 3), (16, 16), (16, 99), (256, 64)])
def test_steps_reveal_every_patch_once(k, num_iter):
    parts = revealed(k, num_iter)
    assert len(parts) == min(k, num_iter)
    assert parts[0][1] == k
    assert parts[-1][0] == 0
    assert all(a[0] == b[1] for a, b in pairwise(parts))
    sizes = [last - first for first, last in parts]
    assert min(sizes) >= 1
    assert num_iter < k or max(sizes) == 1


@pytest.mark.parametrize("name", ["mar", "guided"])
def test_fewer_steps_are_other_images(name):
    net, u = tiny(name), uniforms(2, tiny(name))
    one, few = (net.sample(None, u, num_iter=steps) for steps in (None, 2))
    assert (one != few).any()
    by_level = net.sample(None, u, num_iter=[2] * net.config.n_levels)
    assert torch.equal(few, by_level)


def test_orders_are_permutations():
    rows = torch.tensor([0, 0, 1, 1])
    for orders in (FixedOrders(torch.tensor([5, 9])), random_orders(torch.Generator().manual_seed(0))):
        found = orders(1, rows, 16)
        assert torch.equal(found.sort(1).values, torch.arange(16).expand(4, -1))
    fixed = FixedOrders(torch.tensor([5, 9]))(1, rows, 16)
    assert torch.equal(fixed[0], fixed[1])
    assert not torch.equal(fixed[1], fixed[2])


def test_what_cannot_be_sampled_is_said():
    net = tiny("mar")
    u = uniforms(2, net)
    for arguments, said in (
        ({"uniforms": u[:, 1:]}, "uniforms of shape"),
        ({"uniforms": None}, "uniforms of shape"),
        ({"cfg": 2.0}, "labels"),
        ({"cfg_schedule": "cosine"}, "cfg_schedule"),
        ({"decode": "beam"}, "decode"),
        ({"num_iter": [1]}, "num_iter"),
        ({"labels": torch.tensor([0, 5])}, "from 0 to 2"),
    ):
        with pytest.raises(InputError, match=said):
            net.sample(**{"labels": None, "uniforms": u} | arguments)
