"""``python -m skts`` prints what a bug report needs."""

from skts import show_versions

show_versions()
