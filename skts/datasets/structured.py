"""Tables whose target is a structure: a set of labels or a ranking. Two are generated, ten are read from files."""

from __future__ import annotations

import math
import zipfile
import zlib
from collections.abc import Iterable
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import numpy as np

from skts.datasets.cache import MAX_BYTES, locate_dataset
from skts.datasets.registry import MULTILABEL, RANKINGS, LocalDataset
from skts.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from sklearn.utils import Bunch

__all__ = ["fetch_label_ranking", "fetch_multilabel", "make_label_ranking", "make_multilabel"]

_MAX_LABELS = 12  # 4096 label sets
_BLOCK_STATES = 2**20  # probabilities kept at once: 8 MB
_BUNDLED = ("iris", "wine", "digits", "breast_cancer")


def fetch_multilabel(name: str) -> Bunch:
    """Fetch one of five multilabel benchmarks of the MULAN collection.

    Use it to compare a classifier of label sets with published numbers.

    Parameters
    ----------
    name : {"emotions", "scene", "yeast", "cal500", "bibtex"}
        ========  =====  ========  ======  =============  =================================
        name      rows   features  labels  training rows  what
        ========  =====  ========  ======  =============  =================================
        emotions    593        72       6            391  feelings that a song evokes
        scene     2,407       294       6          1,211  what a photograph shows
        yeast     2,417       103      14          1,500  functions of a gene
        cal500      502        68     174           none  words that listeners give to a song
        bibtex    7,395     1,836     159          4,880  tags of a bibliographic entry
        ========  =====  ========  ======  =============  =================================

    Returns
    -------
    bunch : sklearn.utils.Bunch
        With the keys

        * data : ndarray of shape (n_samples, n_features), float32; for "bibtex", where 96 % of it is zero, a
          scipy.sparse.csr_matrix
        * target : ndarray of shape (n_samples, n_labels), int8, 1 where the row has the label, else 0
        * feature_names : list of str of length n_features
        * target_names : list of str of length n_labels
        * n_train : int or None; the first ``n_train`` rows are the official training part, the others the test.
          None for "cal500", which has no official split
        * DESCR : str

    Raises
    ------
    InputError
        If the name is none of the five, or if the file holds something else than the set.
    DataNotFoundError
        If the file is not found; the message says where to put it.

    Notes
    -----
    The file is ``multilabel/<name>.npz`` in the folder of the environment variable ``SKTS_DATA``, else in the
    user's cache. It is a conversion of MULAN's ARFF file, has no public address and is never downloaded. It
    holds the arrays ``X``, ``Y``, ``feature_names``, ``label_names`` and ``n_train`` (0 without a split). The
    labels stand in the order of the origin; those of "yeast" are not sorted.

    Licence: not stated by the collection.

    References
    ----------
    G. Tsoumakas, E. Spyromitros-Xioufis, J. Vilcek, I. Vlahavas, "Mulan: A Java Library for Multi-Label
    Learning", Journal of Machine Learning Research 12, 2411-2414, 2011.
    https://jmlr.org/papers/v12/tsoumakas11a.html

    Data: https://mulan.sourceforge.net/datasets-mlc.html

    emotions: K. Trohidis, G. Tsoumakas, G. Kalliris, I. Vlahavas, "Multilabel Classification of Music into
    Emotions", ISMIR, 2008.

    scene: M. R. Boutell, J. Luo, X. Shen, C. M. Brown, "Learning multi-label scene classification", Pattern
    Recognition 37 (9), 1757-1771, 2004.

    yeast: A. Elisseeff, J. Weston, "A kernel method for multi-labelled classification", NIPS, 2001.

    cal500: D. Turnbull, L. Barrington, D. Torres, G. Lanckriet, "Semantic Annotation and Retrieval of Music and
    Sound Effects", IEEE Transactions on Audio, Speech, and Language Processing 16 (2), 467-476, 2008.

    bibtex: I. Katakis, G. Tsoumakas, I. Vlahavas, "Multilabel Text Classification for Automated Tag
    Suggestion", ECML PKDD Discovery Challenge, 2008.

    Examples
    --------
    >>> from skts.datasets import fetch_multilabel
    >>> emotions = fetch_multilabel("emotions")  # doctest: +SKIP
    >>> emotions.data[: emotions.n_train].shape, emotions.target.shape  # doctest: +SKIP
    ((391, 72), (593, 6))
    """
    from sklearn.utils import Bunch

    dataset = MULTILABEL[_known(name, MULTILABEL)]
    path = locate_dataset(dataset)
    rows, columns = dataset.shape
    shapes = {"X": (rows, columns), "Y": (rows, dataset.n_targets), "n_train": ()}
    shapes |= {"feature_names": (columns,), "label_names": (dataset.n_targets,)}
    arrays = _read_arrays(path, dataset, shapes)
    _require(np.isin(arrays["Y"], (0, 1)).all(), path, dataset, "Y to hold 0 and 1 alone", "other values")
    official, found = dataset.n_train or 0, arrays["n_train"].item()
    _require(found == official, path, dataset, f"n_train to be {official}", repr(found))
    return Bunch(
        data=_as_csr(arrays["X"]) if dataset.sparse else arrays["X"].astype(np.float32),
        target=arrays["Y"].astype(np.int8),
        feature_names=[str(feature) for feature in arrays["feature_names"]],
        target_names=[str(label) for label in arrays["label_names"]],
        n_train=dataset.n_train,
        DESCR=_describe(dataset, f"{dataset.n_targets} labels"),
    )


