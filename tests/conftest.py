"""One thread for torch (tests run small things side by side), and the counts of both suites at the end of the run."""

from collections import Counter

import torch

torch.set_num_threads(1)

SUITES = {"test_sklearn_suite": "scikit-learn's suite", "test_sktime_suite": "sktime's suite"}


def pytest_terminal_summary(terminalreporter):
    for file, name in SUITES.items():
        counts = Counter()
        for outcome in ("passed", "failed", "error", "xfailed", "xpassed", "skipped"):
            for report in terminalreporter.stats.get(outcome, []):
                if file in getattr(report, "nodeid", "") and getattr(report, "when", "call") in ("call", "setup"):
                    properties = dict(getattr(report, "user_properties", ()))
                    counts[outcome] += properties.get("n_checks", 1)
        if counts:
            terminalreporter.write_line(f"{name}: " + ", ".join(f"{n} {outcome}" for outcome, n in counts.items()))
