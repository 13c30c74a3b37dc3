"""How the report writes numbers and lists."""

from collections.abc import Sequence

from stages.analysis.comparison import Comparison


def format_p(p_value: float) -> str:
    """Write a p-value with two significant digits."""
    return "p < 0.001" if p_value < 0.001 else f"p = {p_value:.2g}"


def format_share(share: float, digits: int = 2) -> str:
    """Write a fraction as people read it."""
    return f"{100 * share:.{digits}f} %"


def format_points(difference: float, digits: int = 2) -> str:
    """Write a difference of fractions in percentage points."""
    number = f"{100 * difference:.{digits}f}"
    return f"{number} point{'s' * (number != '1')}"


def format_margin(margin: float) -> str:
    """Write the margin of equivalence, a fraction, in percentage points."""
    return f"{100 * margin:g} points"


def count_digits(x: Comparison) -> int:
    """Return how many digits after the point the interval of a difference supports."""
    width = 100 * (x.interval.high - x.interval.low) if x.interval else 0
    return 2 if width < 1 else 1 if width < 10 else 0


def format_interval(x: Comparison) -> str:
    """Write the interval of the better one minus the other in points; "" if there is none.

    It says where the interval holds 0 although the test shows a difference.
    """
    if x.interval is None:
        return ""
    ends = [100 * end * (1 if x.difference > 0 else -1) for end in x.interval]
    digits = count_digits(x)
    low, high = (f"{round(end, digits) + 0.0:.{digits}f}" for end in sorted(ends))  # no -0
    borderline = ", borderline" if x.differs and x.interval.low < 0 < x.interval.high else ""
    return f"{low} to {high}{borderline}".replace("-", "\N{MINUS SIGN}")


def format_support(x: Comparison) -> str:
    """Write the interval, if any, and the p-value."""
    return ", ".join(filter(None, (format_interval(x), format_p(x.p_value))))


def listed(words: Sequence[str], last: str = "and") -> str:
    """List ``words`` with commas, and "and" or another word before the last."""
    return f" {last} ".join(filter(None, (", ".join(words[:-1]), *words[-1:])))


def counted(number: float, noun: str) -> str:
    """Write a number with its noun."""
    return f"{number:g} {noun}{'s' * (number != 1)}"


def capitalized(text: str) -> str:
    """Write the first letter large, and the others as they are."""
    return text[0].upper() + text[1:]


def is_number(text: str) -> bool:
    """Say whether ``text``, a value of what varies, is a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True
