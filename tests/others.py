"""What tests do as another user than the one who runs them."""

from __future__ import annotations

NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
"""Begins a program as one who has no rights; for programs that everybody may read."""
BECOME_NOBODY = """
import ctypes, os
os.setgroups([]); os.setgid(65534); os.setuid(65534)
ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)  # PR_SET_DUMPABLE: its /proc is its own, as a new program's
"""
"""Has a Python that root has begun become nobody, when it has imported all that it uses.

The interpreter and the checkout may be where nobody may go, such as below root's closed home.
"""
