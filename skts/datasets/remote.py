"""Forecasting benchmarks that are fetched once: transformers, weather, exchange rates, illness."""

from __future__ import annotations

import io
from numbers import Real
from typing import TYPE_CHECKING

from skts.datasets.cache import read_dataset
from skts.datasets.registry import REGISTRY, RemoteDataset
from skts.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["fetch_ett", "fetch_exchange", "fetch_illness", "fetch_weather"]

_ETT_NAMES = ("ETTh1", "ETTh2", "ETTm1", "ETTm2")


def fetch_ett(name: str = "ETTh1") -> pd.DataFrame:
    """Fetch one of the four electricity transformer temperature (ETT) series.

    Use it to compare a forecaster with published numbers. Two transformers in two counties of China, July
    2016 to June 2018: six power loads and the oil temperature.

    Parameters
    ----------
    name : {"ETTh1", "ETTh2", "ETTm1", "ETTm2"}, default="ETTh1"
        "h" is hourly, "m" every 15 minutes; the digit is the transformer.

    Returns
    -------
    data : pandas.DataFrame of shape (17420, 7) for "h", (69680, 7) for "m"
        float64 columns HUFL, HULL, MUFL, MULL, LUFL, LULL (high, middle and low load, useful and useless)
        and OT (oil temperature), units not stated, indexed by a regular DatetimeIndex named "date".

    Raises
    ------
    InputError
        If the name is none of the four, or if the file is not the one with the known checksum.
    DataNotFoundError
        If the file is neither found nor reachable; the message says where to put it.

    Notes
    -----
    Published splits of the hourly series take 8640 rows for training, 2880 for validation and 2880 for the
    test (12, 4 and 4 months of 30 days), four times that for the 15 minute series; the remaining rows are
    not used.

    Licence: CC BY-ND 4.0. The file is used as it is and is not part of skts.

    References
    ----------
    H. Zhou, S. Zhang, J. Peng, S. Zhang, J. Li, H. Xiong, W. Zhang, "Informer: Beyond Efficient Transformer
    for Long Sequence Time-Series Forecasting", AAAI, 2021. https://arxiv.org/abs/2012.07436

    Data: https://github.com/zhouhaoyi/ETDataset

    Examples
    --------
    >>> from skts.datasets import fetch_ett
    >>> fetch_ett("ETTh1").shape  # doctest: +SKIP
    (17420, 7)
    """
    if name not in _ETT_NAMES:
        raise InputError(f"name to be one of {', '.join(_ETT_NAMES)}", repr(name), "Choose one of these names.")
    return _read_frame(REGISTRY[name])


def fetch_weather(missing_sentinel: float | None = None) -> pd.DataFrame:
    """Fetch a year of weather at Jena, one row each ten minutes.

    Use it to compare a forecaster with published numbers on 21 meteorological quantities that depend on
    each other.

    Parameters
    ----------
    missing_sentinel : float, default=None
        Value that stands for a missing measurement. Given -9999.0, its 81 occurrences become NaN. With None
        they stay as they are: published numbers were computed with them in.

    Returns
    -------
    data : pandas.DataFrame of shape (52696, 21)
        float64 columns with the units in their names, except the last, "OT", which is the CO2 concentration
        in ppm. The DatetimeIndex named "date" runs from 2020-01-01 00:10 to 2021-01-01 00:00 and is not
        regular (``freq`` is None): 2020-05-12 06:00 occurs twice, and the stamps from 2020-05-29 09:40 to
        11:00 are missing. The rows stay as they are, because published numbers count them so.

    Raises
    ------
    InputError
        If ``missing_sentinel`` is not a number, or if the file is not the one with the known checksum.
    DataNotFoundError
        If the file is neither found nor reachable; the message says where to put it.

    Notes
    -----
    Published splits take the first 70 % of the rows for training, the next 10 % for validation, the rest
    for the test. In the file the signs for "squared" and "micro" are lost in three names; they are put back
    here.

    Licence: not stated. Weather station of the Max Planck Institute for Biogeochemistry,
    https://www.bgc-jena.mpg.de/wetter/

    References
    ----------
    H. Wu, J. Xu, J. Wang, M. Long, "Autoformer: Decomposition Transformers with Auto-Correlation for
    Long-Term Series Forecasting", NeurIPS, 2021. https://arxiv.org/abs/2106.13008

    Copy: https://github.com/readytensor/rt-datasets-long-horizon-forecasting

    Examples
    --------
    >>> from skts.datasets import fetch_weather
    >>> int(fetch_weather(missing_sentinel=-9999.0).isna().sum().sum())  # doctest: +SKIP
    81
    """
    if missing_sentinel is not None and (isinstance(missing_sentinel, bool) or not isinstance(missing_sentinel, Real)):
        raise InputError("missing_sentinel to be a number or None", repr(missing_sentinel), "Pass -9999.0 or None.")
    frame = _read_frame(REGISTRY["weather"])
    frame.columns = [name.replace("m\ufffd", "m²").replace("\ufffdmol", "µmol") for name in frame.columns]
    return frame if missing_sentinel is None else frame.mask(frame == missing_sentinel)


