"""The server: HTTP, WebSocket and server-sent events on one port, Flask on threads beside them.

::

    server               the server in one process, and how it stops
    supervisor           several such processes on one port, and the parent that restarts them
    shutdown             signals: the first asks to stop, the second ends at once
    service_manager      reports to systemd: ready, alive, stopping
    sockets              the listening socket, and who may be let in there
    http_protocol        HTTP with limits: extends uvicorn's protocol class
    head_rules           what the head of a request must look like
    connection_limits    how many connections in all and per address
    timeouts             timeouts of many connections with one timer
    router               which path belongs to which endpoint; the static files
    readiness            whether the store answers
    wsgi                 Flask on a bounded number of threads
    wsgi_environ         the environment of a WSGI request
    uvicorn_names        the inner names of uvicorn that we need, checked at start
"""
