"""The whole of node.yaml and ui.yaml: their grammar, how they are read, and every mistake in them.

The grammar: ``node`` (with ``watched``) and ``ui`` are the files as Structs, ``kinds`` and
``addresses`` the scalars in them, ``section`` what all Structs share. Reading: ``loader`` is what
others call; behind it ``document`` turns bytes into YAML nodes, ``reader`` the nodes into Structs
by what ``grammar`` knows of them, and ``mistakes`` collects what is wrong on the way. ``schema``
shows the grammar as JSON Schema.
"""
