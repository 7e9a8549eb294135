"""Step 7, page: REST, the pages, and what browsers load.

::

    api.py          REST below /api
    pages.py        the blueprint of the pages
    late_views.py   their views, imported by the first request for one
    blueprints.py   where an app has REST and pages
    view_models.py  what a template shows of a device
    listing.py      what a list of devices shows
    formatting.py   values, times and units as text
    pictures.py     which picture a state has
    tables.py       the tables that Python and JavaScript share
    scripts.py      the scripts of each page
    templates/      HTML
    static/         scripts, styles and pictures
"""
