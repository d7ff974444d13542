"""Names to certificates: of an authority, a server and its clients, to rehearse with.

The authority's private key lies beside the server's here. In a real federation it is
made and kept on another machine.
"""

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
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from deployment.private import write_private

AUTHORITY_DAYS = 3650
MEMBER_DAYS = 397
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

    The authority is for a rehearsal only.

    Parameters
    ----------
    folder : Path
        Where to write them. The authority's private key stays there too, as
        ``ca.key``; who has it can pretend to be the server, or one of its clients.
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


def write_client(folder: Path, name: str) -> tuple[Path, Path]:
    """Write a client's certificate and key, signed by the authority in the folder.

    Parameters
    ----------
    folder : Path
        Where the authority is, with its private key; the files are written there.
    name : str
        Whom the certificate is for: ``hospital-1``.

    Returns
    -------
    tuple[Path, Path]
        The certificate and the private key.
    """
    certificate, private = folder / f"{name}.pem", folder / f"{name}.tls.key"
    if certificate.exists():
        return certificate, private
    authority = x509.load_pem_x509_certificate((folder / "ca.crt").read_bytes())
    authority_key = load_pem_private_key((folder / "ca.key").read_bytes(), None)
    if not isinstance(authority_key, ec.EllipticCurvePrivateKey):
        raise TypeError(f"{folder / 'ca.key'} is no key on an elliptic curve")
    key = ec.generate_private_key(ec.SECP384R1())
    signed = make_client(key.public_key(), name, authority, authority_key)
    write_private(private, _encode(key))
    certificate.write_bytes(signed.public_bytes(Encoding.PEM))
    return certificate, private


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
    names = x509.SubjectAlternativeName([_alternative_name(host) for host in hosts])
    return (
        _member(key, hosts[0], ExtendedKeyUsageOID.SERVER_AUTH, authority)
        .add_extension(names, critical=False)
        .sign(authority_key, SHA256())
    )


def make_client(
    key: ec.EllipticCurvePublicKey,
    name: str,
    authority: x509.Certificate,
    authority_key: ec.EllipticCurvePrivateKey,
) -> x509.Certificate:
    """Make a client's certificate, which is of no use to a server."""
    draft = _member(key, name, ExtendedKeyUsageOID.CLIENT_AUTH, authority)
    return draft.sign(authority_key, SHA256())


def _member(
    key: ec.EllipticCurvePublicKey,
    name: str,
    purpose: x509.ObjectIdentifier,
    authority: x509.Certificate,
) -> x509.CertificateBuilder:
    signer = authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    identifier = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(
        signer.value
    )
    return (
        _draft(_name(name), authority.subject, key, MEMBER_DAYS)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        .add_extension(identifier, critical=False)
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
