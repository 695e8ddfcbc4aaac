"""What must be true of a home at any moment, and the checks that say whether it is.

``checking.check`` looks at a home from outside: by read-only queries, at the histories that
threads left on the disk, and at the processes of this machine.
"""

from netsky_runtime.invariants.checking import Report, check
from netsky_runtime.invariants.checks import Violation

__all__ = ["Report", "Violation", "check"]
