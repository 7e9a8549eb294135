"""The clock as a state: the page is three lines of HTML, and a reload shows the time at once."""

import time

from flask import Flask, render_template

from statecast import Statecast

app = Flask(__name__)
live = Statecast(app)


@app.route("/")
def index():
    return render_template("state.html", clock=live.get("clock") or {})


@live.poll("clock", every=1.0)
def clock():
    return {"time": time.strftime("%X")}


if __name__ == "__main__":
    live.run(app)
