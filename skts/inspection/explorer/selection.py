"""Windows that a person selected on the explorer's page, back in Python."""

import json
import os
from pathlib import Path

import numpy as np

from skts.errors import InputError

__all__ = ["FORMAT", "read_selection"]

FORMAT = "skts-selection-1"


def read_selection(path: str | os.PathLike[str]) -> np.ndarray:
    """Read the file that the explorer's button "Save selection" wrote.

    Parameters
    ----------
    path : str or path
        The file.

    Returns
    -------
    ndarray of shape (n_selected,), int64
        Indices of the selected windows (of the selected series, for a panel), increasing. The file also has the first
        and last steps of each, as "starts" and "stops".

    Raises
    ------
    InputError
        If the file is not one of the explorer's.
    FileNotFoundError
        If there is none.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from skts.inspection import read_selection
    >>> path = Path(tempfile.mkdtemp()) / "selection.json"
    >>> _ = path.write_text('{"format": "skts-selection-1", "n_windows": 9, "indices": [2, 3]}')
    >>> read_selection(path)
    array([2, 3])
    """
    hint = "Save it with the button of the page that explore() wrote."
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError("a selection that the explorer saved", f"{path}, which is no JSON", hint) from error
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise InputError(f'a selection of format "{FORMAT}"', f"another file, {path}", hint)
    indices, n = found.get("indices"), found.get("n_windows")
    whole = isinstance(indices, list) and isinstance(n, int) and all(type(i) is int and 0 <= i < n for i in indices)
    if not whole:
        raise InputError("indices of windows below n_windows", f"others, in {path}", hint)
    return np.unique(np.array(indices, dtype=np.int64))
