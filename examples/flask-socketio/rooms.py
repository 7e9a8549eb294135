"""Events with rooms and acknowledgements, as functions: an app written for Flask-SocketIO.

With ``flask_socketio`` instead of ``statecast.socketio`` in the import it runs there.
"""

from flask import Flask, request, session

from statecast.socketio import SocketIO, close_room, disconnect, emit, join_room, leave_room, rooms

app = Flask(__name__)
app.config["SECRET_KEY"] = "only an example"
socketio = SocketIO(app)


def answer(event, data, **where):
    """Send data on, with the number of this viewer's events."""
    session["events"] = session.get("events", 0) + 1
    emit(event, {"data": data, "count": session["events"]}, **where)


@app.route("/")
def index():
    return "A stock Socket.IO client connects here."


@socketio.event
def connect(auth):
    if auth and auth.get("token") == "wrong":
        return False
    emit("my_response", {"data": "Connected", "count": 0})
    return True


@socketio.event
def my_event(message):
    answer("my_response", message["data"])


@socketio.event
def my_broadcast_event(message):
    answer("my_response", message["data"], broadcast=True)
    return "sent"


@socketio.event
def my_others_event(message):
    answer("my_response", message["data"], broadcast=True, include_self=False)
    return "sent", request.event["message"]


@socketio.event
def join(message):
    join_room(message["room"])
    answer("my_response", f"In rooms: {', '.join(sorted(set(rooms()) - {request.sid}))}")
    return len(rooms())


@socketio.event
def leave(message):
    leave_room(message["room"])
    answer("my_response", f"In rooms: {', '.join(sorted(set(rooms()) - {request.sid}))}")
    return len(rooms())


@socketio.on("close_room")
def on_close_room(message):
    answer("my_response", f"Room {message['room']} is closing.", to=message["room"])
    close_room(message["room"])
    return "closed"


@socketio.event
def my_room_event(message):
    answer("my_response", message["data"], to=message["room"])
    return "sent"


@socketio.event
def my_bytes(data, more):
    emit("my_bytes", (data, {"more": more}))
    return data + b"!"


@socketio.event
def my_question(text):
    sid = request.sid
    emit("question", text, callback=lambda reply: emit("reply", (reply, request.sid == sid)))


@socketio.event
def my_task(until):
    sid = request.sid

    def work():
        for number in range(until):
            socketio.emit("number", number, to=sid)
            socketio.sleep(0.01)

    socketio.start_background_task(work)


@socketio.event
def my_ping():
    return None


@socketio.event
def disconnect_request():
    emit("my_response", {"data": "Disconnected!", "count": -1}, callback=lambda: None)
    disconnect()


@socketio.on("*")
def anything(event, *data):
    return [event, *data]


if __name__ == "__main__":
    socketio.run(app)
