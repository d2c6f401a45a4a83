"""The table of the data sets that are not bundled: their names, origins, checksums and formats."""

from dataclasses import dataclass

__all__ = ["MULTILABEL", "RANKINGS", "REGISTRY", "LocalDataset", "RemoteDataset"]


@dataclass(frozen=True)
class RemoteDataset:
    """One csv file of a series, with its origin and its checksum.

    Parameters
    ----------
    name : str
        Name of the set.
    file : str
        Name of the plain csv file; a copy packed with gzip has ``.gz`` added to it.
    url : str
        Address of the file, starting with ``https://``. What it sends may be packed with gzip.
    sha256 : str or None
        Checksum of the unpacked bytes. Without one, the file is read from the user's folder, never
        downloaded.
    shape : tuple of (int, int)
        Rows (time points) and columns (variables, the stamps not counted).
    freq : str or None
        pandas name of the spacing of the stamps, None where the stamps are not regular.
    origin : str
        Who made the data.
    licence : str
        Terms under which the origin gives the data, as far as it states them.
    date_format : str, default="%Y-%m-%d %H:%M:%S"
        How a stamp is written.
    folder : str, default="forecasting"
        Folder, below the one in ``SKTS_DATA`` and below the cache, in which the file is kept.
    """

    name: str
    file: str
    url: str
    sha256: str | None
    shape: tuple[int, int]
    freq: str | None
    origin: str
    licence: str
    date_format: str = "%Y-%m-%d %H:%M:%S"
    folder: str = "forecasting"


_ETT_URL = "https://raw.githubusercontent.com/zhouhaoyi/ETDataset/main/ETT-small/"
_COPIES_URL = "https://raw.githubusercontent.com/junwoopark92/Self-Supervised-Contrastive-Forecsating/main/dataset/"


def _ett(name: str, sha256: str | None) -> RemoteDataset:
    hourly = name.startswith("ETTh")
    return RemoteDataset(
        name=name,
        file=f"{name}.csv",
        url=f"{_ETT_URL}{name}.csv",
        sha256=sha256,
        shape=(17_420 if hourly else 69_680, 7),
        freq="h" if hourly else "15min",
        origin="Zhou et al. (2021), ETDataset",
        licence="CC BY-ND 4.0",
    )


# The checksums of ETTh2 and ETTm2 are those that public lists of ETT agree on; no copy was at hand to compute them.
_DATASETS = (
    _ett("ETTh1", "f18de3ad269cef59bb07b5438d79bb3042d3be49bdeecf01c1cd6d29695ee066"),
    _ett("ETTh2", "a3dc2c597b9218c7ce1cd55eb77b283fd459a1d09d753063f944967dd6b9218b"),
    _ett("ETTm1", "6ce1759b1a18e3328421d5d75fadcb316c449fcd7cec32820c8dafda71986c9e"),
    _ett("ETTm2", "db973ca252c6410a30d0469b13d696cf919648d0f3fd588c60f03fdbdbadd1fd"),
    RemoteDataset(
        name="weather",
        file="weather.csv",
        url="https://raw.githubusercontent.com/readytensor/rt-datasets-long-horizon-forecasting/main/"
        "datasets/raw/weather/weather.csv.gz",
        sha256="34ee981d07313e51da2a50bb600072c8ae4a69cb4b0651f4cb93a069d7a2ba63",
        shape=(52_696, 21),
        freq=None,
        origin="Max Planck Institute for Biogeochemistry, Jena; selection of Wu et al. (2021)",
        licence="not stated",
    ),
    RemoteDataset(
        name="exchange",
        file="exchange_rate.csv",
        url=f"{_COPIES_URL}exchange_rate/exchange_rate.csv",
        sha256="d55e7aa2641009814a18ba3279431b13f6d413b0eab195b9ff21988d8cf94e97",
        shape=(7_588, 8),
        freq="D",
        origin="Lai et al. (2018)",
        licence="not stated; the copy lies in a repository under the MIT licence",
        date_format="%Y/%m/%d %H:%M",
    ),
    RemoteDataset(
        name="illness",
        file="national_illness.csv",
        url=f"{_COPIES_URL}illness/national_illness.csv",
        sha256="8594cecb98c6f2f9dc014eca11c4d5d1e38ad5ce6ed0592d4abe65b146fce395",
        shape=(966, 7),
        freq="W-TUE",
        origin="Centers for Disease Control and Prevention; selection of Wu et al. (2021)",
        licence="not stated; the copy lies in a repository under the MIT licence",
    ),
)

REGISTRY = {dataset.name: dataset for dataset in _DATASETS}


@dataclass(frozen=True)
class LocalDataset:
    """One npz file of features and structured targets, converted from its origin: it is read, never downloaded.

    Parameters
    ----------
    name : str
        Name of the set; the file is ``<name>.npz``.
    folder : str
        Folder, below the one in ``SKTS_DATA`` and below the cache, in which the file is kept.
    shape : tuple of (int, int)
        Rows and features.
    n_targets : int
        Labels of a row, or items that a row ranks.
    origin : str
        Who made the data.
    url : str
        Where the files are that the npz file is a conversion of.
    n_train : int or None, default=None
        How many rows, from the first, are the official training part; None without an official split.
    sparse : bool, default=False
        Whether so many features are zero that the data are better kept as a sparse matrix.
    licence : str, default="not stated"
        Terms under which the origin gives the data, as far as it states them.
    """

    name: str
    folder: str
    shape: tuple[int, int]
    n_targets: int
    origin: str
    url: str
    n_train: int | None = None
    sparse: bool = False
    licence: str = "not stated"

    @property
    def file(self) -> str:
        """Name of the file."""
        return f"{self.name}.npz"


def _multilabel(
    name: str, shape: tuple[int, int], n_targets: int, n_train: int | None, origin: str, sparse: bool = False
) -> LocalDataset:
    url = "https://mulan.sourceforge.net/datasets-mlc.html"
    return LocalDataset(name, "multilabel", shape, n_targets, origin, url, n_train, sparse)


def _ranking(name: str, shape: tuple[int, int], n_targets: int) -> LocalDataset:
    url = "https://github.com/akorba/Structured_Approach_Label_Ranking"
    return LocalDataset(name, "ranking", shape, n_targets, "Cheng et al. (2009)", url)


_MULTILABEL = (
    _multilabel("emotions", (593, 72), 6, 391, "Trohidis et al. (2008)"),
    _multilabel("scene", (2_407, 294), 6, 1_211, "Boutell et al. (2004)"),
    _multilabel("yeast", (2_417, 103), 14, 1_500, "Elisseeff and Weston (2001)"),
    _multilabel("cal500", (502, 68), 174, None, "Turnbull et al. (2008)"),
    _multilabel("bibtex", (7_395, 1_836), 159, 4_880, "Katakis et al. (2008)", sparse=True),
)
_RANKINGS = (
    _ranking("iris", (150, 4), 3),
    _ranking("glass", (214, 9), 6),
    _ranking("vowel", (528, 10), 11),
    _ranking("authorship", (841, 70), 4),
    _ranking("wine", (178, 13), 3),
)

MULTILABEL = {dataset.name: dataset for dataset in _MULTILABEL}
RANKINGS = {dataset.name: dataset for dataset in _RANKINGS}
