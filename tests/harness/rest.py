"""A client of the REST interface on the standard library."""

import http.client
import json
import secrets
import urllib.parse


class Answer:
    def __init__(self, response, body):
        self.status = response.status
        self.headers = response.headers
        self.body = body

    @property
    def text(self):
        return self.body.decode("utf-8")

    @property
    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"{self.status} {self.body[:300]!r}"


class Rest:
    """document: an openapi.Document that every answer must agree with."""

    def __init__(self, port, token=None, host="127.0.0.1", document=None):
        self.host, self.port, self.token, self.document = host, port, token, document

    def with_token(self, token):
        return Rest(self.port, token, self.host, self.document)

    def request(self, method, path, json_body=None, form=None, headers=None, body=None, timeout_s=40):
        """body: bytes, or an iterator of them, which is sent chunked."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=timeout_s)
        sent = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        if json_body is not None:
            body = json.dumps(json_body)
            sent["Content-Type"] = "application/json"
        elif form is not None:
            body = urllib.parse.urlencode(form)
            sent["Content-Type"] = "application/x-www-form-urlencoded"
        sent.update(headers or {})
        try:
            connection.request(method, path, body=body, headers=sent)
            response = connection.getresponse()
            is_endless = response.headers.get_content_type() == "text/event-stream"
            answer = Answer(response, b"" if is_endless else response.read())
        finally:
            connection.close()
        if self.document is not None:
            self.document.check(method, path, answer)
        return answer

    def get(self, path, **options):
        return self.request("GET", path, **options)

    def post(self, path, json_body=None, **options):
        return self.request("POST", path, json_body=json_body, **options)

    def put(self, path, json_body=None, **options):
        return self.request("PUT", path, json_body=json_body, **options)

    def delete(self, path, **options):
        return self.request("DELETE", path, **options)

    def upload(self, path, data, file_name="firmware.bin", field="file", fields=None, method="POST", chunk_bytes=None,
               **options):
        """One file, and values beside it, as multipart/form-data; in chunks of a size, or with its length."""
        boundary = secrets.token_hex(16)
        body = b"".join(f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
                        for name, value in (fields or {}).items())
        body += (f'--{boundary}\r\nContent-Disposition: form-data; name="{field}"; filename="{file_name}"\r\n'
                 "Content-Type: application/octet-stream\r\n\r\n").encode() + data + f"\r\n--{boundary}--\r\n".encode()
        if chunk_bytes:
            body = iter([body[i:i + chunk_bytes] for i in range(0, len(body), chunk_bytes)])
        headers = {"Content-Type": f"multipart/form-data; boundary={boundary}", **options.pop("headers", {})}
        return self.request(method, path, body=body, headers=headers, **options)

    def ok(self, method, path, json_body=None, **options):
        """The JSON of an answer that must be 200."""
        answer = self.request(method, path, json_body=json_body, **options)
        assert answer.status == 200, f"{method} {path}: {answer}"
        return answer.json

    def ok2(self, method, path, json_body=None, **options):
        """The JSON of an answer that must be a success of any kind."""
        answer = self.request(method, path, json_body=json_body, **options)
        assert answer.status in (200, 201, 202), f"{method} {path}: {answer}"
        return answer.json

    def device(self, which):
        return self.ok("GET", f"/v1/devices/{which}")

    def devices(self, **filters):
        query = "?" + urllib.parse.urlencode(filters) if filters else ""
        return self.ok("GET", "/v1/devices" + query)
