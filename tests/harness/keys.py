"""Keys and certificates by the openssl command line."""

import os
import subprocess


def _openssl(*args, **options):
    return subprocess.run(["openssl", *map(str, args)], check=True, capture_output=True, **options).stdout


class Key:
    """A private key in a file. curve: as openssl names it."""

    def __init__(self, folder, name, curve="P-256"):
        self.folder, self.name = folder, name
        self.path = folder / f"{name}.key"
        _openssl("genpkey", "-algorithm", "EC", "-pkeyopt", f"ec_paramgen_curve:{curve}", "-out", self.path)

    @property
    def public_pem(self):
        return _openssl("pkey", "-in", self.path, "-pubout").decode()

    @property
    def public_der(self):
        return _openssl("pkey", "-in", self.path, "-pubout", "-outform", "DER")

    def self_signed(self, common_name, is_ca=False):
        path = self.folder / f"{self.name}.crt"
        _openssl("req", "-new", "-x509", "-key", self.path, "-subj", f"/CN={common_name}", "-days", "30", "-sha256",
                 "-addext", f"basicConstraints=critical,CA:{'TRUE' if is_ca else 'FALSE'}", "-out", path)
        return path

    def signed_by(self, ca, common_name):
        """A certificate of this key under the Key ca, whose self_signed(is_ca=True) exists."""
        request, path = self.folder / f"{self.name}.csr", self.folder / f"{self.name}.crt"
        _openssl("req", "-new", "-key", self.path, "-subj", f"/CN={common_name}", "-out", request)
        _openssl("x509", "-req", "-in", request, "-CA", ca.folder / f"{ca.name}.crt", "-CAkey", ca.path,
                 "-CAcreateserial", "-days", "30", "-sha256", "-out", path)
        return path


def new_device_id():
    return os.urandom(12).hex()
