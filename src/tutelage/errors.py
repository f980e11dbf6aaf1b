"""The three mistakes a user can make. Each message says where, what came, what was wanted and what to do.

The command line prints them as one line and exits with code 2; ``assert`` is left for our own mistakes.
"""


class TutelageError(Exception):
    """Anything that the person at the keyboard can put right."""


class ConfigError(TutelageError):
    """A recipe, an option, a model name or a folder that cannot be used as given."""


class DataError(TutelageError):
    """A file, a row or a set of texts that is not what the run needs."""


class CacheMismatch(TutelageError):
    """A guide store that was built from another guide, other settings or other texts."""


def first_line(fault: Exception) -> str:
    """What another library's fault says first, for a message of one line.

    >>> first_line(ValueError("no such column\\n  at row 3"))
    'no such column'
    """
    return str(fault).strip().partition("\n")[0][:200]