def fetch_label_ranking(name: str) -> Bunch:
    """Fetch one of five label ranking benchmarks.

    Use it to compare a model of rankings with published numbers: each row ranks the same labels.

    Parameters
    ----------
    name : {"iris", "glass", "vowel", "authorship", "wine"}
        ==========  ====  ========  ======
        name        rows  features  labels
        ==========  ====  ========  ======
        iris         150         4       3
        glass        214         9       6
        vowel        528        10      11
        authorship   841        70       4
        wine         178        13       3
        ==========  ====  ========  ======

    Returns
    -------
    bunch : sklearn.utils.Bunch
        With the keys

        * data : ndarray of shape (n_samples, n_features), float32, scaled by the origin
        * target : ndarray of shape (n_samples, n_labels), int64; the rank of each label, 1 = best
        * DESCR : str

    Raises
    ------
    InputError
        If the name is none of the five, or if the file holds something else than the set.
    DataNotFoundError
        If the file is not found; the message says where to put it.

    See Also
    --------
    make_label_ranking : The same construction from data bundled with scikit-learn; its rankings are others.

    Notes
    -----
    The file is ``ranking/<name>.npz`` in the folder of the environment variable ``SKTS_DATA``, else in the
    user's cache; it is never downloaded. It holds the arrays ``X`` and ``R`` (the ranks). The rankings are
    semi-synthetic: a naive Bayes classifier ordered the classes of a classification set.

    Licence: not stated by the collection.

    References
    ----------
    W. Cheng, J. Hühn, E. Hüllermeier, "Decision Tree and Instance-Based Learning for Label Ranking", ICML, 2009.
    https://doi.org/10.1145/1553374.1553395

    A. Korba, A. Garcia, F. d'Alché-Buc, "A Structured Prediction Approach for Label Ranking", NeurIPS, 2018.
    https://arxiv.org/abs/1807.02374

    Data: https://github.com/akorba/Structured_Approach_Label_Ranking

    Examples
    --------
    >>> from skts.datasets import fetch_label_ranking
    >>> fetch_label_ranking("vowel").target.shape  # doctest: +SKIP
    (528, 11)
    """
    from sklearn.utils import Bunch

    dataset = RANKINGS[_known(name, RANKINGS)]
    path = locate_dataset(dataset)
    arrays = _read_arrays(path, dataset, {"X": dataset.shape, "R": (dataset.shape[0], dataset.n_targets)})
    permuted = np.sort(arrays["R"], axis=1) == np.arange(1, dataset.n_targets + 1)
    _require(permuted.all(), path, dataset, f"each row of R to hold the ranks 1 to {dataset.n_targets}", "other rows")
    return Bunch(
        data=arrays["X"].astype(np.float32),
        target=arrays["R"].astype(np.int64),
        DESCR=_describe(dataset, f"rankings of {dataset.n_targets} labels"),
    )


