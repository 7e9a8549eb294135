"""The site of the huggable cloud: one page per family, live in every browser."""

from flask import Flask, abort, redirect, render_template, request, url_for

from statecast import Statecast
from statecast.errors import StatecastError, Unavailable

FAMILIES = {"maple": "The Maples", "birch": "The Birches"}


def create_app():
    app = Flask(__name__)
    live = Statecast(app)

    @app.get("/")
    def index():
        return render_template("index.html", families=FAMILIES)

    @app.get("/<family>")
    def home(family):
        check(family)
        return render_template("family.html", family=family, title=FAMILIES[family])

    @app.post("/<family>/hug")
    def hug(family):  # a command: it is done when the pillow says so
        check(family)
        asked = live.command(f"{family}/pillow", "hug", by=request.values.get("by") or None)
        return answer(family, id=asked.id, status=asked.status)

    @app.post("/<family>/note")
    def note(family):  # a state: it is there for all who come later
        check(family)
        text = request.values.get("text", "").strip()[:200]
        live.set(f"{family}/board", note=text, by=request.values.get("by") or None)
        return answer(family, note=text)

    def answer(family, **members):
        """What programs get as JSON, and forms as the page that they are on."""
        if request.accept_mimetypes.accept_html:
            return redirect(url_for("home", family=family), 303)
        return members, 201

    def check(family):
        if family not in FAMILIES:
            abort(404)

    @app.errorhandler(StatecastError)
    def explain(error):  # the pillow was never plugged in, has too much to do, ...
        return {"detail": str(error)}, 503 if isinstance(error, Unavailable) else 409

    @live.on("join")
    def join(sid, family, name):
        live.name_viewer(sid, name)
        live.enter(sid, family)

    @live.on("wave")
    def wave(sid, family, name):  # an event: for those who are here now
        live.emit("wave", name, to=family, skip=sid)

    return app
