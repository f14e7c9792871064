"""Reads the machine and knows nothing of etlmon.

Every function takes the root it reads from (``/proc``, ``/etc``), so that a fixture tree can
stand for the host. Calls here may block: they run in a thread or in an fsworker child.
"""
