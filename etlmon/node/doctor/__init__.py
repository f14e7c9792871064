"""``etlmon doctor``: whether this host gives the node what its configuration asks for.

``system`` and ``watched`` have the checks, each a function of ``base.Host`` and the configuration
that gives findings; ``examine`` runs each in a child, as the node's user and with a deadline.
"""
