#!/usr/bin/env python3
"""Takes the facts out of an Engine API description (Swagger 2.0, YAML): paths, parameters, statuses, schemas; no prose. Usage: api-fixture.py DESCRIPTION.yaml > e2e/fixtures/engine-api-v1.51.json"""
import json
import sys

import yaml

METHODS = {"get", "head", "post", "put", "delete"}
PROSE = {"description", "example", "examples", "summary", "title", "operationId", "tags", "produces", "consumes"}


def facts(node):
    """The node without prose, in JSON Schema's words."""
    if isinstance(node, list):
        return [facts(item) for item in node]
    if not isinstance(node, dict):
        return node
    nullable = node.get("x-nullable", False)
    # A property may be called "description": only a text is prose.
    kept = {
        key: facts(value)
        for key, value in node.items()
        if not (key in PROSE and not isinstance(value, dict)) and key not in {"example", "examples"} and not key.startswith("x-")
    }
    if "properties" in node:
        kept["properties"] = {name: facts(value) for name, value in node["properties"].items()}
    if kept.get("format") in {"dateTime", "date-time", "int8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float", "double", "ip-address"}:
        del kept["format"]
    if not nullable:
        return kept
    if "$ref" in kept:
        return {"anyOf": [{"$ref": kept["$ref"]}, {"type": "null"}]}
    if "enum" in kept:
        kept["enum"] = [*kept["enum"], None]
    if isinstance(kept.get("type"), str):
        kept["type"] = [kept["type"], "null"]
    return kept


def references(node, found):
    if isinstance(node, list):
        for item in node:
            references(item, found)
    elif isinstance(node, dict):
        if "$ref" in node:
            found.add(node["$ref"].rsplit("/", 1)[1])
        for value in node.values():
            references(value, found)


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        description = yaml.safe_load(file)
    endpoints = []
    for path, operations in description["paths"].items():
        for method, operation in operations.items():
            if method not in METHODS:
                continue
            endpoints.append({
                "path": path,
                "method": method.upper(),
                "parameters": [
                    {key: facts(parameter[key]) for key in ("name", "in", "required", "type", "schema") if key in parameter}
                    for parameter in operation.get("parameters", [])
                ],
                "responses": {
                    str(status): facts(response.get("schema")) if "schema" in response else None
                    for status, response in operation["responses"].items()
                },
            })
    needed: set[str] = set()
    references(endpoints, needed)
    definitions = {}
    while needed - definitions.keys():
        for name in sorted(needed - definitions.keys()):
            definitions[name] = facts(description["definitions"][name])
            references(definitions[name], needed)
    json.dump({"version": description["info"]["version"], "endpoints": endpoints, "definitions": definitions}, sys.stdout, indent=1, sort_keys=True)
    print()


main()
