"""Renders chat templates as their publishers' programs do: an independent reference for tests.

render.py FILE: a JSON list of {"template", "messages", "open", "values"}; prints a JSON list of texts.
"""
import json
import sys

from jinja2.exceptions import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment


def refuse(message):
    raise TemplateError(message)


environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
environment.globals["raise_exception"] = refuse
compiled = {}
texts = []
for task in json.load(open(sys.argv[1], encoding="utf-8")):
    source = task["template"]
    if source not in compiled:
        compiled[source] = environment.from_string(source)
    texts.append(compiled[source].render(
        messages=task["messages"], add_generation_prompt=task["open"], **task["values"]))
json.dump(texts, sys.stdout)
