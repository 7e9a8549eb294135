"""A chat written for Flask-SocketIO: rooms, logins, acknowledgements, a background task.

It runs on Statecast with one changed import; with ``flask_socketio`` in its place it runs there.

    statecast run app:app      or      python app.py
"""

from flask import Flask, redirect, render_template_string, request
from flask_login import LoginManager, UserMixin, current_user, login_user

from statecast.socketio import Namespace, SocketIO, emit, join_room, leave_room, send

app = Flask(__name__)
app.config["SECRET_KEY"] = "only an example"
socketio = SocketIO(app)
logins = LoginManager(app)


class User(UserMixin):
    def __init__(self, name):
        self.id = name


@logins.user_loader
def load_user(name):
    return User(name)


@app.route("/")
def index():
    return render_template_string("<h1>Hello, {{ name }}.</h1>", name=who())


@app.route("/login", methods=["POST"])
def login():
    login_user(User(request.form["name"]))
    return redirect("/")


def who():
    return current_user.id if current_user.is_authenticated else "stranger"


@socketio.on("connect")
def connect(auth):
    emit("welcome", {"name": who(), "sid": request.sid})


@socketio.on("join")
def join(room):
    join_room(room)
    emit("joined", who(), to=room, include_self=False)
    return f"You are in {room}."


@socketio.on("leave")
def leave(room):
    emit("left", who(), to=room)
    leave_room(room)


@socketio.on("say")
def say(room, text):
    emit("said", (who(), text), to=room)


@socketio.on("message")
def message(text):
    send(f"{who()}: {text}", broadcast=True)


@socketio.on("count")
def count(until):
    sid = request.sid

    def work():
        for number in range(until):
            socketio.emit("number", number + 1, to=sid)
            socketio.sleep(0.01)

    socketio.start_background_task(work)


@socketio.on_error_default
def on_error(error):
    return {"error": str(error)}


class Game(Namespace):
    def on_connect(self):
        emit("score", 0)

    def on_move(self, step):
        emit("score", step * 2)
        return step / (step - 13)  # no piece moves thirteen steps


socketio.on_namespace(Game("/game"))

if __name__ == "__main__":
    socketio.run(app)
