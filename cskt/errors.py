"""What is raised when something the user gave is at fault: the command line shows the message, not a traceback."""


class DataError(ValueError):
    """A file given by the user is missing, damaged or does not fit another one.

    Its message is one line, fit to be shown as it is: which file, which line or entry, what was expected.
    """


class ConfigError(DataError):
    """A params file or an override does not fit the configuration."""


class WriteError(DataError):
    """A file or folder cannot be written: the disk is full, or writing there is not allowed."""


def some(names: list[str], count: int = 3) -> str:
    """Return the first names as text, and how many more there are."""
    more = f" and {len(names) - count} more" if len(names) > count else ""
    return ", ".join(map(repr, names[:count])) + more


def one_line(text: str, most: int = 2000) -> str:
    r"""A text as a terminal may show it: in one line, control characters as escapes, cut where it is very long.

    Example:
        >>> print(one_line("\x1b[31mcat\n.png"))
        \x1b[31mcat\n.png
    """
    told = "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in text[:most])
    return f"{told} ..." if len(text) > most else told
