"""Step 6, viewer: the live endpoint. Socket.IO v5 over Engine.IO v4, and server-sent events.

From the wire upwards::

    viewer.py      the asyncio protocol that uvicorn hands a WebSocket to; one object per viewer
    polling.py     the same conversation over long polling, and its way to a WebSocket
    sse.py         the same states as server-sent events
    asgi.py        what these two share: heads, answers, clients that leave
    handshake.py   may this request become a WebSocket? the HTTP answer either way
    admission.py   who may connect (Origin) and how much they may send
    websocket.py   RFC 6455: bytes to messages and back
    engineio.py    Engine.IO packets, the errors of its handshake
    session.py     one client's conversation: heartbeat, namespaces, requests
    socketio.py    Socket.IO packets, binary attachments
    hub.py         all viewers of this process: namespaces, rooms, emits, the application's handlers
    handlers.py    runs the application's handlers on a bounded number of threads
    wheel.py       the one timer for all of them
    complaints.py  says in the log what a peer did wrong, without letting it fill the log
"""
