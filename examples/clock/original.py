"""The clock as it was written for Flask-SocketIO; only the import is another one.

A thread in a global variable, started by the first visit, sends the time to all pages.
"""

import threading
import time

from flask import Flask, render_template

from statecast.socketio import SocketIO

app = Flask(__name__)
socketio = SocketIO(app)
thread = None
lock = threading.Lock()


def send_time():
    while True:
        now = time.strftime("%X")
        socketio.emit("message", {"data": "The time is", "time": now}, namespace="/test")
        socketio.sleep(1)


@app.route("/")
def index():
    global thread
    with lock:
        if thread is None:
            thread = socketio.start_background_task(send_time)
    return render_template("index.html")


@socketio.on("connect", namespace="/test")
def connect():
    print("a page has connected")


if __name__ == "__main__":
    socketio.run(app)
