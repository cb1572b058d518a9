"""The identity of a test cluster: its authority, the certificates that its API server shows, the keys of its service accounts.

And, for what is installed into it, a webhook's certificate.
"""

import ipaddress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

LIFE = timedelta(days=365)
DNS_NAMES = ("localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local")


def write_certificates(folder: Path, addresses: list[str]) -> None:
    """Writes service-accounts.key and service-accounts.pub, ca.crt, and two certificates that it signed, each .crt and .key.

    These are `server`, for these IP addresses, and `kubelet-client`, with which the API server asks a kubelet, e.g. for logs.
    """
    authority, server, client, accounts = (ec.generate_private_key(ec.SECP256R1()) for _ in range(4))
    issuer = _name("test-cluster-ca")
    ca = (
        _builder(issuer, issuer, authority.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(authority.public_key()), critical=False)
        .sign(authority, hashes.SHA256())
    )

    def leaf(subject: x509.Name, key: ec.EllipticCurvePrivateKey, usage: x509.ObjectIdentifier) -> x509.CertificateBuilder:
        return (
            _builder(subject, issuer, key.public_key())
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key()), critical=False)
        )

    names = [x509.DNSName(name) for name in DNS_NAMES] + [x509.IPAddress(ipaddress.ip_address(a)) for a in addresses]
    serving = leaf(_name("kube-apiserver"), server, ExtendedKeyUsageOID.SERVER_AUTH)
    serving = serving.add_extension(x509.SubjectAlternativeName(names), critical=False)
    asking = leaf(_name("kube-apiserver", "system:masters"), client, ExtendedKeyUsageOID.CLIENT_AUTH)

    pem = serialization.Encoding.PEM
    public = accounts.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo)
    (folder / "ca.crt").write_bytes(ca.public_bytes(pem))
    (folder / "server.crt").write_bytes(serving.sign(authority, hashes.SHA256()).public_bytes(pem))
    (folder / "kubelet-client.crt").write_bytes(asking.sign(authority, hashes.SHA256()).public_bytes(pem))
    (folder / "service-accounts.pub").write_bytes(public)
    for name, key in (("server.key", server), ("kubelet-client.key", client), ("service-accounts.key", accounts)):
        private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        (folder / name).touch(mode=0o600)
        (folder / name).write_bytes(private)


def self_signed(dns_name: str) -> tuple[bytes, bytes]:
    """A certificate that is its own authority, as cert-manager's `selfSigned` issuers make it, and its key; both PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name(dns_name)
    certificate = (
        _builder(name, name, key.public_key())
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(dns_name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return certificate.public_bytes(pem), private


def _name(user: str, *groups: str) -> x509.Name:
    """As Kubernetes reads it: a user and the groups that it is in."""
    organizations = [x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, group) for group in groups]
    return x509.Name([*organizations, x509.NameAttribute(x509.NameOID.COMMON_NAME, user)])


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(issuer, subject, key, x509.random_serial_number())
    return builder.not_valid_before(now - timedelta(minutes=5)).not_valid_after(now + LIFE)


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )
