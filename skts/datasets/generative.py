"""Sets that densities and generators are compared on: binary tables, windows of a stock, digits and faces."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np

from skts.datasets.cache import locate_dataset, read_dataset
from skts.datasets.checks import check_count
from skts.datasets.registry import LocalDataset, RemoteDataset
from skts.datasets.structured import _known, _load_npz
from skts.errors import InputError

if TYPE_CHECKING:
    from sklearn.utils import Bunch

__all__ = ["fetch_binary_table", "fetch_frey_faces", "fetch_mnist", "fetch_stock_windows"]

_FOLDER = "generative"
_TABLES_URL = "https://raw.githubusercontent.com/UCLA-StarAI/Density-Estimation-Datasets/master/datasets/"
_PARTS = ("train", "valid", "test")


def _table(name: str, part: str, rows: int, columns: int, sha256: str) -> RemoteDataset:
    return RemoteDataset(
        name=f"{name}, {part}",
        file=f"{name}.{part}.data",
        url=f"{_TABLES_URL}{name}/{name}.{part}.data",
        sha256=sha256,
        shape=(rows, columns),
        freq=None,
        origin="Lowd and Davis (2010), Van Haaren and Davis (2012)",
        licence="not stated; its authors ask to be cited",
        folder=f"{_FOLDER}/debd",
    )


_TABLES = {
    "nltcs": (
        _table("nltcs", "train", 16_181, 16, "e547a7aedad1dd2f7177030881ab1b92c7e24ae5464c71a0f1f89daecaf52b30"),
        _table("nltcs", "valid", 2_157, 16, "93bbbf5c6febdc9bc6e5b5bfab636f4dc0685ab2896d24b23dd267794c3bfcf6"),
        _table("nltcs", "test", 3_236, 16, "f9ffa6b74b27dc03bee3203d157ee31079e80b13be40d0c0093d635c25aed523"),
    ),
    "plants": (
        _table("plants", "train", 17_412, 69, "1fb1219ff94068d12a563f9e81f8889a1885f41e867884cff608669300c6848f"),
        _table("plants", "valid", 2_321, 69, "47834ed318b2d74f48e4b083226ef47fd446d41986012ceae19d230574821b34"),
        _table("plants", "test", 3_482, 69, "95f53c033cd1d86467aec2610dc5bfe014534206c2da4919f73bcab246ab8755"),
    ),
    "jester": (
        _table("jester", "train", 9_000, 100, "dd93578c3359d5b234bb278bf0901c5215d83b910f7d51d7c91951a0a4c244cd"),
        _table("jester", "valid", 1_000, 100, "91df833941e189265345898d3f63211560c2456df599f34beee8e95381ee7524"),
        _table("jester", "test", 4_116, 100, "346044fb561cf18f284f7e9d5896178b03048991b6ebb6f7482885fccbc16082"),
    ),
    "dna": (
        _table("dna", "train", 1_600, 180, "bb8de0ca4b6ad9b610036b7a302962ebecd4b504354b14c02c7d0bee48d207d9"),
        _table("dna", "valid", 400, 180, "4b0fc89cda5eaf5c75926e281afb6af99de194a546070d5b81b524ba251f4f3f"),
        _table("dna", "test", 1_186, 180, "fec3ae7b26804020a9c43c99828441c5e08bb76b23719368a74ad2b09af99100"),
    ),
}
_STOCK = RemoteDataset(
    name="stock",
    file="stock_data.csv",
    url="https://raw.githubusercontent.com/jsyoon0823/TimeGAN/master/data/stock_data.csv",
    sha256="134b8a00eb4eefa3242dd7ae85144082da80dedf75a1a656d5d08f97cd95277a",
    shape=(3_685, 6),
    freq=None,
    origin="Yoon et al. (2019)",
    licence="Apache-2.0",
    folder=_FOLDER,
)
_MNIST = LocalDataset(
    name="mnist",
    folder=_FOLDER,
    shape=(70_000, 784),
    n_targets=1,
    origin="LeCun et al. (1998)",
    url="https://github.com/karpathy/convnetjs",
    n_train=60_000,
    licence="CC BY-SA 3.0",
)
_FACES = LocalDataset(
    name="freyfaces",
    folder=_FOLDER,
    shape=(1_965, 560),
    n_targets=0,
    origin="Roweis and Saul (2000)",
    url="https://github.com/riannevdberg/sylvester-flows",
)


def fetch_binary_table(name: str) -> Bunch:
    """Fetch one of four binary tables that densities are compared on.

    Use it to compare ``score_samples`` of a density with published numbers.

    Parameters
    ----------
    name : {"nltcs", "plants", "jester", "dna"}
        ======  =======  ======  ==========  =====  ====================================
        name    columns   train  validation   test  what
        ======  =======  ======  ==========  =====  ====================================
        nltcs        16  16,181       2,157  3,236  what disabled old people cannot do
        plants       69  17,412       2,321  3,482  states and regions a plant grows in
        jester      100   9,000       1,000  4,116  jokes that a person likes
        dna         180   1,600         400  1,186  bases of a stretch, three bits each
        ======  =======  ======  ==========  =====  ====================================

    Returns
    -------
    bunch : sklearn.utils.Bunch
        With the keys

        * train, valid, test : ndarray of shape (n_samples, n_columns), uint8, 0 or 1
        * DESCR : str

    Raises
    ------
    InputError
        If the name is none of the four, or if a file holds something else than the set.
    DataNotFoundError
        If a file is neither found nor reachable; the message says where to put it.

    Notes
    -----
    The files are ``generative/debd/<name>.<part>.data`` (or the same with ``.gz``) in the folder of the environment
    variable ``SKTS_DATA``, else in the user's cache, into which they are downloaded. Their checksums are compared each
    time.

    Licence: not stated; the authors ask to be cited.

    References
    ----------
    D. Lowd, J. Davis: Learning Markov network structure with decision trees, ICDM 2010.
    https://doi.org/10.1109/ICDM.2010.128

    J. Van Haaren, J. Davis: Markov network structure learning: A randomized feature generation approach, AAAI 2012.
    https://ojs.aaai.org/index.php/AAAI/article/view/8315

    Data: https://github.com/UCLA-StarAI/Density-Estimation-Datasets

    Examples
    --------
    >>> from skts.datasets import fetch_binary_table
    >>> fetch_binary_table("plants").train.shape  # doctest: +SKIP
    (17412, 69)
    """
    from sklearn.utils import Bunch

    parts = _TABLES[_known(name, _TABLES)]
    sizes = ", ".join(f"{part} {dataset.shape[0]}" for part, dataset in zip(_PARTS, parts, strict=True))
    first = parts[0]
    return Bunch(
        **{part: _numbers(dataset, np.uint8) for part, dataset in zip(_PARTS, parts, strict=True)},
        DESCR=f"{name}: {first.shape[1]} binary columns; rows: {sizes}. "
        f"Origin: {first.origin}, {_TABLES_URL}. Licence: {first.licence}.",
    )


def fetch_stock_windows(length: int = 24, stride: int = 1) -> Bunch:
    """Fetch windows of a stock's daily prices, the set that generators of time series are compared on.

    Parameters
    ----------
    length : int, default=24
        Days of a window, 1 to 3685.
    stride : int, default=1
        Days from one window to the next.

    Returns
    -------
    bunch : sklearn.utils.Bunch
        With the keys

        * data : ndarray of shape (n_windows, length, 6), float64, in order of time
        * feature_names : list of str, "Open", "High", "Low", "Close", "Adj_Close", "Volume"
        * DESCR : str

    Raises
    ------
    InputError
        If an argument is out of its range, or if the file holds something else than the set.
    DataNotFoundError
        If the file is neither found nor reachable; the message says where to put it.

    See Also
    --------
    skts.metrics.discriminative_score : Scores windows drawn by a model.

    Notes
    -----
    Google, 2004 to 2019. The file is ``generative/stock_data.csv`` in the folder of the environment variable
    ``SKTS_DATA``, else in the user's cache, into which it is downloaded. The protocol of TimeGAN scales by the range of
    the whole and turns the direction of time, although the file is in order; neither is done here. With a stride below
    the length windows overlap: a random split leaks.

    Licence: Apache-2.0.

    References
    ----------
    J. Yoon, D. Jarrett, M. van der Schaar: Time-series Generative Adversarial Networks, NeurIPS 2019,
    https://papers.nips.cc/paper/8789-time-series-generative-adversarial-networks.

    Examples
    --------
    >>> from skts.datasets import fetch_stock_windows
    >>> fetch_stock_windows().data.shape  # doctest: +SKIP
    (3662, 24, 6)
    """
    from sklearn.utils import Bunch

    check_count("length", length)
    check_count("stride", stride)
    if length > _STOCK.shape[0]:
        raise InputError(f"length to be at most {_STOCK.shape[0]}", repr(length), "Pass length=24.")
    days = _numbers(_STOCK, np.float64, header=1)
    windows = np.lib.stride_tricks.sliding_window_view(days, length, axis=0)[::stride].transpose(0, 2, 1)
    return Bunch(
        data=np.ascontiguousarray(windows),
        feature_names=["Open", "High", "Low", "Close", "Adj_Close", "Volume"],
        DESCR=f"stock: {len(windows)} windows of {length} days of prices and volume of one stock, 2004 to 2019. "
        f"Origin: {_STOCK.origin}, {_STOCK.url}. Licence: {_STOCK.licence}.",
    )


def fetch_mnist(binary: bool = False, random_state: Any = 0) -> Bunch:
    """Fetch the 70,000 handwritten digits of MNIST.

    Parameters
    ----------
    binary : bool, default=False
        Whether to make each pixel 0 or 1, at random with its grey level as the probability ("dynamic binarisation").
    random_state : int, RandomState or None, default=0
        Seed of that draw. Published likelihoods draw training images anew in each epoch; the test part is drawn once.

    Returns
    -------
    bunch : sklearn.utils.Bunch
        With the keys

        * data : ndarray of shape (60000, 28, 28), uint8, 0 to 255 or 0 to 1
        * target : ndarray of shape (60000,), int64, the digit
        * test_data, test_target : the same of 10,000 others
        * DESCR : str

    Raises
    ------
    InputError
        If the file holds something else than the set.
    DataNotFoundError
        If the file is not found; the message says where to put it.

    Notes
    -----
    The file is ``generative/mnist.npz`` in the folder of the environment variable ``SKTS_DATA``, else in the user's
    cache; it is never downloaded. It holds the arrays ``x_train``, ``y_train``, ``x_test``, ``y_test``, uint8.

    Licence: CC BY-SA 3.0.

    References
    ----------
    Y. LeCun, L. Bottou, Y. Bengio, P. Haffner: Gradient-based learning applied to document recognition, Proceedings of
    the IEEE 86, 1998, https://doi.org/10.1109/5.726791.

    R. Salakhutdinov, I. Murray: On the quantitative analysis of deep belief networks, ICML 2008,
    https://doi.org/10.1145/1390156.1390266.

    Examples
    --------
    >>> from skts.datasets import fetch_mnist
    >>> fetch_mnist(binary=True).data.shape  # doctest: +SKIP
    (60000, 28, 28)
    """
    from sklearn.utils import Bunch

    shapes = {"x_train": (60_000, 28, 28), "y_train": (60_000,), "x_test": (10_000, 28, 28), "y_test": (10_000,)}
    arrays = _bytes_of(_MNIST, shapes)
    images = {name: arrays[name] for name in ("x_train", "x_test")}
    if binary:
        from sklearn.utils import check_random_state

        rng = check_random_state(random_state)
        images = {name: (255 * rng.random_sample(x.shape) < x).astype(np.uint8) for name, x in images.items()}
    return Bunch(
        data=images["x_train"],
        target=arrays["y_train"].astype(np.int64),
        test_data=images["x_test"],
        test_target=arrays["y_test"].astype(np.int64),
        DESCR=f"mnist: 60,000 + 10,000 images of 28 x 28. "
        f"Origin: {_MNIST.origin}, {_MNIST.url}. Licence: {_MNIST.licence}.",
    )


def fetch_frey_faces() -> Bunch:
    """Fetch 1965 frames of one face, a film of many expressions.

    Returns
    -------
    bunch : sklearn.utils.Bunch
        With the keys

        * data : ndarray of shape (1965, 28, 20), uint8, grey levels, in order of time
        * DESCR : str

    Raises
    ------
    InputError
        If the file holds something else than the set.
    DataNotFoundError
        If the file is not found; the message says where to put it.

    Notes
    -----
    The file is ``generative/freyfaces.npz`` in the folder of the environment variable ``SKTS_DATA``, else in the user's
    cache; it is never downloaded. It holds the array ``x``. Frames that follow each other are much alike: a random
    split leaks.

    Licence: not stated; the copy lies in a repository under the MIT licence.

    References
    ----------
    S. T. Roweis, L. K. Saul: Nonlinear dimensionality reduction by locally linear embedding, Science 290, 2000,
    https://doi.org/10.1126/science.290.5500.2323.

    Examples
    --------
    >>> from skts.datasets import fetch_frey_faces
    >>> fetch_frey_faces().data.shape  # doctest: +SKIP
    (1965, 28, 20)
    """
    from sklearn.utils import Bunch

    return Bunch(
        data=_bytes_of(_FACES, {"x": (1_965, 28, 20)})["x"],
        DESCR=f"freyfaces: 1965 images of 28 x 20. Origin: {_FACES.origin}, {_FACES.url}. Licence: {_FACES.licence}.",
    )


def _numbers(dataset: RemoteDataset, dtype: Any, header: int = 0) -> np.ndarray:
    """The numbers of a csv file, in the shape that the set has."""
    table = np.loadtxt(io.BytesIO(read_dataset(dataset)), delimiter=",", dtype=dtype, skiprows=header, ndmin=2)
    if table.shape != dataset.shape:
        hint = f"Replace it by the file from {dataset.url}."
        raise InputError(f"{dataset.file} to hold numbers {dataset.shape}", f"{table.shape}", hint)
    return table


def _bytes_of(dataset: LocalDataset, shapes: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """Arrays of uint8 of these names and shapes."""
    path = locate_dataset(dataset)
    expected = f"{path} to hold arrays of uint8: " + ", ".join(f"{name} {shape}" for name, shape in shapes.items())
    hint = f"Replace it by a conversion of the data at {dataset.url}"
    try:
        arrays = _load_npz(path, shapes)
    except (KeyError, ValueError, OSError, EOFError) as error:
        raise InputError(expected, f"one that cannot be read so ({type(error).__name__}: {error})", hint) from error
    for name, array in arrays.items():
        if array.shape != shapes[name] or array.dtype != np.uint8:
            raise InputError(expected, f"{name} of shape {array.shape} and dtype {array.dtype}", hint)
    return arrays
