"""Errors in three parts: what was expected, what came, what to do."""

__all__ = [
    "DataNotFoundError",
    "DeviceError",
    "DivergenceError",
    "InSampleError",
    "InputError",
    "InputTypeError",
    "ParameterError",
    "PersistenceError",
    "SktsError",
]


class SktsError(ValueError):
    """Base of all errors that skts raises by itself.

    Parameters
    ----------
    expected : str
        What would have been right.
    got : str
        What came instead, with its shape, type or value.
    hint : str
        What to do about it.
    """

    def __init__(self, expected: str, got: str, hint: str) -> None:
        self.expected, self.got, self.hint = expected, got, hint
        super().__init__(f"Expected {expected}. Got {got}. {hint}")

    def __reduce__(self) -> tuple[type, tuple[str, str, str]]:
        # Errors travel from worker processes; the default would rebuild with the joined message alone.
        return type(self), (self.expected, self.got, self.hint)


class InputError(SktsError):
    """The data cannot be used as it is."""


class InputTypeError(InputError, TypeError):
    """The data are of a kind that cannot be used."""


class InSampleError(InputError, NotImplementedError):
    """Forecasts of the past were asked for; sktime knows this case as NotImplementedError."""


class ParameterError(SktsError, TypeError):
    """A constructor parameter has a value outside of its range."""


class DeviceError(SktsError):
    """The device that was asked for is not there."""


class DivergenceError(SktsError):
    """The training loss stopped being a finite number before any usable weights were found."""


class PersistenceError(SktsError):
    """A file cannot be written or cannot be trusted."""


class DataNotFoundError(SktsError, FileNotFoundError):
    """A data set is neither cached nor reachable."""

    def __str__(self) -> str:  # FileNotFoundError would show the three parts as (errno, text)
        return f"Expected {self.expected}. Got {self.got}. {self.hint}"
