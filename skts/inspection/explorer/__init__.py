"""The explorer: one page on which the map of an embedding and the series are linked."""

from skts.inspection.explorer.page import explore
from skts.inspection.explorer.selection import read_selection

__all__ = ["explore", "read_selection"]
