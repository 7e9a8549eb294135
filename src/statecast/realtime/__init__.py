"""Step 6, viewers: the live endpoint. Socket.IO v5 over Engine.IO v4, and server-sent events.

From the wire upwards::

    protocol/handshake.py    may this request become a WebSocket? the response either way
    protocol/websocket.py    RFC 6455: bytes to messages, messages to frames
    protocol/engineio.py     Engine.IO packets, the errors of its handshake
    protocol/socketio.py     Socket.IO packets, binary attachments
    session.py               one client's session without I/O: heartbeat, packets, namespaces joined
    viewer.py                one client: its session, what carries it, what its events do
    websocket_connection.py  carries a session on a WebSocket; one object per viewer
    polling.py               carries a session on long polling, until a WebSocket takes over
    sse.py                   the same states as server-sent events
    encoding.py              how a message looks on each of them; encoded once for all viewers
    rooms.py                 namespaces, rooms, and the sockets in them
    namespaces.py            who may join a namespace; calls the application's handlers
    handlers.py              runs handlers on a bounded number of threads, or on the loop
    hub.py                   the registry of all connections; emits to their viewers
    timer_wheel.py           the one timer for all of them
    interfaces.py            the contracts between these modules
"""
