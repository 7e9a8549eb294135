"""The description of REST, in the words of OpenAPI 3.1. Pure: values in, a document out.

::

    operation.py  what is said about a route, as values
    statuses.py   the statuses of errors, each with its sentence
    document.py   the document that is made of them

What is said about each route stands beside the routes: ``web.rest_operations`` for Flask,
``server.loop_operations`` for the event loop.
"""
