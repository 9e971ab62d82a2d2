"""Who flashes devices and runs campaigns over REST."""

import json
import time
import urllib.error
import urllib.request

from . import processes
from .processes import Refused

BOUNDARY = "file-of-a-measurement"


class Operator:
    def __init__(self, lab):
        self.url = lab.cyan.url
        self.token = processes.run([lab.cyan.program, "token", "create", "--role", "admin"] + lab.cyan.settings).strip()

    def _send(self, method, path, body, content_type):
        """The JSON of the answer and how many ms it took."""
        request = urllib.request.Request(self.url + path, method=method, data=body,
                                         headers={"Authorization": f"Bearer {self.token}", "Content-Type": content_type})
        begin = time.monotonic()
        try:
            with urllib.request.urlopen(request, timeout=900) as answer:
                found = json.load(answer)
        except urllib.error.HTTPError as error:
            raise Refused(f"{method} {path}: {error.code} {error.read().decode(errors='replace')[:200]}") from None
        return found, (time.monotonic() - begin) * 1000

    def ask(self, method, path, body=None):
        return self._send(method, path, json.dumps(body).encode() if body else None, "application/json")

    def upload(self, method, path, data):
        """One file, as a form of a browser has it."""
        head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="module.bin"\r\n\r\n'.encode()
        return self._send(method, path, head + data + f"\r\n--{BOUNDARY}--\r\n".encode(),
                          f"multipart/form-data; boundary={BOUNDARY}")[0]

    def order(self, campaign, word, **fields):
        """One of the orders of a campaign; how many ms it took."""
        path = f"/v1/campaigns/{campaign}"
        rev = self.ask("GET", path)[0]["campaign"]["rev"]
        return self.ask("POST", f"{path}/{word}", {"rev": rev, **fields})[1]
