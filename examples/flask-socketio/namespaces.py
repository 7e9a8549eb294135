"""Classes of handlers, one per namespace: an app written for Flask-SocketIO.

With ``flask_socketio`` instead of ``statecast.socketio`` in the import it runs there.
"""

from flask import Flask, request, session

from statecast.socketio import (
    ConnectionRefusedError,  # noqa: A004 - the library calls it so
    Namespace,
    SocketIO,
    disconnect,
    emit,
    join_room,
    leave_room,
    rooms,
    send,
)

app = Flask(__name__)
app.config["SECRET_KEY"] = "only an example"
socketio = SocketIO(app)


@app.route("/")
def index():
    return "A stock Socket.IO client connects to /test and to /other here."


class TestNamespace(Namespace):
    def on_connect(self):
        session["events"] = 0
        emit("my_response", {"data": "Connected", "namespace": request.namespace})

    def on_my_event(self, message):
        session["events"] += 1
        emit("my_response", {"data": message["data"], "count": session["events"]})

    def on_my_broadcast_event(self, message):
        self.emit("my_response", {"data": message["data"]})
        return "sent"

    def on_join(self, message):
        join_room(message["room"])
        return sorted(set(rooms()) - {request.sid})

    def on_leave(self, message):
        leave_room(message["room"])
        return sorted(set(rooms()) - {request.sid})

    def on_close_room(self, message):
        self.emit("my_response", {"data": "closing"}, room=message["room"])
        self.close_room(message["room"])
        return "closed"

    def on_my_room_event(self, message):
        emit("my_response", {"data": message["data"]}, to=message["room"], include_self=False)
        return "sent"

    def on_my_message(self, text):
        self.send(text, room=request.sid)
        send({"text": text}, json=True)

    def on_disconnect_request(self):
        emit("my_response", {"data": "Disconnected!"})
        disconnect()

    def on_my_ping(self):
        return "pong"


class OtherNamespace(Namespace):
    def on_connect(self, auth):
        if not auth or "name" not in auth:
            raise ConnectionRefusedError("A name, please.")
        emit("hello", auth["name"], broadcast=True)

    def on_disconnect(self, reason):
        socketio.emit("left", reason, namespace="/test")

    def on_divide(self, dividend, divisor):
        return dividend / divisor

    def on_my_ping(self):
        return "pong"


@socketio.on_error("/other")
def on_error(error):
    return {"error": type(error).__name__}


socketio.on_namespace(TestNamespace("/test"))
socketio.on_namespace(OtherNamespace("/other"))

if __name__ == "__main__":
    socketio.run(app)
