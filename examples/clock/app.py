"""A clock in every browser: one process calls the function each second, however many serve."""

import time

from flask import Flask, render_template

from statecast import Statecast

app = Flask(__name__)
live = Statecast(app, namespaces=["/test"])


@app.route("/")
def index():
    return render_template("index.html")


@live.poll("clock", every=1.0)
def clock():
    now = time.strftime("%X")
    live.emit("message", {"data": "The time is", "time": now}, namespace="/test")
    return {"time": now}


if __name__ == "__main__":
    live.run(app)
