"""Sessions with Flask-Login: an app written for Flask-SocketIO.

With ``flask_socketio`` instead of ``statecast.socketio`` in the import it runs there.
"""

import functools

from flask import Flask, jsonify, request, session
from flask_login import LoginManager, UserMixin, current_user, login_user, logout_user

from statecast.socketio import SocketIO, disconnect, emit

app = Flask(__name__)
app.config["SECRET_KEY"] = "only an example"
logins = LoginManager(app)
socketio = SocketIO(app)


class User(UserMixin):
    def __init__(self, name):
        self.id = name


@logins.user_loader
def load_user(name):
    return User(name)


@app.route("/")
def index():
    return "A stock Socket.IO client with the cookies of /login connects here."


@app.route("/login", methods=["POST"])
def login():
    login_user(User(request.form["name"]))
    session["value"] = "from the login"
    return f"Hello, {current_user.id}."


@app.route("/session")
def show_session():
    user = current_user.id if current_user.is_authenticated else "anonymous"
    return jsonify(session=session.get("value", ""), user=user)


@app.route("/logout", methods=["POST"])
def logout():
    logout_user()
    return "Good bye."


def authenticated_only(handler):
    @functools.wraps(handler)
    def call(*args):
        if not current_user.is_authenticated:
            emit("refused", handler.__name__)
            disconnect()
            return None
        return handler(*args)

    return call


@socketio.on("connect")
def on_connect():
    user = current_user.id if current_user.is_authenticated else "anonymous"
    emit("hello", (user, session.get("value", "")))


@socketio.on("get-session")
def get_session():
    user = current_user.id if current_user.is_authenticated else "anonymous"
    emit("refresh-session", {"session": session.get("value", ""), "user": user})


@socketio.on("set-session")
def set_session(data):
    if "session" in data:
        session["value"] = data["session"]
    elif data.get("user"):
        login_user(User(data["user"]))
    else:
        logout_user()
    return session.get("value", "")


@socketio.on("secret")
@authenticated_only
def secret(text):
    emit("secret", f"{current_user.id} said {text}", broadcast=True)
    return "sent"


@socketio.on("headers")
def headers():
    agent = request.headers.get("X-Agent", "none")
    return {"agent": agent, "query": request.args.get("color"), "path": request.path}


if __name__ == "__main__":
    socketio.run(app)
