"""One keep-alive connection, and a reader of text/event-stream, both from the standard library."""

import contextlib
import http.client
import json

AN = "00000000-0000-4000-8000-000000000001"
NOBODY = "00000000-0000-4000-8000-00000000dead"
POST = "/v1/streams/behavior/events"
CHANNEL = "/v1/channels/stream:behavior/events"
TYPES = {"json": "application/json", "ndjson": "application/x-ndjson", "msgpack": "application/msgpack",
         "text": "text/plain;charset=UTF-8"}


def event(number, **more):
    return {"userId": AN, "eventType": "http", "metadata": {"n": number}, **more}


class Connection:
    """Requests one after another on one connection."""

    def __init__(self, server, timeout=60):
        self.connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=timeout)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.connection.close()

    def ask(self, method, path, body=None, headers=None):
        """(status, headers, the answer as JSON)"""
        self.connection.request(method, path, body, headers or {})
        response = self.connection.getresponse()
        lower = {name.lower(): value for name, value in response.getheaders()}
        return response.status, lower, json.loads(response.read())

    def post(self, events, query="", kind="json", path=POST):
        body = events if isinstance(events, bytes) else json.dumps(events).encode()
        return self.ask("POST", path + query, body, {"Content-Type": TYPES[kind]})

    def page(self, query=""):
        status, _, page = self.ask("GET", CHANNEL + query)
        assert status == 200, page
        return page


class Stream:
    """An EventSource: `next()` is the next event as (event, id, data)."""

    def __init__(self, server, query="", last_event_id=None, timeout=60, channel=CHANNEL):
        headers = {"Accept": "text/event-stream"}
        if last_event_id is not None:
            headers["Last-Event-ID"] = last_event_id
        self.connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=timeout)
        self.connection.request("GET", channel + query, headers=headers)
        self.response = self.connection.getresponse()
        assert self.response.status == 200, self.response.read()
        assert self.response.getheader("Content-Type") == "text/event-stream"
        self.comments, self.retry, self.id = 0, None, None

    def next(self):
        """None: the stream has ended."""
        name, data = "message", []
        for raw in self.response:
            line = raw.decode().rstrip("\n")
            field, _, value = line.partition(": ")
            if line.startswith(":"):
                self.comments += 1
            elif field == "retry":
                self.retry = int(value)
            elif field == "event":
                name = value
            elif field == "id":
                self.id = value
            elif field == "data":
                data.append(value)
            elif line == "" and data:
                return name, self.id, json.loads("\n".join(data))
        return None

    def comment(self):
        """The id behind the next comment; an event must not come first."""
        before = self.comments
        for raw in self.response:
            line = raw.decode().rstrip("\n")
            field, _, value = line.partition(": ")
            assert field != "data", line
            if line.startswith(":"):
                self.comments += 1
            elif field == "id":
                self.id = value
            elif line == "" and self.comments > before:
                return self.id
        return None

    def offsets(self, count):
        got = [self.next() for _ in range(count)]
        assert all(name == "message" for name, _, _ in got), got
        return [data["offset"] for _, _, data in got]

    def close(self):
        with contextlib.suppress(OSError):
            self.connection.close()
        self.response.close()