def make_multilabel(
    n_samples: int = 300,
    n_features: int = 10,
    n_labels: int = 5,
    coupling: float = 1.0,
    random_state: int | np.random.RandomState | None = None,
    return_parameters: bool = False,
) -> tuple[np.ndarray, np.ndarray] | tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    r"""Generate label sets from a joint distribution that is known exactly.

    Use it to see whether a model learns how labels depend on each other: its log-likelihood can be compared
    with the true one, which no model passes on average.

    Parameters
    ----------
    n_samples : int, default=300
        Number of rows, at least 1.
    n_features : int, default=10
        Number of features, at least 1.
    n_labels : int, default=5
        Number of labels, 1 to 12: all :math:`2^k` label sets of a row are enumerated.
    coupling : float, default=1.0
        Strength of the dependence between each two labels; with 0 they are independent given the features.
    random_state : int, RandomState instance or None, default=None
        Source of the randomness; an int gives the same data each time. None draws from numpy's global
        generator.
    return_parameters : bool, default=False
        Whether to give the distribution as well.

    Returns
    -------
    X : ndarray of shape (n_samples, n_features), float32
        Standard normal features.
    Y : ndarray of shape (n_samples, n_labels), int64
        1 where the row has the label, else 0.
    parameters : dict
        Only if ``return_parameters``; float64 arrays ``W`` of shape (n_labels, n_features), ``b`` of shape
        (n_labels,), ``U`` of shape (n_labels, n_labels), and ``log_prob`` of shape (n_samples,), the true
        :math:`\log p(y|x)` of each row in nats.

    Raises
    ------
    InputError
        If a size is out of its range or ``coupling`` is not a finite number.

    Notes
    -----
    The Ising model

    .. math:: p(y|x) \propto \exp\left(\langle Wx + b, y\rangle + \tfrac12 y^\top U y\right),
              \qquad y \in \{0, 1\}^k,

    with :math:`W_{ij} \sim N(0, 1/d)`, a symmetric :math:`U` of zero diagonal and entries :math:`\pm`
    ``coupling`` of random sign, and :math:`b_i = c_i - \tfrac12 \sum_j U_{ij}`, :math:`c_i \sim N(0, 1/4)`. The
    second part of :math:`b` keeps labels from being always or never there when the coupling is strong.

    Examples
    --------
    >>> import numpy as np
    >>> from skts.datasets import make_multilabel
    >>> X, Y, parameters = make_multilabel(n_labels=3, random_state=0, return_parameters=True)
    >>> X.shape, Y.shape
    ((300, 10), (300, 3))
    >>> nats_per_row = -parameters["log_prob"].mean()
    >>> bool(nats_per_row < 3 * np.log(2))
    True
    """
    _check_sizes(n_samples, n_features, n_labels)
    if isinstance(coupling, bool) or not isinstance(coupling, Real) or not math.isfinite(coupling):
        raise InputError("coupling to be a finite number", repr(coupling), "Pass coupling=1.0, or 0.0 for none.")
    from sklearn.utils import check_random_state

    rng = check_random_state(random_state)
    X = rng.normal(size=(n_samples, n_features)).astype(np.float32)
    W = rng.normal(size=(n_labels, n_features)) / np.sqrt(n_features)
    signs = np.triu(rng.choice([-1.0, 1.0], size=(n_labels, n_labels)), k=1)
    U = coupling * (signs + signs.T)
    b = rng.normal(scale=0.5, size=n_labels) - U.sum(axis=1) / 2
    # float64 of the float32 that the caller gets: log_prob then belongs to the very X that is returned.
    Y, log_prob = _draw_ising(X.astype(np.float64) @ W.T + b, U, rng)
    return (X, Y, {"W": W, "b": b, "U": U, "log_prob": log_prob}) if return_parameters else (X, Y)


def make_label_ranking(name: str = "iris") -> tuple[np.ndarray, np.ndarray]:
    """Make a label ranking set from a classification set that comes with scikit-learn; no network.

    Use it to try a model of rankings on real features.

    Parameters
    ----------
    name : {"iris", "wine", "digits", "breast_cancer"}, default="iris"
        The classification set. Its 3, 3, 10 or 2 classes become the labels that are ranked.

    Returns
    -------
    X : ndarray of shape (n_samples, n_features), float32
        The features as scikit-learn gives them, not scaled.
    R : ndarray of shape (n_samples, n_classes), int64
        The rank of each class, 1 = best.

    Raises
    ------
    InputError
        If the name is none of the four.

    Notes
    -----
    The standard construction of semi-synthetic rankings: Gaussian naive Bayes is fitted on all rows and orders
    the classes of each row by their posterior probability, ties by the index of the class. The order is taken
    from the joint log-probabilities, because posteriors of many classes underflow to zero together. It is
    deterministic.

    References
    ----------
    W. Cheng, J. Hühn, E. Hüllermeier, "Decision Tree and Instance-Based Learning for Label Ranking", ICML, 2009.
    https://doi.org/10.1145/1553374.1553395

    Examples
    --------
    >>> from skts.datasets import make_label_ranking
    >>> X, R = make_label_ranking("wine")
    >>> X.shape, R.shape
    ((178, 13), (178, 3))
    >>> R[0].tolist()
    [1, 2, 3]
    """
    _known(name, _BUNDLED)
    from sklearn import datasets
    from sklearn.naive_bayes import GaussianNB

    X, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    log_joint = GaussianNB().fit(X, y).predict_joint_log_proba(X)  # (n, k)
    order = np.argsort(-log_joint, axis=1, kind="stable")
    return X.astype(np.float32), np.argsort(order, axis=1) + 1


