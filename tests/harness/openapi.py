"""The OpenAPI document of a running server: whether it is one, and whether answers are what it says."""

import copy
import re

import jsonschema

METHODS = {"get", "put", "post", "delete", "options", "head", "patch", "trace"}


class Mismatch(AssertionError):
    pass


# --- whether it is an OpenAPI document ---

# The objects of the OpenAPI 3.1 specification that we use, each with its fixed fields (section 4.8) and nothing else.
_FIELDS = {
    "root": ({"openapi", "info", "paths"}, {"servers", "tags", "components", "security"}),
    "info": ({"title", "version"}, {"summary", "description", "license", "termsOfService", "contact"}),
    "operation": ({"responses"}, {"tags", "summary", "description", "operationId", "parameters", "requestBody", "security",
                                  "deprecated", "externalDocs", "servers", "callbacks"}),
    "parameter": ({"name", "in", "schema"}, {"description", "required", "deprecated", "style", "explode", "example", "examples"}),
    "body": ({"content"}, {"description", "required"}),
    "media": (set(), {"schema", "example", "examples", "encoding"}),
    "response": ({"description"}, {"headers", "content", "links"}),
    "header": (set(), {"description", "required", "deprecated", "schema", "style", "explode", "example", "examples"}),
    "tag": ({"name"}, {"description", "externalDocs"}),
    "components": (set(), {"schemas", "responses", "parameters", "headers", "securitySchemes", "requestBodies"}),
}


def _fields(kind, found, where):
    required, optional = _FIELDS[kind]
    assert isinstance(found, dict), f"{where} is not an object"
    names = {name for name in found if not name.startswith("x-")}
    assert required <= names, f"{where} lacks {required - names}"
    assert names <= required | optional, f"{where} has {names - required - optional}, which no {kind} has"


