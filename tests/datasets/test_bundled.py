import doctest
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from sktime.datatypes import check_is_mtype

from skts.datasets import bundled, load_longley, load_motions, load_us_change


def test_importing_the_datasets_imports_nothing_heavy():
    # A start-up file of the environment may have imported some already: only what we add counts.
    code = (
        "import sys; before = set(sys.modules); import skts.datasets; added = set(sys.modules) - before; "
        "print(sorted(added & {'torch', 'sktime', 'sklearn', 'pooch', 'pandas'}))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def test_examples_run():
    results = doctest.testmod(bundled)
    assert results.attempted > 0
    assert results.failed == 0


def test_motions_are_two_panels_of_six_named_signals():
    train, test = load_motions()
    for panel in (train, test):
        assert panel.shape == (4000, 6)
        assert panel.index.names == ["recording", "time"]
        assert panel.columns.tolist() == ["accel_x", "accel_y", "accel_z", "gyro_x", "gyro_y", "gyro_z"]
        assert (panel.dtypes == np.float64).all()
        assert panel.groupby(level="recording").size().eq(100).all()
        assert check_is_mtype(panel, "pd-multiindex")
    assert not np.array_equal(train, test)


def test_motion_labels_belong_to_the_recordings():
    train, test, train_labels, test_labels = load_motions(return_labels=True)
    for panel, labels in ((train, train_labels), (test, test_labels)):
        pd.testing.assert_index_equal(panel.index.unique("recording"), labels.index, exact=False, check_names=True)
        assert labels.value_counts().to_dict() == dict.fromkeys(["standing", "running", "walking", "badminton"], 10)
        # Whoever stands moves the watch least: a permuted label would show here.
        effort = panel["accel_x"].groupby(level="recording").std()
        assert effort.groupby(labels).mean().idxmin() == "standing"
        assert effort.groupby(labels).mean().idxmax() == "running"


def test_us_change_is_one_quarterly_frame():
    frame = load_us_change()
    assert frame.shape == (187, 5)
    assert frame.columns.tolist() == ["Consumption", "Income", "Production", "Savings", "Unemployment"]
    pd.testing.assert_index_equal(
        frame.index, pd.period_range("1970Q1", "2016Q3", freq="Q", name="quarter"), exact="equiv"
    )
    assert frame.loc["2008Q4", "Consumption"] < 0 < frame.loc["2008Q4", "Unemployment"]


def test_longley_is_one_yearly_frame():
    frame = load_longley()
    assert frame.shape == (16, 6)
    assert frame.columns[0] == "TOTEMP"
    pd.testing.assert_index_equal(frame.index, pd.period_range("1947", "1962", freq="Y", name="year"))
    assert frame.loc["1947", "TOTEMP"] == 60323.0


@pytest.mark.parametrize("load", [load_us_change, load_longley, lambda: load_motions()[0]])
def test_returned_frame_is_the_callers_own(load):
    frame = load()
    frame.iloc[:] = 0.0
    assert (load() != 0.0).any().any()
