"""The OpenAPI document as a page to read: without scripts, and without anything from other hosts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from html import escape
from typing import Any

__all__ = ["page"]

STYLE = """
:root { color-scheme: light dark; }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 54rem; margin: 2rem auto; padding: 0 1rem; }
pre { overflow-x: auto; padding: .75rem; border: 1px solid #8886; border-radius: .4rem; font-size: .85rem; }
h2 { margin: 2.5rem 0 .25rem; font-size: 1.1rem; } h2 b { display: inline-block; min-width: 4rem; }
table { border-collapse: collapse; } td { padding: .15rem 1.5rem .15rem 0; vertical-align: top; }
"""


def page(document: dict[str, Any]) -> str:
    """HTML of every operation: what it takes, what it answers, an example and how to ask with curl."""
    info = document["info"]
    body = "".join(
        "".join(_operation(method.upper(), path, operation))
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    )
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{escape(info['title'])}</title><style>{STYLE}</style><h1>{escape(info['title'])} {escape(info['version'])}</h1>"
        f"<p>{escape(info['summary'])}. Over TCP everything but /healthz needs the token in <code>http.token</code> of the data "
        f'directory. The same for programs: <a href="/openapi.json">/openapi.json</a>.</p>{body}</html>\n'
    )


def _operation(method: str, path: str, operation: dict[str, Any]) -> Iterator[str]:
    yield f"<h2><b>{method}</b> <code>{escape(path)}</code></h2><p>{escape(operation.get('description', ''))}</p>"
    rows = [(f"{one['name']} ({one['in']})", one.get("description", "")) for one in operation.get("parameters", ())]
    rows += [("body", kind) for kind in operation.get("requestBody", {}).get("content", ())]
    rows += [(code, answer["description"]) for code, answer in sorted(operation["responses"].items())]
    yield f"<table>{''.join(f'<tr><td><code>{escape(name)}</code><td>{escape(text)}' for name, text in rows)}</table>"
    yield f"<pre>{escape(_curl(method, path, operation))}</pre>"
    for kind, content in operation["responses"].get("200", {}).get("content", {}).items():
        if "example" in content:
            shown = content["example"] if isinstance(content["example"], str) else json.dumps(content["example"], indent=2)
            yield f"<p>{escape(kind)}</p><pre>{escape(shown)}</pre>"


def _curl(method: str, path: str, operation: dict[str, Any]) -> str:
    taken = operation.get("requestBody", {}).get("content", {})
    body = ""
    if "image/png" in taken:
        body = " \\\n  -H 'Content-Type: image/png' --data-binary @image.png"
    elif "application/json" in taken:
        body = f" \\\n  -H 'Content-Type: application/json' -d '{json.dumps(taken['application/json']['example'])}'"
    token = "" if path == "/healthz" else ' -H "Authorization: Bearer $(cat http.token)"'
    return f"curl{'' if method == 'GET' else f' -X {method}'}{token} http://127.0.0.1:7780{path}{body}"