def _known(name: Any, names: Iterable[str]) -> str:
    known = tuple(names)
    if not isinstance(name, str) or name not in known:
        raise InputError(f"name to be one of {', '.join(known)}", repr(name), "Choose one of these names.")
    return name


def _check_sizes(n_samples: Any, n_features: Any, n_labels: Any) -> None:
    for name, value in (("n_samples", n_samples), ("n_features", n_features), ("n_labels", n_labels)):
        if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
            raise InputError(f"{name} to be an int of at least 1", repr(value), f"Pass {name}=1 or more.")
    if n_labels > _MAX_LABELS:
        expected = f"n_labels to be at most {_MAX_LABELS}, because all 2^n_labels label sets are enumerated"
        raise InputError(expected, repr(n_labels), f"Pass n_labels={_MAX_LABELS} or less.")


def _draw_ising(theta: np.ndarray, U: np.ndarray, rng: np.random.RandomState) -> tuple[np.ndarray, np.ndarray]:
    """Draw a label set for each row of theta (n, k), by inversion over all of them, and give its log-probability."""
    from scipy.special import log_softmax

    n_rows, n_labels = theta.shape
    states = np.arange(2**n_labels)[:, None] >> np.arange(n_labels) & 1  # (S, k), all label sets
    pairs = ((states @ U) * states).sum(axis=1) / 2  # (S,)
    level = rng.uniform(size=n_rows)
    drawn, log_prob = np.empty(n_rows, dtype=np.int64), np.empty(n_rows)
    step = max(1, _BLOCK_STATES // len(states))
    for start in range(0, n_rows, step):
        block = slice(start, start + step)
        log_p = log_softmax(theta[block] @ states.T + pairs, axis=1)  # (rows, S)
        below = np.exp(log_p).cumsum(axis=1) <= level[block, None]
        drawn[block] = below[:, :-1].sum(axis=1)  # the sum over all states may end just under 1
        log_prob[block] = np.take_along_axis(log_p, drawn[block, None], axis=1)[:, 0]
    return states[drawn], log_prob


def _read_arrays(path: Path, dataset: LocalDataset, shapes: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """Read the arrays of these names, in these shapes and with finite features; refuse what is not so."""
    expected = "an npz file with the arrays " + ", ".join(f"{name} {shape}" for name, shape in shapes.items())
    try:
        arrays = _load_npz(path, shapes)
    except (
        KeyError,
        ValueError,
        OSError,
        EOFError,
        RuntimeError,
        MemoryError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        got = f"one that cannot be read so ({type(error).__name__}: {error})"
        raise _refusal(path, dataset, expected, got) from error
    found = {name: array.shape for name, array in arrays.items()}
    _require(found == shapes, path, dataset, expected, f"the shapes {found}")
    for name in shapes.keys() & {"X", "Y", "R", "n_train"}:
        kind = arrays[name].dtype
        _require(kind.kind in "fiu", path, dataset, f"{name} to hold numbers", f"dtype {kind}")
    _require(np.isfinite(arrays["X"]).all(), path, dataset, "X to be finite", "NaN or infinity")
    return arrays


def _load_npz(path: Path, names: Iterable[str]) -> dict[str, np.ndarray]:
    with zipfile.ZipFile(path) as archive:
        size = sum(member.file_size for member in archive.infolist())
    if size > MAX_BYTES:  # a small packed file could otherwise fill the memory when it is unpacked
        raise ValueError(f"{size:,} unpacked bytes, more than {MAX_BYTES:,}")
    with np.load(path) as archive:  # numpy refuses arrays of Python objects unless told otherwise
        return {name: archive[name] for name in names}


def _require(holds: bool, path: Path, dataset: LocalDataset, expected: str, got: str) -> None:
    if not holds:
        raise _refusal(path, dataset, expected, got)


def _refusal(path: Path, dataset: LocalDataset, expected: str, got: str) -> InputError:
    hint = f"Replace it by a conversion of the data at {dataset.url}"
    return InputError(f"{path} to hold the data set {dataset.name!r}: {expected}", got, hint)


def _as_csr(X: np.ndarray) -> Any:
    from scipy.sparse import csr_matrix

    return csr_matrix(X, dtype=np.float32)


def _describe(dataset: LocalDataset, targets: str) -> str:
    rows, columns = dataset.shape
    split = "" if dataset.n_train is None else f" The first {dataset.n_train} rows are the official training part."
    return (
        f"{dataset.name}: {rows} rows of {columns} features with {targets}.{split} "
        f"Origin: {dataset.origin}, {dataset.url}. Licence: {dataset.licence}."
    )
