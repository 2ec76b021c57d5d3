"""A certificate authority for the fleet, and leaf certificates, good and bad (openssl)."""

import os

from . import shell

KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
FAULTS = {
    "expired": "its certificate ended yesterday",
    "future": "its certificate begins tomorrow",
    "name": "its certificate is for another name",
    "untrusted": "its certificate is signed by itself",
}


class Authority:
    def __init__(self, folder):
        self.folder = folder
        self.faults = {}  # service -> what is wrong with its certificate
        self.certificate = self.path("ca.pem")

    def path(self, name):
        return os.path.join(self.folder, name)

    def prepare(self):
        os.makedirs(self.folder, exist_ok=True)
        shell.run([shell.need("openssl", "openssl"), "req", "-x509", *KEY, "-days", "30", "-subj", "/CN=local CA",
                   "-keyout", self.path("ca.key"), "-out", self.certificate])
        # Readable for the servers, which run as nobody; it is worth nothing elsewhere.
        os.chmod(self.path("ca.key"), 0o644)

    def leaf(self, service, names):
        """The certificate and key of a service, as its fault wants it."""
        fault = self.faults.get(service, "")
        certificate, key = (self.path(f"{service}{fault and '-' + fault}.{end}") for end in ("pem", "key"))
        if not os.path.exists(certificate):
            self.make(fault, names, certificate, key)
        return certificate, key

    def make(self, fault, names, certificate, key):
        if fault == "name":
            names = ["other.example"]
        subjects = ",".join(f"DNS:{name},DNS:*.{name}" for name in names)
        config = self.path("leaf.cnf")
        with open(config, "w", encoding="ascii") as file:
            file.write(f"[leaf]\nsubjectAltName={subjects}\nbasicConstraints=critical,CA:FALSE\n"
                       "[ca]\ndefault_ca=local\n"
                       f"[local]\ndatabase={self.path('index')}\nnew_certs_dir={self.folder}\n"
                       "default_md=sha256\npolicy=any\nrand_serial=yes\nunique_subject=no\nx509_extensions=leaf\n"
                       "[any]\ncommonName=supplied\n")
        open(self.path("index"), "a", encoding="ascii").close()
        request = self.path("request")
        openssl = shell.need("openssl", "openssl")
        # Beyond ASCII where the name is wrong anyway: what a server sends is anybody's text.
        subject = "/CN=B\u00fcro" if fault == "name" else f"/CN={names[0]}"
        shell.run([openssl, "req", *KEY, "-utf8", "-subj", subject, "-keyout", key, "-out", request])
        times = {"expired": ("20200101000000Z", "20200201000000Z"),
                 "future": ("20990101000000Z", "20990201000000Z")}.get(fault)
        shell.run([openssl, "ca", "-batch", "-notext", "-config", config, "-in", request, "-out", certificate,
                   *(("-selfsign", "-keyfile", key) if fault == "untrusted"
                     else ("-cert", self.certificate, "-keyfile", self.path("ca.key"))),
                   *(("-startdate", times[0], "-enddate", times[1]) if times else ("-days", "30"))])
        os.chmod(key, 0o644)
