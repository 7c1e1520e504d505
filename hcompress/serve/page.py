"""The OpenAPI document as a page: written by the service, with nothing fetched from elsewhere."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any, Final

_STYLE: Final = """
body{font:16px/1.5 system-ui,sans-serif;max-width:54rem;margin:2rem auto;padding:0 1rem;
color:#1a1a1a;background:#fff}
h1 small{font-weight:400;font-size:1rem;color:#666}
section{border:1px solid #ccc;border-radius:6px;margin:1.2rem 0;padding:.4rem 1.2rem 1rem}
h2{font-size:1.1rem}h3{font-size:.95rem;margin:1.1rem 0 .3rem}
h2 b{background:#14532d;color:#fff;border-radius:4px;padding:.1rem .5rem;margin-right:.5rem;
font-size:.85rem}
code,pre{font:14px/1.45 ui-monospace,monospace;background:#f3f3f3;border-radius:4px}
code{padding:.05rem .3rem}pre{padding:.7rem;overflow-x:auto}
table{border-collapse:collapse;width:100%}td{border-top:1px solid #e3e3e3;
padding:.35rem .6rem .35rem 0;vertical-align:top}
td:first-child{white-space:nowrap;width:1%;padding-right:1.2rem}
form{margin:.6rem 0}
@media(prefers-color-scheme:dark){body{color:#e8e8e8;background:#161616}code,pre{background:#262626}
section{border-color:#444}td{border-color:#333}h1 small{color:#aaa}}
"""
_CURL: Final = """curl -F images=@line.png -F images=@other.jpg -F top=3 {base}read
curl --data-binary @line.png -H 'Content-Type: image/png' '{base}read?only=digits'"""
_TRY: Final = """<h3>Try it</h3>
<form action="read" method="post" enctype="multipart/form-data">
<label>Images <input type="file" name="images" accept="image/*" multiple required></label>
<label>Candidates <input type="number" name="top" min="0" max="5" value="0"></label>
<button>Read</button></form>"""


def page(document: Mapping[str, Any], base: str = "http://localhost:8000/") -> str:
    """The whole page of an OpenAPI document of ours; ``base`` is the address in its examples."""
    info = document["info"]
    parts = [
        f"<h1>{escape(info['title'])} <small>{escape(info['version'])} ·"
        ' <a href="openapi.json">openapi.json</a></small></h1>',
        f"<p>{_prose(info['description'])}</p>",
    ]
    for path, methods in document["paths"].items():
        for method, said in methods.items():
            parts += ["<section>", *_operation(path, method, said, base), "</section>"]
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{escape(info['title'])}</title><style>{_STYLE}</style>"
        f"<body>{''.join(parts)}</body></html>"
    )


def _operation(path: str, method: str, said: Mapping[str, Any], base: str) -> Iterator[str]:
    yield f"<h2><b>{escape(method.upper())}</b>{escape(path)}</h2>"
    yield f"<p>{_prose(said['summary'])}. {_prose(said.get('description', ''))}</p>"
    if "parameters" in said:
        yield "<h3>Options</h3>"
        yield _rows(
            (one["name"], f"{_bounds(one['schema'])}. {one['description']}")
            for one in said["parameters"]
        )
    if "requestBody" in said:
        kinds = ", ".join(f"<code>{escape(kind)}</code>" for kind in said["requestBody"]["content"])
        yield f"<h3>Bodies</h3><p>{kinds}</p><pre>{escape(_CURL.format(base=base))}</pre>{_TRY}"
        yield "<h3>Answers</h3>"
        yield _rows((status, one["description"]) for status, one in said["responses"].items())
        example = said["responses"]["200"]["content"]["application/json"]["example"]
        yield f"<pre>{escape(json.dumps(example, indent=2, ensure_ascii=False))}</pre>"


def _bounds(schema: Mapping[str, Any]) -> str:
    kind = schema["type"]
    if "maximum" in schema:
        return f"{kind} from {schema['minimum']} to {schema['maximum']}"
    return f"{kind} of {schema['minLength']} to {schema['maxLength']} characters"


def _rows(rows: Iterator[tuple[str, str]]) -> str:
    cells = (f"<tr><td><code>{escape(a)}</code></td><td>{_prose(b)}</td></tr>" for a, b in rows)
    return f"<table>{''.join(cells)}</table>"


def _prose(text: str) -> str:
    """A text with `code` in it."""
    pieces = escape(text).split("`")
    return "".join(
        f"<code>{piece}</code>" if place % 2 else piece for place, piece in enumerate(pieces)
    )
