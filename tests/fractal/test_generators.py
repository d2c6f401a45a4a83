"""No generator hears what comes later, and step by step it says the same as all at once."""

import pytest
import torch

from skts import FractalSampler
from skts.fractal.generators import GENERATORS, Generator

K, D = 5, 8


def make(name, order=0):
    torch.manual_seed(0)
    options = {"n_orders": 3} if name == "mar" else {}
    generator = GENERATORS[name](K, 6, D, 2, 0.1, **options).eval()
    return generator, torch.randn(4, 6), torch.randn(4, K, D)


CASES = [("ar", 0), ("made", 0), ("mar", 0), ("mar", 2)]


@pytest.fixture(autouse=True)
def no_grad():
    with torch.no_grad():
        yield


@pytest.mark.parametrize(("name", "order"), CASES)
def test_nothing_is_heard_of_what_comes_later(name, order):
    generator, c, e = make(name)
    before = generator(c, e, order)
    visit = generator.visit(order)
    for t, j in enumerate(visit):
        changed = e.clone()
        changed[:, visit[t:]] = torch.randn(4, K - t, D)
        assert torch.allclose(generator(c, changed, order)[:, j], before[:, j], atol=1e-6)
        if t + 1 < K:
            assert not torch.allclose(generator(c, changed, order)[:, visit[t + 1]], before[:, visit[t + 1]])


@pytest.mark.parametrize(("name", "order"), CASES)
def test_one_by_one_is_all_at_once(name, order):
    generator, c, e = make(name)
    state, before = generator.begin(c, order), None
    for j in generator.visit(order):
        assert torch.allclose(generator.step(state, before), generator(c, e, order)[:, j], atol=1e-5)
        before = e[:, j]


@pytest.mark.parametrize(("name", "order"), CASES)
def test_a_state_of_some_rows_goes_on(name, order):
    generator, c, e = make(name)
    state, rows, visit = generator.begin(c, order), torch.tensor([3, 3, 1, 0]), generator.visit(order)
    generator.step(state, None)
    kept = generator.step(generator.keep(state, rows), e[rows][:, visit[0]])
    assert torch.allclose(kept, generator(c[rows], e[rows], order)[:, visit[1]], atol=1e-5)


class Running(Generator):
    """Of one's own: the mean of what came before."""

    def __init__(self, n_children, d_condition, d_model, depth, dropout):
        super().__init__(n_children, d_condition, d_model, depth, dropout)
        self.first = torch.nn.Linear(d_condition, d_model)

    def forward(self, c, e, order=0):
        before = torch.cat([torch.zeros_like(e[:, :1]), e[:, :-1]], 1).cumsum(1)
        return torch.tanh(before + self.first(c)[:, None])


class Peeking(Running):
    """Hears the child that it is to foresee."""

    def forward(self, c, e, order=0):
        return torch.tanh(e + self.first(c)[:, None])


@torch.enable_grad()
def test_a_generator_of_ones_own():
    X = torch.randint(0, 3, (120, 4), generator=torch.Generator().manual_seed(0)).numpy()
    model = FractalSampler(generator=Running, max_epochs=2, dims=8, mixture=1, random_state=0).fit(X)
    drawn, log_prob = model.sample(20, random_state=0, return_log_prob=True)
    assert model.score_samples(drawn) == pytest.approx(log_prob, abs=1e-4)


def test_a_generator_that_peeks_is_refused():
    X = torch.randint(0, 3, (120, 4), generator=torch.Generator().manual_seed(0)).numpy()
    with pytest.raises(ValueError, match="children before"):
        FractalSampler(generator=Peeking, max_epochs=2, dims=8, mixture=1, random_state=0).fit(X)
