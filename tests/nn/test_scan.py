"""The selective scan against the recurrence written step by step in float64."""

import sys
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType

import pytest
import torch
from joblib import parallel_config
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.model_selection import GridSearchCV

from skts.nn import scan as scan_module
from skts.nn.scan import selective_scan

BACKENDS = ["loop", "recompute", "compiled"]
NAMES = ("u", "delta", "A", "B", "C", "D", "z", "h0")


def inputs(L, B=2, D=3, S=4, dtype=torch.float64, seed=0, grad=False):
    g = torch.Generator().manual_seed(seed)
    u, z = (torch.randn(B, L, D, generator=g, dtype=dtype) for _ in range(2))
    delta = torch.rand(B, L, D, generator=g, dtype=dtype)
    A = -torch.rand(D, S, generator=g, dtype=dtype) * 2
    Bm, C = (torch.randn(B, L, S, generator=g, dtype=dtype) for _ in range(2))
    skip, h0 = torch.randn(D, generator=g, dtype=dtype), torch.randn(B, D, S, generator=g, dtype=dtype)
    return tuple(t.requires_grad_(grad) for t in (u, delta, A, Bm, C, skip, z, h0))


def step_by_step(u, delta, A, B, C, D, z, h):
    out = torch.empty_like(u)
    for b in range(u.shape[0]):
        state = h[b].clone()
        for t in range(u.shape[1]):
            state = torch.exp(delta[b, t, :, None] * A) * state + (delta[b, t] * u[b, t])[:, None] * B[b, t]
            out[b, t] = (state @ C[b, t] + D * u[b, t]) * z[b, t] * torch.sigmoid(z[b, t])
    return out


def gradients(args, backend, return_state=True):
    """Output, last state and gradients of a sum that weighs every number differently."""
    args = {name: t.detach().requires_grad_() for name, t in zip(NAMES, args, strict=True) if t is not None}
    out = selective_scan(**args, return_state=return_state, backend=backend)
    parts = out if return_state else (out,)
    sum((p * torch.cos(torch.arange(p.numel(), dtype=p.dtype).view_as(p))).sum() for p in parts).backward()
    return [p.detach() for p in parts] + [t.grad for t in args.values()]


