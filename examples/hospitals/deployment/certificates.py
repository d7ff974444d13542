"""Host names to certificates: the federation's own authority's and the server's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from deployment.private import write_private

AUTHORITY_DAYS = 3650
SERVER_DAYS = 397
CLOCK_SKEW = timedelta(hours=1)
"""How far behind a hospital's clock may be."""


@dataclass(frozen=True)
class Certificates:
    """The files of the authority and of the server.

    Parameters
    ----------
    authority : Path
        The certificate that everybody gets and trusts.
    server : Path
        The SuperLink's certificate, signed by the authority.
    server_key : Path
        The SuperLink's private key.
    """

    authority: Path
    server: Path
    server_key: Path


def write_certificates(folder: Path, hosts: Sequence[str]) -> Certificates:
    """Write an authority and a server's certificate, or return those in the folder.

    Parameters
    ----------
    folder : Path
        Where to write them. The authority's private key stays there too, as
        ``ca.key``; who has it can pretend to be the server.
    hosts : Sequence[str]
        Names and addresses under which the server is reached.
    """
    written = Certificates(
        folder / "ca.crt", folder / "server.pem", folder / "server.key"
    )
    if written.server.exists():
        return written
    authority_key, server_key = (ec.generate_private_key(ec.SECP384R1()) for _ in "12")
    authority = make_authority(authority_key)
    server = make_server(server_key.public_key(), hosts, authority, authority_key)
    write_private(folder / "ca.key", _encode(authority_key))
    write_private(written.server_key, _encode(server_key))
    written.authority.write_bytes(authority.public_bytes(Encoding.PEM))
    written.server.write_bytes(server.public_bytes(Encoding.PEM))
    return written


def make_authority(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    """Make a certificate that signs itself, and may sign servers but no authorities."""
    name = _name("Certificate authority of the hospitals")
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    return (
        _draft(name, name, key.public_key(), AUTHORITY_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(identifier, critical=False)
        .sign(key, SHA256())
    )


def make_server(
    key: ec.EllipticCurvePublicKey,
    hosts: Sequence[str],
    authority: x509.Certificate,
    authority_key: ec.EllipticCurvePrivateKey,
) -> x509.Certificate:
    """Make a server's certificate for the given host names and addresses."""
    signer = x509.AuthorityKeyIdentifier.from_issuer_public_key(
        authority_key.public_key()
    )
    purpose = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
    names = x509.SubjectAlternativeName([_alternative_name(host) for host in hosts])
    return (
        _draft(_name(hosts[0]), authority.subject, key, SERVER_DAYS)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(purpose, critical=False)
        .add_extension(names, critical=False)
        .add_extension(signer, critical=False)
        .sign(authority_key, SHA256())
    )


def _draft(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, days: int
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return x509.CertificateBuilder(
        issuer,
        subject,
        key,
        x509.random_serial_number(),
        now - CLOCK_SKEW,
        now + timedelta(days=days),
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _alternative_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _encode(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
