"""Small real data sets that come with sktime, in a form ready for the estimators; no network."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["load_longley", "load_motions", "load_us_change"]

_MOTION_COLUMNS = ["accel_x", "accel_y", "accel_z", "gyro_x", "gyro_y", "gyro_z"]


def load_motions(
    return_labels: bool = False,
) -> tuple[pd.DataFrame, pd.DataFrame] | tuple[pd.DataFrame, pd.DataFrame, pd.Series, pd.Series]:
    """Load the BasicMotions panel: a smart watch during four activities.

    Use it to embed, classify or forecast short multivariate recordings.

    Parameters
    ----------
    return_labels : bool, default=False
        Whether to give the activity of each recording as well.

    Returns
    -------
    train, test : pandas.DataFrame of shape (4000, 6)
        40 recordings of 100 time points each. float64 columns accel_x, accel_y, accel_z (accelerometer) and
        gyro_x, gyro_y, gyro_z (gyroscope). The MultiIndex has the levels "recording" (0 to 39, counted anew
        in each part) and "time" (0 to 99, steps of 0.1 seconds).
    train_labels, test_labels : pandas.Series of shape (40,)
        "standing", "running", "walking" or "badminton", indexed by "recording". Only if ``return_labels``.

    Notes
    -----
    The archive names the two sensors but neither the axes nor the units; the names of the columns follow
    its order.

    Licence: not stated by the archive; the files are distributed with sktime.

    References
    ----------
    A. Bagnall, H. A. Dau, J. Lines, M. Flynn, J. Large, A. Bostrom, P. Southam, E. Keogh, "The UEA
    multivariate time series classification archive, 2018", 2018. https://arxiv.org/abs/1811.00075

    Data: https://www.timeseriesclassification.com/description.php?Dataset=BasicMotions

    Examples
    --------
    >>> from skts.datasets import load_motions
    >>> train, test, train_labels, test_labels = load_motions(return_labels=True)
    >>> train.shape
    (4000, 6)
    >>> train.loc[0].shape
    (100, 6)
    >>> sorted(set(test_labels))
    ['badminton', 'running', 'standing', 'walking']
    """
    train, train_labels = _load_motion_split("train")
    test, test_labels = _load_motion_split("test")
    return (train, test, train_labels, test_labels) if return_labels else (train, test)


def _load_motion_split(split: str) -> tuple[pd.DataFrame, pd.Series]:
    import pandas as pd
    from sktime.datasets import load_basic_motions

    panel, labels = load_basic_motions(split=split, return_type="pd-multiindex", return_X_y=True)
    panel.columns = _MOTION_COLUMNS
    panel.index = panel.index.set_names(["recording", "time"])
    recordings = pd.RangeIndex(len(labels), name="recording")
    return panel, pd.Series(labels, index=recordings, name="activity")


def load_us_change() -> pd.DataFrame:
    """Load quarterly growth rates of five quantities of the US economy.

    Use it as a first multivariate forecasting problem: short, without a trend, and its variables depend on
    each other.

    Returns
    -------
    data : pandas.DataFrame of shape (187, 5)
        float64 columns Consumption, Income, Production, Savings and Unemployment, indexed by a quarterly
        PeriodIndex named "quarter", 1970Q1 to 2016Q3. Percentage changes from the quarter before;
        Unemployment is the change of the rate in percentage points.

    Notes
    -----
    Licence: not stated by sktime, with which the file is distributed; the figures are those of the Federal
    Reserve Bank of St. Louis, https://fred.stlouisfed.org

    References
    ----------
    R. J. Hyndman, G. Athanasopoulos, "Forecasting: Principles and Practice", 2nd edition, OTexts, 2018.
    https://otexts.com/fpp2/

    Examples
    --------
    >>> from skts.datasets import load_us_change
    >>> data = load_us_change()
    >>> data.shape
    (187, 5)
    >>> str(data.index[0]), str(data.index[-1])
    ('1970Q1', '2016Q3')
    """
    import pandas as pd
    from sktime.datasets import load_uschange

    # With any other target sktime drops the quarters and numbers the rows.
    quarters, frame = load_uschange(y_name="Quarter")
    frame.index = pd.PeriodIndex(quarters.str.replace(" ", ""), freq="Q", name="quarter")
    return frame


def load_longley() -> pd.DataFrame:
    """Load Longley's yearly US macroeconomic data, known for their collinearity.

    Use it to see what an estimator does with very few, nearly collinear observations.

    Returns
    -------
    data : pandas.DataFrame of shape (16, 6)
        float64 columns TOTEMP (employed, thousands), GNPDEFL (price deflator, 1954 = 100), GNP (million US
        dollars), UNEMP (unemployed, thousands), ARMED (armed forces, thousands) and POP (population of 14
        years and over, thousands), indexed by a yearly PeriodIndex named "year", 1947 to 1962.

    Notes
    -----
    Licence: not stated; published as a reference data set by the National Institute of Standards and
    Technology.

    References
    ----------
    J. W. Longley, "An Appraisal of Least Squares Programs for the Electronic Computer from the Point of
    View of the User", Journal of the American Statistical Association 62 (319), 819-841, 1967.
    https://www.itl.nist.gov/div898/strd/lls/data/LINKS/DATA/Longley.dat

    Examples
    --------
    >>> from skts.datasets import load_longley
    >>> load_longley().shape
    (16, 6)
    """
    import pandas as pd
    from sktime.datasets import load_longley as load

    employed, others = load()
    return pd.concat([employed, others], axis=1).rename_axis("year")