def agree(found, expected, **tolerance):
    return all(torch.allclose(a, b, **tolerance) for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize("backend", [*BACKENDS, "auto"])
@pytest.mark.parametrize("L", [1, 2, 7, 64, 883])
def test_scan_equals_the_recurrence(L, backend):
    args = inputs(L)
    expected = step_by_step(*args)
    assert torch.allclose(selective_scan(*args, backend=backend), expected, rtol=0, atol=1e-10)
    single = selective_scan(*(a.float() for a in args), backend=backend)
    assert torch.allclose(single.double(), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("backend", ["recompute", "compiled"])
@pytest.mark.parametrize("L", [1, 2, 7, 26])
def test_gradients_of_the_backward_written_by_hand_are_right(L, backend):
    args = inputs(L, B=2, D=2, S=3, grad=True)

    def scan(*args):
        return selective_scan(*args, return_state=True, backend=backend)

    assert torch.autograd.gradcheck(scan, args, fast_mode=L > 7)


@pytest.mark.parametrize("left_out", [(), ("D",), ("z",), ("h0",), ("D", "z", "h0")], ids=str)
@pytest.mark.parametrize("backend", ["recompute", "compiled"])
@pytest.mark.parametrize("return_state", [False, True])
def test_every_option_gives_the_gradients_of_the_loop(left_out, backend, return_state):
    args = [None if name in left_out else t for name, t in zip(NAMES, inputs(40), strict=True)]
    expected = gradients(args, "loop", return_state)
    assert agree(gradients(args, backend, return_state), expected, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("backend", ["recompute", "compiled"])
@pytest.mark.parametrize(
    ("B", "L", "D", "S"),
    [(1, 33, 1, 1), (3, 32, 8, 5), (1, 64, 9, 16), (2, 31, 16, 19), (2, 97, 33, 2), (0, 5, 4, 2)],
)
def test_any_shape_gives_the_gradients_of_the_loop(B, L, D, S, backend):
    args = inputs(L, B, D, S)
    assert agree(gradients(args, backend), gradients(args, "loop"), rtol=1e-9, atol=1e-10)
    single = gradients([a.float() for a in args], backend)
    assert agree([a.double() for a in single], gradients(args, "loop"), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("backend", ["recompute", "compiled"])
def test_the_layout_in_memory_does_not_matter(backend):
    args = inputs(40, D=16)
    strided = [
        torch.stack([a, a], -1)[..., 0] if a.ndim == 1 else a.transpose(0, -1).contiguous().transpose(0, -1)
        for a in args
    ]
    assert not any(a.is_contiguous() for a in strided)
    assert agree(gradients(strided, backend), gradients(args, backend), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("backend", BACKENDS)
def test_two_halves_equal_the_whole(backend):
    u, delta, A, B, C, D, z, h0 = inputs(50)
    whole, h = selective_scan(u, delta, A, B, C, D, z, h0, return_state=True, backend=backend)
    state, parts = h0, []
    for half in (slice(0, 21), slice(21, 50)):
        part, state = selective_scan(
            u[:, half], delta[:, half], A, B[:, half], C[:, half], D, z[:, half], state, True, backend
        )
        parts.append(part)
    assert torch.allclose(torch.cat(parts, 1), whole)
    assert torch.allclose(state, h)


@pytest.mark.parametrize("backend", BACKENDS)
def test_half_precision_is_computed_in_float32(backend):
    args = [a.to(torch.bfloat16) for a in inputs(200)]
    with torch.autocast("cpu", torch.bfloat16):
        out, h = selective_scan(*args, return_state=True, backend=backend)
    expected = selective_scan(*(a.float() for a in args), backend=backend)
    assert out.dtype == torch.bfloat16
    assert h.dtype == torch.float32
    assert torch.equal(out, expected.to(torch.bfloat16))


def test_unknown_backend_is_an_error():
    with pytest.raises(ValueError, match="one of"):
        selective_scan(*inputs(3), backend="cuda")


def test_steps_that_forget_everything_and_infinite_inputs_do_not_become_nonsense():
    args = list(inputs(20))
    args[1] = args[1] * 1e4  # decays underflow
    assert agree(gradients(args, "compiled"), gradients(args, "loop"))
    args[0][0, 3, 1] = torch.nan
    out = selective_scan(*args, backend="compiled")
    assert out[0, 3, 1].isnan()
    assert not out[1:].isnan().any()
    assert not out[:, :, [0, 2]].isnan().any()


def test_the_recomputing_scans_keep_at_most_a_quarter_of_what_the_loop_keeps():
    def kept(backend):
        sizes = {}

        def pack(t):
            sizes[t.untyped_storage().data_ptr()] = t.untyped_storage().nbytes()
            return t

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
            selective_scan(*inputs(321, B=1, D=16, S=16, dtype=torch.float32, grad=True)[:5], backend=backend)
        return sum(sizes.values())

    assert kept("recompute") <= kept("loop") / 4
    assert kept("compiled") <= kept("loop") / 4


@pytest.fixture
def three_threads(monkeypatch):
    """Let small work go to threads too."""
    monkeypatch.setattr("skts.nn.scan_compiled._SMALL", 0)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("three_threads")
def test_the_number_of_threads_changes_no_bit():
    args = inputs(50, B=3, D=40, dtype=torch.float32)
    many = gradients(args, "compiled")
    torch.set_num_threads(1)
    assert agree(gradients(args, "compiled"), many, rtol=0, atol=0)


@pytest.mark.usefixtures("three_threads")
def test_threads_that_scan_at_once_do_not_disturb_each_other():
    jobs = [inputs(30 + i, D=20, dtype=torch.float32, seed=i) for i in range(8)]
    expected = [gradients(args, "compiled") for args in jobs]
    with ThreadPoolExecutor(8) as pool:
        for found, wanted in zip(
            pool.map(lambda args: gradients(args, "compiled"), jobs * 10), expected * 10, strict=True
        ):
            assert agree(found, wanted, rtol=0, atol=0)


class DecayRegressor(RegressorMixin, BaseEstimator):
    """Sum of each row, exponentially forgotten; the weight is fitted by gradient descent through the scan."""

    def __init__(self, lr=0.1):
        self.lr = lr

    def _run(self, X, weight):
        u = torch.as_tensor(X, dtype=torch.float32).unsqueeze(-1)
        ones = torch.ones_like(u)
        return selective_scan(u, ones, -torch.ones(1, 1), ones, ones, weight, backend="compiled")[:, -1, 0]

    def fit(self, X, y):
        weight = torch.zeros(1, requires_grad=True)
        for _ in range(20):
            (grad,) = torch.autograd.grad((self._run(X, weight) - torch.as_tensor(y)).square().mean(), weight)
            weight = (weight - self.lr * grad).detach().requires_grad_()
        self.weight_ = weight.detach()
        return self

    def predict(self, X):
        return self._run(X, self.weight_).numpy()


@pytest.mark.usefixtures("three_threads")
def test_a_grid_search_in_threads_equals_one_in_turn():
    g = torch.Generator().manual_seed(0)
    X = torch.randn(60, 25, generator=g)
    y = DecayRegressor()._run(X, torch.tensor([0.7])).numpy()
    scores = []
    for n_jobs in (1, 4):
        with parallel_config("threading", n_jobs=n_jobs):
            search = GridSearchCV(DecayRegressor(), {"lr": [0.001, 0.01, 0.1, 0.3]}, cv=4).fit(X.numpy(), y)
        scores.append(search.cv_results_["mean_test_score"])
    assert (scores[0] == scores[1]).all()
    assert scores[0].max() > 0.999


@pytest.mark.parametrize("backend", ["recompute", "compiled"])
def test_a_second_derivative_is_refused(backend):
    args = inputs(5, grad=True)
    with pytest.raises(RuntimeError, match="Take backend='loop'"):
        torch.autograd.grad(selective_scan(*args, backend=backend).sum(), args[0], create_graph=True)


def test_the_loop_has_a_second_derivative():
    args = inputs(4, D=2, S=1, grad=True)
    assert torch.autograd.gradgradcheck(lambda *a: selective_scan(*a, backend="loop"), args, fast_mode=True)


@pytest.mark.filterwarnings("ignore:`torch.jit.trace`:DeprecationWarning")
def test_a_traced_graph_holds_plain_operations_only():
    traced = torch.jit.trace(selective_scan, inputs(4))
    assert "aten::exp" in str(traced.graph)
    args = inputs(4, seed=1)
    assert torch.allclose(traced(*args), selective_scan(*args))


@pytest.mark.parametrize("name", [n for n in NAMES if n != "u"])
def test_shapes_that_disagree_are_an_error(name):
    args = dict(zip(NAMES, inputs(6), strict=True))
    args[name] = args[name][..., :-1]
    if name == "A":  # the states of B follow from A
        name = "B"
    with pytest.raises(ValueError, match=rf"Expected {name} of shape .* Got .* Expand or transpose"):
        selective_scan(**args, backend="compiled")


def test_an_empty_sequence_is_an_error():
    args = [a[:, :0] if a.ndim == 3 else a for a in inputs(3)[:5]]
    with pytest.raises(ValueError, match="one step at least"):
        selective_scan(*args)


def test_without_numba_auto_is_torch_and_compiled_an_error(monkeypatch):
    monkeypatch.setattr(scan_module, "_compiled_scan", lambda: None)
    args = inputs(9)
    assert torch.equal(selective_scan(*args), selective_scan(*args, backend="recompute"))
    with pytest.raises(ImportError, match=r"skts\[fast\]"):
        selective_scan(*args, backend="compiled")


def test_a_broken_numba_is_like_none(monkeypatch):
    monkeypatch.setitem(sys.modules, "skts.nn.scan_compiled", None)
    assert scan_module._compiled_scan.__wrapped__() is None


def test_compiled_needs_the_processor():
    with pytest.raises(ValueError, match="on the CPU"):
        selective_scan(*(a.to("meta") for a in inputs(3)), backend="compiled")


def test_mamba_ssm_is_called_with_time_last(monkeypatch):
    def selective_scan_fn(u, delta, A, B, C, D=None, z=None):  # the documented layout: (B, D, L) and (B, S, L)
        u, delta, B, C, z = (None if t is None else t.transpose(1, 2) for t in (u, delta, B, C, z))
        return selective_scan(u, delta, A, B, C, D, z, backend="loop").transpose(1, 2)

    module = ModuleType("mamba_ssm.ops.selective_scan_interface")
    module.selective_scan_fn = selective_scan_fn
    for name in ("mamba_ssm", "mamba_ssm.ops"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    args = inputs(7)[:7]
    assert torch.allclose(selective_scan(*args, backend="mamba_ssm"), selective_scan(*args, backend="loop"))
    with pytest.raises(ValueError, match="Take backend='recompute'"):
        selective_scan(*args, return_state=True, backend="mamba_ssm")


def test_mamba_ssm_has_to_be_there(monkeypatch):
    monkeypatch.setitem(sys.modules, "mamba_ssm", None)
    with pytest.raises(ImportError, match="Install it on a machine with CUDA"):
        selective_scan(*inputs(3)[:5], backend="mamba_ssm")
