"""How the lines about a run are laid out."""

__all__ = ["labelled"]


def labelled(name: str, text: str) -> str:
    """One line: a name, or nothing, and a text in a column of its own.

    Examples:
        >>> labelled("rows", "3 in")
        ' rows          3 in'
    """
    return f" {name:<13} {text}"
