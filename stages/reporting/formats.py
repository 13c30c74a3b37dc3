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
    return f"{100 * difference:.{digits}f} points"


def format_margin(margin: float) -> str:
    """Write the margin of equivalence, a fraction, in percentage points."""
    return f"{100 * margin:g} points"


def format_ends(comparison: Comparison, digits: int) -> str:
    """Write the interval of the better one minus the other in points; "" if there is none."""
    if comparison.interval is None:
        return ""
    sign = 1 if comparison.difference > 0 else -1
    low, high = sorted(sign * end for end in (comparison.interval.low, comparison.interval.high))
    return f"{100 * low:.{digits}f} to {100 * high:.{digits}f}"


def listed(words: Sequence[str], last: str = "and") -> str:
    """List ``words`` with commas, and "and" or another word before the last."""
    return f" {last} ".join(filter(None, (", ".join(words[:-1]), *words[-1:])))


def counted(number: int, noun: str) -> str:
    """Write a number with its noun."""
    return f"{number} {noun}{'s' * (number != 1)}"


def is_number(text: str) -> bool:
    """Say whether ``text``, a value of what varies, is a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True