def fetch_exchange() -> pd.DataFrame:
    """Fetch daily exchange rates of eight currencies against the US dollar.

    Use it as the hard case: the rates are close to random walks, and repeating the last value is a strong
    baseline.

    Returns
    -------
    data : pandas.DataFrame of shape (7588, 8)
        float64 columns "0" to "6" and "OT", US dollars for one unit of the currency (Australia, United
        Kingdom, Canada, Switzerland, China, Japan, New Zealand and Singapore; the file does not say which
        column is which), indexed by a regular DatetimeIndex named "date".

    Raises
    ------
    InputError
        If the file is not the one with the known checksum.
    DataNotFoundError
        If the file is neither found nor reachable; the message says where to put it.

    Notes
    -----
    The paper speaks of 1990 to 2016, the stamps of this file run from day to day up to 2010-10-10: read
    them as a counter of the rows rather than as dates. Published splits take 70 % of the rows for training,
    10 % for validation, the rest for the test.

    Licence: not stated for the data; the copy lies in a repository under the MIT licence.

    References
    ----------
    G. Lai, W.-C. Chang, Y. Yang, H. Liu, "Modeling Long- and Short-Term Temporal Patterns with Deep Neural
    Networks", SIGIR, 2018. https://arxiv.org/abs/1703.07015

    Copy: https://github.com/junwoopark92/Self-Supervised-Contrastive-Forecsating

    Examples
    --------
    >>> from skts.datasets import fetch_exchange
    >>> fetch_exchange().index.freqstr  # doctest: +SKIP
    'D'
    """
    return _read_frame(REGISTRY["exchange"])


def fetch_illness() -> pd.DataFrame:
    """Fetch weekly counts of influenza-like illness in the United States.

    Use it for a short series with a strong yearly season.

    Returns
    -------
    data : pandas.DataFrame of shape (966, 7)
        float64 columns "% WEIGHTED ILI" and "%UNWEIGHTED ILI" (percent of the visits), "AGE 0-4", "AGE 5-24",
        "ILITOTAL" (patients), "NUM. OF PROVIDERS" and "OT" (all patients seen), indexed by a regular weekly
        DatetimeIndex named "date", 2002-01-01 to 2020-06-30.

    Raises
    ------
    InputError
        If the file is not the one with the known checksum.
    DataNotFoundError
        If the file is neither found nor reachable; the message says where to put it.

    Notes
    -----
    Published splits take 70 % of the rows for training, 10 % for validation, the rest for the test; the
    last weeks fall into the pandemic of 2020.

    Licence: not stated for the file; the copy lies in a repository under the MIT licence. Origin: Centers
    for Disease Control and Prevention, ILINet, https://gis.cdc.gov/grasp/fluview/fluportaldashboard.html

    References
    ----------
    H. Wu, J. Xu, J. Wang, M. Long, "Autoformer: Decomposition Transformers with Auto-Correlation for
    Long-Term Series Forecasting", NeurIPS, 2021. https://arxiv.org/abs/2106.13008

    Copy: https://github.com/junwoopark92/Self-Supervised-Contrastive-Forecsating

    Examples
    --------
    >>> from skts.datasets import fetch_illness
    >>> fetch_illness().shape  # doctest: +SKIP
    (966, 7)
    """
    return _read_frame(REGISTRY["illness"])


def _read_frame(dataset: RemoteDataset) -> pd.DataFrame:
    import pandas as pd

    data = read_dataset(dataset)
    # A file without a checksum may be anything, so what can go wrong in reading it is said in our words.
    rows, columns = dataset.shape
    expected = f"{dataset.file} to be a csv with a column 'date' and {rows} rows of {columns} numbers"
    hint = f"Replace it by the file from {dataset.url}"
    try:
        frame = pd.read_csv(io.BytesIO(data))
        stamps = pd.to_datetime(frame.pop("date"), format=dataset.date_format)
        frame = frame.astype(float)
        frame.index = pd.DatetimeIndex(stamps, freq=dataset.freq, name="date")
    except (KeyError, ValueError) as error:
        raise InputError(expected, f"a file that cannot be read so ({type(error).__name__}: {error})", hint) from error
    if frame.shape != dataset.shape:
        raise InputError(expected, f"shape {frame.shape}", hint)
    return frame
