"""Settings to programs: the SuperLink and the SuperNodes, as administrators do it."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

from deployment.certificates import Certificates
from deployment.layout import Layout
from deployment.program import Program


def superlink(layout: Layout, certificates: Certificates, address: str) -> Program:
    """Describe a SuperLink with TLS that lets in registered SuperNodes only."""
    host, port = address.split(":")
    command = ["flower-superlink", "--host", host, "--port", port]
    command += ["--ssl-ca-certfile", str(certificates.authority)]
    command += ["--ssl-certfile", str(certificates.server)]
    command += ["--ssl-keyfile", str(certificates.server_key)]
    command += ["--enable-supernode-auth", "--database", str(layout.database)]
    log = layout.logs / "superlink.log"
    return Program("the SuperLink", command, layout.environment(), log)


def supernode(
    layout: Layout, name: str, *, address: str, key: Path, port: int, node_config: str
) -> Program:
    """Describe the SuperNode of one hospital.

    Parameters
    ----------
    layout : Layout
        Where the authority's certificate is, and where the log goes.
    name : str
        The hospital's name.
    address : str
        Host and port of the SuperLink.
    key : Path
        The hospital's private key.
    port : int
        Where the SuperNode talks to its own ClientApps; each on a machine has its own.
    node_config : str
        What the hospital's ClientApp is told, in TOML: ``partition-id=0``, for example.
    """
    authority = layout.certificates / "ca.crt"
    command = ["flower-supernode", "--superlink", address]
    command += ["--root-certificates", str(authority)]
    command += ["--auth-supernode-private-key", str(key)]
    command += ["--port", str(port), "--node-config", node_config]
    log = layout.logs / f"{name}.log"
    return Program(name, command, layout.environment(), log)


def answers(address: str, authority: Path) -> bool:
    """Whether a server with a certificate of the authority answers at an address."""
    host, port = address.split(":")
    context = ssl.create_default_context(cafile=str(authority))
    try:
        with (
            socket.create_connection((host, int(port)), timeout=5) as plain,
            context.wrap_socket(plain, server_hostname=host),
        ):
            return True
    except OSError:
        return False