class Document:
    def __init__(self, document):
        self.document = document
        self._operations = []
        for path, operations in document["paths"].items():
            pattern = re.compile("^" + re.sub(r"\\\{[^}]+\\\}", "([^/]+)", re.escape(path).replace(r"\{prefix\}", ".+")) + "/?$")
            for method, operation in operations.items():
                self._operations.append((path, method, pattern, operation))
        # literal parts before templates, as the server does
        self._operations.sort(key=lambda o: [part.startswith("{") for part in o[0].split("/")])
        self._validators = {}

    def resolve(self, value):
        while isinstance(value, dict) and "$ref" in value:
            value, pointer = self.document, value["$ref"]
            assert pointer.startswith("#/"), pointer
            for part in pointer[2:].split("/"):
                value = value[part]
        return value

    def operations(self):
        """(method, path, operation), methods in upper case."""
        return [(method.upper(), path, operation) for path, method, _, operation in self._operations]

    def check_structure(self):
        """Everything the specification asks of the objects we use; schemas are JSON Schema of draft 2020-12."""
        document = self.document
        _fields("root", document, "the document")
        _fields("info", document["info"], "info")
        assert re.fullmatch(r"3\.1\.\d+", document["openapi"])
        _fields("components", document["components"], "components")
        for name in (name for group in document["components"].values() for name in group):
            assert re.fullmatch(r"[A-Za-z0-9._-]+", name), name
        for tag in document["tags"]:
            _fields("tag", tag, f"tag {tag}")
        self._check_security_schemes()
        shapes, ids = set(), set()
        for path, operations in document["paths"].items():
            assert path.startswith("/") and set(operations) <= METHODS, path
            shape = re.sub(r"\{[^}]+\}", "{}", path)
            assert shape not in shapes, f"two templates fit {path}"
            shapes.add(shape)
            for method, operation in operations.items():
                self._check_operation(f"{method} {path}", path, operation)
                assert operation["operationId"] not in ids, operation["operationId"]
                ids.add(operation["operationId"])
        for kind in ("schemas", "parameters", "responses", "headers"):
            for name, found in document["components"].get(kind, {}).items():
                {"schemas": self._check_schema, "parameters": self._check_parameter, "responses": self._check_response,
                 "headers": self._check_header}[kind](f"{kind}/{name}", found)

    def _check_security_schemes(self):
        for name, scheme in self.document["components"]["securitySchemes"].items():
            assert scheme["type"] in ("apiKey", "http"), name
            if scheme["type"] == "apiKey":
                assert scheme["in"] in ("query", "header", "cookie") and scheme["name"], name
            else:
                assert scheme["scheme"] in ("bearer", "basic"), name

    def _check_operation(self, where, path, operation):
        _fields("operation", operation, where)
        parameters = [self.resolve(one) for one in operation.get("parameters", [])]
        for parameter in parameters:
            self._check_parameter(where, parameter)
        keys = [(one["in"], one["name"]) for one in parameters]
        assert len(keys) == len(set(keys)), f"{where}: a parameter is there twice"
        assert {name for kind, name in keys if kind == "path"} == set(re.findall(r"\{([^}]+)\}", path)), where
        for requirement in operation["security"]:
            assert set(requirement) <= set(self.document["components"]["securitySchemes"]), where
        if "requestBody" in operation:
            body = self.resolve(operation["requestBody"])
            _fields("body", body, where)
            self._check_content(where, body["content"])
        assert operation["responses"], where
        for status, response in operation["responses"].items():
            assert re.fullmatch(r"[1-5](\d\d|XX)|default", status), f"{where} {status}"
            self._check_response(f"{where} {status}", response)

    def _check_parameter(self, where, found):
        found = self.resolve(found)
        _fields("parameter", found, where)
        assert found["in"] in ("path", "query", "header", "cookie"), where
        assert found["in"] != "path" or found["required"] is True, where
        self._check_schema(where, found["schema"])

    def _check_content(self, where, content):
        assert content, where
        for kind, media in content.items():
            assert re.fullmatch(r"[a-z]+/[a-z0-9.+-]+", kind), f"{where} {kind}"
            _fields("media", media, f"{where} {kind}")
            if "schema" in media:
                self._check_schema(f"{where} {kind}", media["schema"])

    def _check_response(self, where, found):
        found = self.resolve(found)
        _fields("response", found, where)
        for name, header in found.get("headers", {}).items():
            self._check_header(f"{where} {name}", header)
        if "content" in found:
            self._check_content(where, found["content"])

    def _check_header(self, where, found):
        found = self.resolve(found)
        _fields("header", found, where)
        self._check_schema(where, found["schema"])

    def _check_schema(self, where, schema):
        try:
            jsonschema.Draft202012Validator.check_schema(schema)
        except jsonschema.SchemaError as wrong:
            raise Mismatch(f"{where}: {wrong.message}") from wrong
        self._walk(schema, lambda inner: self.resolve(inner))

    def _walk(self, value, visit):
        if isinstance(value, dict):
            visit(value)
            for inner in value.values():
                self._walk(inner, visit)
        elif isinstance(value, list):
            for inner in value:
                self._walk(inner, visit)

    # --- what to ask ---

    def parameters(self, found, where):
        """Of what find() found: those in the query, the path or the header."""
        parameters = map(self.resolve, found[1].get("parameters", ())) if found else ()
        return [one for one in parameters if one["in"] == where]

    def body_schema(self, operation):
        """Of its JSON body; None when it takes none."""
        media = self.resolve(operation.get("requestBody", {})).get("content", {}).get("application/json")
        return self.resolve(media["schema"]) if media else None

    def example(self, schema, everything=True):
        """A value that fits a schema; everything: with the fields that need not be there."""
        schema = self.resolve(schema)
        if "anyOf" in schema:
            return self.example(schema["anyOf"][0], everything)
        if "examples" in schema:
            return schema["examples"][0]
        if "enum" in schema:
            return schema["enum"][0]
        if "const" in schema:
            return schema["const"]
        kind = schema.get("type", "string")
        kind = kind[0] if isinstance(kind, list) else kind
        if kind == "object":
            return {name: self.example(field, everything) for name, field in schema.get("properties", {}).items()
                    if everything or name in schema.get("required", ())}
        if kind == "array":
            return [self.example(schema["items"], everything)]
        if kind == "string":
            return next((text for text in ("name", "1" * 24, "0a" * 32, "22:00", "00" * 16)
                         if re.search(schema.get("pattern", ""), text)), "name")
        return {"integer": schema.get("minimum", 1), "number": 1, "boolean": True, "null": None}[kind]

    # --- whether an answer is what it says ---

    def find(self, method, path):
        """The template and the operation that fit a request; None when there is none."""
        path = path.partition("?")[0]
        method = "get" if method == "HEAD" else method.lower()
        return next(((template, operation) for template, its, pattern, operation in self._operations
                     if its == method and pattern.match(path)), None)

    def response(self, operation, status):
        responses = operation["responses"]
        found = responses.get(str(status)) or (responses["default"] if status >= 400 else None)
        return self.resolve(found) if found is not None else None

    def check(self, method, path, answer):
        """Raises Mismatch when this answer is not documented so."""
        found = self.find(method, path)
        if method == "OPTIONS" and answer.status == 204:
            return  # of any path
        if found is None:
            if answer.status < 400:
                raise Mismatch(f"{method} {path} answers {answer.status} and is not documented")
            return
        template, operation = found
        where = f"{method} {template} {answer.status}"
        response = self.response(operation, answer.status)
        if response is None:
            raise Mismatch(f"{where} is not documented")
        content = response.get("content")
        kind = (answer.headers.get("Content-Type") or "").partition(";")[0].strip()
        if method == "HEAD" or answer.status == 204:
            return
        if content is None:
            raise Mismatch(f"{where}: no body is documented, it came with {answer.body[:80]!r}")
        if kind not in content:
            raise Mismatch(f"{where}: {kind} is not documented, only {sorted(content)}")
        schema = content[kind].get("schema")
        if schema is None or kind == "application/octet-stream":
            return
        value = answer.json if kind == "application/json" else answer.text
        self._validate(where, kind, schema, value)

    def _validate(self, where, kind, schema, value):
        key = (where, kind)
        if key not in self._validators:
            closed = _close(copy.deepcopy({"components": self.document["components"], "it": schema}))
            whole = {"$ref": "#/it", **closed}
            self._validators[key] = jsonschema.Draft202012Validator(whole)
        wrong = jsonschema.exceptions.best_match(self._validators[key].iter_errors(value))
        if wrong is not None:
            raise Mismatch(f"{where}: at {list(wrong.absolute_path)}: {wrong.message[:300]}")


def _close(value):
    """Objects of a schema have no other fields than those it names, unless it says so."""
    if isinstance(value, list):
        for inner in value:
            _close(inner)
    elif isinstance(value, dict):
        for inner in list(value.values()):
            _close(inner)
        if isinstance(value.get("properties"), dict) and "additionalProperties" not in value and "type" in value:
            value["additionalProperties"] = False
    return value
