"""The errors that m2v raises on purpose.

Each says what was expected, what was found and what to do, and each is also the built-in error that a caller
would reach for (`ValueError`, `FileNotFoundError`, `ImportError`), so no program has to know these names.
"""


class M2VError(Exception):
    """Anything that m2v refuses to do. The command line prints it without a traceback."""


class InvalidInputError(M2VError, ValueError):
    """An argument is out of range or of the wrong kind."""


class BadTextError(InvalidInputError):
    """A text among those that were passed cannot be tokenised.

    Attributes:
        index: Its place among them; 0 where one text was passed alone.
    """

    def __init__(self, before: str, index: int, after: str) -> None:
        super().__init__(before, index, after)
        self.index = index

    def __str__(self) -> str:
        return "".join(map(str, self.args))

    def moved(self, by: int) -> "BadTextError":
        """The same error for a caller who passed `by` more texts before these."""
        before, index, after = self.args
        return BadTextError(before, index + by, after)


class ModelFormatError(M2VError, ValueError):
    """A file of a model is damaged, inconsistent, or in a layout that m2v does not read."""


class ModelNotFoundError(M2VError, FileNotFoundError):
    """There is no model where one was named."""


class MissingPackageError(M2VError, ImportError):
    """The job needs a package that is not installed; the message names it."""


class TransferError(M2VError, OSError):
    """Files could not be fetched from the Hub, or not be published there."""
