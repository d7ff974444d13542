"""Certificates and keys: who is trusted, for how long, and who may read the secrets."""

import ipaddress
import ssl
import stat
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    load_pem_private_key,
    load_ssh_private_key,
    load_ssh_public_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError
from deployment.certificates import write_certificates, write_client
from deployment.keys import write_key_pair
from deployment.private import write_private

HOSTS = ("localhost", "127.0.0.1")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Lend a folder that certificates were written to."""
    folder = tmp_path_factory.mktemp("certificates")
    write_certificates(folder, HOSTS)
    return folder


@pytest.fixture(scope="module")
def server(folder):
    """Read the server's certificate."""
    return x509.load_pem_x509_certificate((folder / "server.pem").read_bytes())


@pytest.fixture(scope="module")
def authority(folder):
    """Read the authority's certificate."""
    return x509.load_pem_x509_certificate((folder / "ca.crt").read_bytes())


def verify(certificate, authority, name):
    """Verify a server's certificate as a strict client would."""
    store = Store([authority])
    verifier = PolicyBuilder().store(store).build_server_verifier(name)
    verifier.verify(certificate, [])


def test_server_is_named_and_addressed(server):
    """The certificate holds for the host's name and for its address."""
    names = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    addresses = names.get_values_for_type(x509.IPAddress)
    assert addresses == [ipaddress.ip_address("127.0.0.1")]


@pytest.mark.parametrize(
    "name",
    [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))],
    ids=["name", "address"],
)
def test_authority_vouches_for_the_server(server, authority, name):
    """A strict client accepts the certificate under both."""
    verify(server, authority, name)


def test_other_hosts_are_not_vouched_for(server, authority):
    """The certificate is of no use for another name."""
    with pytest.raises(VerificationError):
        verify(server, authority, x509.DNSName("example.org"))


def test_other_authorities_are_not_trusted(server, tmp_path):
    """A certificate of another authority with the same name does not pass."""
    other = write_certificates(tmp_path, HOSTS)
    authority = x509.load_pem_x509_certificate(other.authority.read_bytes())
    with pytest.raises(VerificationError):
        verify(server, authority, x509.DNSName("localhost"))


def test_authority_signs_and_the_server_does_not(server, authority):
    """Only the authority may sign, and only servers."""
    limits = [
        certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
        for certificate in (authority, server)
    ]
    assert [(each.ca, each.path_length) for each in limits] == [
        (True, 0),
        (False, None),
    ]


def test_certificates_are_valid_now_and_not_for_ever(server, authority):
    """The server's holds for about a year, the authority's longer."""
    now = datetime.now(UTC)
    for certificate in (server, authority):
        assert certificate.not_valid_before_utc <= now - timedelta(minutes=59)
    assert timedelta(days=396) < server.not_valid_after_utc - now < timedelta(days=398)
    assert authority.not_valid_after_utc > server.not_valid_after_utc


def test_private_keys_are_for_their_owner_only(folder):
    """Both keys have mode 0600, and fit their certificates."""
    for name, certificate in (("ca.key", "ca.crt"), ("server.key", "server.pem")):
        path = folder / name
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        key = load_pem_private_key(path.read_bytes(), password=None)
        signed = x509.load_pem_x509_certificate((folder / certificate).read_bytes())
        assert key.public_key() == signed.public_key()


def test_client_is_vouched_for_as_a_client_only(folder, authority):
    """A hospital cannot pretend to be the server, and its key is private."""
    certificate, private = write_client(folder, "hospital-1")
    client = x509.load_pem_x509_certificate(certificate.read_bytes())
    builder = PolicyBuilder().store(Store([authority]))
    purposes = client.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(purposes) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    with pytest.raises(VerificationError):
        builder.build_server_verifier(x509.DNSName("hospital-1")).verify(client, [])
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    client.verify_directly_issued_by(authority)


def test_client_certificate_is_kept(folder):
    """Asking again changes nothing."""
    first = write_client(folder, "hospital-2")[0].read_bytes()
    assert write_client(folder, "hospital-2")[0].read_bytes() == first


def test_certificates_are_kept(folder):
    """Asking again in the same folder changes no file."""
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    write_certificates(folder, HOSTS)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_openssl_accepts_the_server(folder):
    """The files load into a TLS context, as a server needs them."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem", folder / "server.key")


def test_key_pair_is_what_flower_asks_for(tmp_path):
    """It is an elliptic curve key in OpenSSH's format, and the halves fit."""
    pair = write_key_pair(tmp_path, "hospital-1")
    private = load_ssh_private_key(pair.private.read_bytes(), password=None)
    public = load_ssh_public_key(pair.public.read_bytes())
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    assert private.curve.name == "secp384r1"
    assert private.public_key() == public
    assert stat.S_IMODE(pair.private.stat().st_mode) == 0o600


def test_key_pair_is_kept_and_each_name_has_its_own(tmp_path):
    """A second call gives the same pair, another name another one."""
    first = write_key_pair(tmp_path, "hospital-1").public.read_bytes()
    assert write_key_pair(tmp_path, "hospital-1").public.read_bytes() == first
    assert write_key_pair(tmp_path, "hospital-2").public.read_bytes() != first


def test_secret_is_never_overwritten(tmp_path):
    """A key that is in use is not replaced by accident."""
    write_private(tmp_path / "key", b"old")
    with pytest.raises(FileExistsError):
        write_private(tmp_path / "key", b"new")
    assert (tmp_path / "key").read_bytes() == b"old"
