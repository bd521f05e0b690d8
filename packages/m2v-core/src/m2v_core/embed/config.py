"""What is embedded, and how: the only list of these options, for functions and engines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from m2v_core import checks
from m2v_core.encode.output import PRECISIONS
from m2v_core.errors import InvalidInputError
from m2v_core.model import UNSET, Unset
from m2v_core.prompts import check_one


@dataclass(frozen=True, kw_only=True)
class EmbedConfig:
    """Columns, and the options of `StaticModel.encode` that decide the vectors.

    Attributes:
        text_column: Column of the texts.
        vector_column: Column of the vectors, which no column of the input may be called.
        keep: Columns of the input that are kept, in this order. Default: all.
        normalize: Whether vectors are scaled to unit length. Default: the model's setting.
        max_length: Tokens of a text that count, `None` for no limit. Default: the model's setting.
        truncate_dim: Dimensions that are kept, the first ones.
        precision: Numbers of the vectors; see `StaticModel.encode`.
        prompt_name: Name of a prompt of the model, to put before each text.
        prompt: Text to put before each text, in place of a name.

    Raises:
        InvalidInputError: An option is out of range, or a column is named twice.

    Example:
        >>> EmbedConfig(keep=["id"], precision="float16").keep
        ('id',)
    """

    text_column: str = "text"
    vector_column: str = "vector"
    keep: Sequence[str] | None = None
    normalize: bool | None = None
    max_length: int | Unset | None = UNSET
    truncate_dim: int | None = None
    precision: str = "float32"
    prompt_name: str | None = None
    prompt: str | None = None

    @classmethod
    def of(cls, function: str, options: Mapping[str, Any], *others: str) -> EmbedConfig:
        """The config of a function's keywords; `others` are those that it takes beside them.

        Raises:
            TypeError: There is no such option; the error names the nearest.
            InvalidInputError: As the constructor.

        Example:
            >>> EmbedConfig.of("embed_files", {"truncate": 2}, "workers")
            Traceback (most recent call last):
            ...
            TypeError: embed_files() got an unexpected keyword argument 'truncate'. Did you mean 'truncate_dim'?
        """
        names = [field.name for field in fields(cls)]
        if unknown := [name for name in options if name not in names]:
            raise checks.unexpected_keyword(function, unknown[0], [*names, *others])
        return cls(**options)

    def __post_init__(self) -> None:
        for name in ("text_column", "vector_column"):
            value = getattr(self, name)
            checks.expect(isinstance(value, str) and value != "", name, "the name of a column", value)
        if self.keep is not None:
            names = (self.keep,) if isinstance(self.keep, str) else tuple(checks.iterable("keep", self.keep))
            fits = all(isinstance(name, str) for name in names) and len(set(names)) == len(names)
            checks.expect(fits, "keep", "different names of columns", names)
            object.__setattr__(self, "keep", names)
        checks.expect(
            self.vector_column not in (self.keep or ()), "vector_column", "another name than those of keep", "it there"
        )
        checks.flag("normalize", self.normalize, or_none=True)
        if not isinstance(self.max_length, Unset):
            checks.whole("max_length", self.max_length, 1, or_none=True)
        checks.whole("truncate_dim", self.truncate_dim, 1, or_none=True)
        checks.one_of("precision", self.precision, PRECISIONS)
        check_one(self.prompt_name, self.prompt)


def check_columns(place: str, names: Sequence[str], config: EmbedConfig) -> None:
    """Raise unless a table with these columns has those of a job; errors begin with its `place`.

    Raises:
        InvalidInputError: The column of the texts, or one to keep, is missing; the one of the vectors is there; or two
            have one name.

    Example:
        >>> check_columns("a.csv", ["id", "body"], EmbedConfig())
        Traceback (most recent call last):
        ...
        m2v_core.errors.InvalidInputError: a.csv: text_column should be one of its columns, 'id', 'body'; found 'text'.
    """
    shown = ", ".join(map(repr, names[:50])) + (", ..." if len(names) > 50 else "")
    for option, name in (("text_column", config.text_column), *(("keep", name) for name in config.keep or ())):
        if name not in names:
            raise InvalidInputError(
                f"{place}: {option} should be one of its columns, {shown}; found {name!r}."
                f"{checks.did_you_mean(name, names)}"
            )
    if len(set(names)) < len(names):
        raise InvalidInputError(f"{place}: expected columns of different names; found {shown}. Rename one.")
    if config.keep is None and config.vector_column in names:
        raise InvalidInputError(
            f"{place}: vector_column should be another name than those of its columns; found {config.vector_column!r}. "
            f"Choose another, or name the columns to keep."
        )
