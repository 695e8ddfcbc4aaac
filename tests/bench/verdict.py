"""Whether a figure meets its goal, said beside it.

A goal that is missed is printed, not raised: a figure depends on the machine and on what else
runs there, and one that is missed must not keep the others from being measured.
"""


def verdict(met: bool) -> str:
    """Return the word that ends a bench's line."""
    return "goal met" if met else "GOAL MISSED"
