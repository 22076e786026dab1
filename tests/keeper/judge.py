"""Says how others read what the command writes: `icalendar` a calendar, `markdown-it` a comment. Both as JSON."""

import json
import sys
from datetime import datetime, timezone

from icalendar import Calendar
from markdown_it import MarkdownIt


def instant(value):
    return value.dt.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def calendar(data):
    read = Calendar.from_ical(data)
    events = []
    for event in read.walk("VEVENT"):
        assert not event.errors, event.errors
        end = event["DTEND"].dt
        alarms = [(end + alarm["TRIGGER"].dt).astimezone(timezone.utc) for alarm in event.walk("VALARM")]
        assert all(alarm["TRIGGER"].params["RELATED"] == "END" for alarm in event.walk("VALARM"))
        events.append(
            {
                "uid": str(event["UID"]),
                "sequence": int(event["SEQUENCE"]),
                "summary": str(event["SUMMARY"]),
                "description": str(event["DESCRIPTION"]),
                "start": instant(event["DTSTART"]),
                "end": instant(event["DTEND"]),
                "alarms": [alarm.strftime("%Y-%m-%dT%H:%M:%SZ") for alarm in alarms],
            }
        )
    return {"errors": read.errors, "events": events}


def markdown(data):
    """Every piece of the document, with what kind of thing it is."""
    pieces = []

    def walk(tokens):
        for token in tokens:
            if token.children is not None:
                walk(token.children)
            else:
                pieces.append([token.type, token.content])

    walk(MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).parse(data.decode("ascii")))
    return pieces


what, data = sys.argv[1], sys.stdin.buffer.read()
json.dump(calendar(data) if what == "calendar" else markdown(data), sys.stdout)
