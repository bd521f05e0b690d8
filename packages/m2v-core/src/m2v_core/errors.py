"""The errors that m2v raises on purpose.

Each message says what was expected, what was found and what to do. Each class is also the built-in error that fits
(`ValueError`, `FileNotFoundError`, `ImportError`), so that programs need not know these names.
"""


def spelt(text: str) -> str:
    r"""A text with escapes in place of what UTF-8 cannot spell.

    Example:
        >>> spelt("é\ud800")
        'é\\ud800'
    """
    return text.encode(errors="backslashreplace").decode()


class M2VError(Exception):
    """Base class of all errors of m2v. The command line prints them without a traceback.

    The message can be printed whatever a file holds: what UTF-8 cannot spell is escaped in it.
    """

    def __str__(self) -> str:
        return spelt(super().__str__())


class InvalidInputError(M2VError, ValueError):
    """An argument is out of range or of the wrong kind."""


class BadTextError(InvalidInputError):
    """One of the given texts cannot be tokenised.

    Attributes:
        index: Index of the text; 0 for a single text.
    """

    def __init__(self, before: str, index: int, after: str) -> None:
        super().__init__(before, index, after)
        self.index = index

    def __str__(self) -> str:
        return spelt("".join(map(str, self.args)))

    def moved(self, by: int) -> "BadTextError":
        """The same error with an index that is larger by the number of texts before these."""
        before, index, after = self.args
        return BadTextError(before, index + by, after)


class ModelFormatError(M2VError, ValueError):
    """A file of a model is damaged, inconsistent, or in a layout that m2v does not read."""


class ModelNotFoundError(M2VError, FileNotFoundError):
    """There is no model where one was named."""


class MissingPackageError(M2VError, ImportError):
    """A package that is needed is not installed; the message names it."""


class TransferError(M2VError, OSError):
    """Files could not be downloaded from the Hub or published there."""
