"""HTTP as every endpoint shares it. Nothing here knows of devices, viewers or the server.

::

    asgi             the types of ASGI, reading bodies, a response in one call
    head             the head of a request
    errors           refusals: a status and a sentence
    hosts            which Host a request may name
    origin           which pages may connect
    addresses        how addresses are read and counted
    throttled_log    what clients do wrong, with a limit of lines per address
"""
