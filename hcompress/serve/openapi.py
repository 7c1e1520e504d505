"""The service's OpenAPI document, and the examples in it. A test holds it against the answers."""

from __future__ import annotations

from typing import Any, Final

from hcompress import __version__
from hcompress.runtime.only import CLASSES
from hcompress.serve.answers import MOST_ONLY
from hcompress.serve.limits import MIB, Limits
from hcompress.serve.order import BYTES, FORM, IMAGES, JSON
from hcompress.serve.refused import STATUS, Code
from hcompress.spec.config import CANDIDATES

_WHY: Final[dict[Code, str]] = {
    Code.SLOW_BODY: "the body was not here in time",
    Code.BODY_TOO_LARGE: "the body is too large",
    Code.TOO_MANY_IMAGES: "too many images in one request",
    Code.IMAGE_TOO_LARGE: "an image has too many pixels",
    Code.UNKNOWN_TYPE: "a content type that is not taken",
    Code.BAD_BODY: "the body can't be understood",
    Code.BAD_OPTION: "an option is not known, or out of its bounds",
    Code.BAD_IMAGE: "no readable image",
    Code.BUSY: "too much waits already: try again after Retry-After seconds",
    Code.FAILED: "the reader failed: the log says why",
    Code.STOPPING: "the service is stopping",
    Code.TOO_LATE: "it was not read in time",
}
_ERROR: Final = {
    "type": "object",
    "required": ["code", "message"],
    "properties": {
        "code": {"type": "string", "enum": [str(code) for code in Code]},
        "message": {"type": "string"},
        "request": {"type": "string", "description": "The X-Request-ID, for the log."},
    },
}
_READING: Final = {
    "type": "object",
    "description": "What was read, or `error` if this image could not be read.",
    "properties": {
        "text": {
            "type": ["string", "null"],
            "description": "Null if it is less sure than `min_confidence`.",
        },
        "confidence": {"type": "number", "minimum": 0, "maximum": 1},
        "candidates": {
            "type": "array",
            "description": "With `top`: for each character the best few, best first.",
            "items": {"type": "array", "items": {"$ref": "#/components/schemas/Candidate"}},
        },
        "remark": {"type": "string", "description": "What whoever gave the image should know."},
        "error": {"$ref": "#/components/schemas/Error"},
    },
}
_CANDIDATE: Final = {
    "type": "object",
    "required": ["character", "confidence"],
    "properties": {"character": {"type": "string"}, "confidence": {"type": "number"}},
}
_ANSWER: Final = {
    "type": "object",
    "required": ["model", "readings"],
    "properties": {
        "model": {"type": "string", "description": "The file that is served."},
        "readings": {
            "type": "array",
            "description": "One an image, in the order of the request.",
            "items": {"$ref": "#/components/schemas/Reading"},
        },
    },
}
_OPTIONS: Final[dict[str, dict[str, Any]]] = {
    "top": {
        "schema": {"type": "integer", "minimum": 0, "maximum": CANDIDATES, "default": 0},
        "description": "Candidates told of each character.",
    },
    "min_confidence": {
        "schema": {"type": "number", "minimum": 0, "maximum": 1, "default": 0},
        "description": "A text less sure than this comes as null.",
    },
    "only": {
        "schema": {"type": "string", "minLength": 1, "maxLength": MOST_ONLY},
        "description": "The characters that a text may have, or one of "
        f"{', '.join(CLASSES)}. The best candidate of those is taken in each place; a character"
        f" with none among its {CANDIDATES} candidates is left out, and confidence falls.",
    },
}


def openapi(limits: Limits, model: str) -> dict[str, Any]:
    """The document of a service with these limits."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "hcompress",
            "version": __version__,
            "description": f"Reads lines of text with {model}.",
        },
        "paths": {
            "/read": {"post": _read(limits)},
            "/healthz": _get("Whether the worker lives", "503 if it must be started again."),
            "/readyz": _get("Whether requests may be sent", "503 while it is stopping."),
            "/metrics": _get("Figures for Prometheus"),
            "/openapi.json": _get("This document"),
        },
        "components": {
            "schemas": {
                "Answer": _ANSWER,
                "Reading": _READING,
                "Candidate": _CANDIDATE,
                "Error": _ERROR,
                "Refusal": {
                    "type": "object",
                    "required": ["error"],
                    "properties": {"error": {"$ref": "#/components/schemas/Error"}},
                },
            }
        },
    }


def _read(limits: Limits) -> dict[str, Any]:
    return {
        "summary": "Read one image or many",
        "description": "Each image is one line of text: PNG, JPEG, BMP, GIF, WebP, PPM or TIFF."
        f" At most {limits.images} images and {limits.body / MIB:g} MiB a request,"
        f" {limits.pixels / 10**6:g} million pixels an image, answered within {limits.seconds:g}"
        " seconds. If some images of several can't be read, the answer is 200 and has an `error` in"
        " their places. Options may stand in the address, in the form or in the JSON.",
        "parameters": [{"name": name, "in": "query", **said} for name, said in _OPTIONS.items()],
        "requestBody": {"required": True, "content": _bodies(limits)},
        "responses": {
            "200": _content("What was read", "Answer", _EXAMPLE),
            **{
                str(status): _content(_reasons(status), "Refusal")
                for status in sorted(set(STATUS.values()))
            },
        },
    }


_EXAMPLE: Final = {"model": "gbk21k.onnx", "readings": [{"text": "phent", "confidence": 0.998}]}


def _bodies(limits: Limits) -> dict[str, Any]:
    file = {"type": "string", "contentMediaType": "application/octet-stream"}
    options = {name: said["schema"] for name, said in _OPTIONS.items()}
    images = {"type": "array", "minItems": 1, "maxItems": limits.images}
    base64 = {"type": "string", "contentEncoding": "base64", "description": "Or a data: URL."}
    return {
        FORM: {
            "schema": {
                "type": "object",
                "required": [IMAGES],
                "properties": {IMAGES: {**images, "items": file}, **options},
            }
        },
        JSON: {
            "schema": {
                "type": "object",
                "required": [IMAGES],
                "additionalProperties": False,
                "properties": {IMAGES: {**images, "items": base64}, **options},
            }
        },
        "image/*": {"schema": file},
        BYTES: {"schema": file},
    }


def _reasons(status: int) -> str:
    said = [f"`{code}`: {_WHY[code]}" for code in Code if STATUS[code] == status]
    return "; ".join(said)


def _content(description: str, schema: str, example: Any = None) -> dict[str, Any]:
    media: dict[str, Any] = {"schema": {"$ref": f"#/components/schemas/{schema}"}}
    if example is not None:
        media["example"] = example
    return {"description": description, "content": {JSON: media}}


def _get(summary: str, more: str = "") -> dict[str, Any]:
    described = {"description": more} if more else {}
    return {"get": {"summary": summary, **described, "responses": {"200": {"description": "Yes"}}}}
