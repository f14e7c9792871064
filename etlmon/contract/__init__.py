"""Every endpoint of the API, once.

The server's routes, the OpenAPI document, the typed client and the command line all come from
these. Within ``/api/v1`` fields and parameters are added, never removed, renamed or re-typed.

``fs``, ``paths`` and their like each have the endpoints of one module of ``api/resources``, with
the queries that they take; ``all`` puts them together and ``pages`` has the pages that are no JSON.
What they are made of: ``endpoint`` is a call, ``query`` the parts of query strings, ``wire`` writes
and reads them, ``words`` says what is wrong with one.
"""
