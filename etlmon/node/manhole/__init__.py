"""The console: Python in the running node, for whoever debugs it. Off unless it is configured.

``service`` is what the node starts; ``unix`` and ``ssh`` are the ways in, ``session`` is what runs
what is typed, ``tools`` is what there is to type, ``terminal`` is ``etlmon console``. Nothing of it
but ``terminal`` is imported by a node without a console: Twisted's conch takes time and memory.
"""
