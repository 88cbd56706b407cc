#!/usr/bin/env python3
"""Does penstock.v1.json take what the vectors accept, and refuse what they refuse? Needs python3-jsonschema."""
import json
import os
import sys

import jsonschema

HERE = os.path.dirname(os.path.abspath(__file__))
# What a schema cannot say: the form of a number, names that come twice, nesting, escapes without a rune.
BEYOND = {
    "id in exponent form", "channel with half a surrogate pair", "nested too deep",
    "op twice", "id twice", "stream twice", "events twice",
}


def load(*path):
    with open(os.path.join(HERE, *path), encoding="utf-8") as file:
        return json.load(file)


def parsed(text):
    try:
        return json.loads(text)
    except ValueError:
        return None


def main():
    schema = load("penstock.v1.json")
    jsonschema.Draft202012Validator.check_schema(schema)
    client, server = (
        jsonschema.Draft202012Validator({"$ref": f"#/$defs/{side}", "$defs": schema["$defs"]})
        for side in ("client", "server"))
    wrong = []
    for case in load("..", "vectors", "client.json")["cases"]:
        message = parsed(case.get("json", ""))
        if message is None or case["name"] in BEYOND:
            continue
        if client.is_valid(message) == ("error" in case["expect"]):
            wrong.append(case["name"])
    for case in load("..", "vectors", "server.json")["cases"]:
        if not server.is_valid(case["message"]):
            wrong.append(case["name"])
    for name in wrong:
        print(f"the schema and the vectors disagree about: {name}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
