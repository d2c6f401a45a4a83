"""Checkpoints from a model hub, through huggingface_hub, which knows caches, tokens and offline mode."""

from pathlib import Path

from skts.errors import DataNotFoundError, ParameterError

__all__ = ["PREFIX", "fetch"]

PREFIX = "hub:"


def fetch(name: str, *files: str) -> tuple[Path, Path, str]:
    """Two files of a repository from the local cache, or downloaded into it.

    Parameters
    ----------
    name : str
        "ORG/NAME", or "ORG/NAME@REVISION" for a branch, tag or commit.
    *files : str
        Names of the config and of the tensors.

    Returns
    -------
    config, tensors : Path
        Where they are.
    revision : str
        The commit that they belong to.

    Raises
    ------
    ParameterError
        If the name is none, or huggingface_hub is not installed.
    DataNotFoundError
        If they are neither cached nor reachable; with ``HF_HUB_OFFLINE=1`` only the cache is asked.
    """
    repository, _, revision = name.partition("@")
    if repository.count("/") != 1 or not all(repository.split("/")):
        raise ParameterError("weights='hub:ORG/NAME'", repr(PREFIX + name), "Pass 'hub:AutonLab/MOMENT-1-small'.")
    try:
        from huggingface_hub import hf_hub_download
    except ImportError as error:
        hint = "Install it by pip install 'skts[hub]', or pass a folder with the files."
        raise ParameterError(f"huggingface_hub for weights={PREFIX + name!r}", "no such package", hint) from error
    try:
        # The tensors are asked for at the commit of the config, so that both belong together.
        config = Path(hf_hub_download(repository, files[0], revision=revision or None))
        commit = config.parent.name
        tensors = Path(hf_hub_download(repository, files[1], revision=commit))
    except Exception as error:  # the library's own errors change from version to version
        got = (
            f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else 'no reason given'}"
        )
        hint = "Check the name and the network; or download the files elsewhere and pass their folder as weights."
        raise DataNotFoundError(f"{' and '.join(files)} of {repository} in the cache or the hub", got, hint) from error
    return config, tensors, commit
