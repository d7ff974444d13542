"""Configuration to nginx: the proxies of ``services``, started on this machine."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from deployment.layout import Layout
from deployment.program import Program

SERVICES = Path(__file__).resolve().parents[1] / "services"
"""The files that an administrator copies."""

MAIN = """\
{user}
worker_processes 1;
pid nginx.pid;
error_log stderr;
events {{ worker_connections 768; }}
http {{
    log_format requests '$msec $remote_addr $uri $status $request_length';
    access_log access.log requests;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    include site.conf;
}}
"""
"""What Debian's ``nginx.conf`` has around a site, with all files in one folder."""


def server_site(text: str, certificates: Path, *, listen: str, superlink: str) -> str:
    """Adapt the configuration of the proxy before the SuperLink.

    Parameters
    ----------
    text : str
        The configuration, as it stands in ``services/federation.conf``.
    certificates : Path
        The folder with the authority's certificate and the server's.
    listen, superlink : str
        Host and port of the proxy and of the SuperLink.
    """
    changes = {
        "listen 443": f"listen {listen}",
        "server.example.org": "localhost",
        "127.0.0.1:18443": superlink,
        "/etc/federation": str(certificates),
    }
    return adapt(text, changes)


def hospital_site(
    text: str, certificates: Path, name: str, *, listen: str, server: str
) -> str:
    """Adapt the configuration of the proxy beside a hospital's SuperNode.

    Parameters
    ----------
    text : str
        The configuration, as it stands in ``services/hospital.conf``.
    certificates : Path
        The folder with all certificates; the server's serves the hospital too, as both
        are called ``localhost``.
    name : str
        Whose certificate is shown.
    listen, server : str
        Host and port of this proxy and of the server's.
    """
    changes = {
        "127.0.0.1:18444": listen,
        "server.example.org:443": server,
        "server.example.org": "localhost",
        "local.pem": "server.pem",
        "local.key": "server.key",
        "hospital-1": name,
        "/etc/federation": str(certificates),
    }
    return adapt(text, changes)


def adapt(text: str, changes: Mapping[str, str]) -> str:
    """Replace each key by its value, in order.

    Raises
    ------
    ValueError
        If a key is not there: the configuration has become another one.
    """
    for old, new in changes.items():
        if old not in text:
            raise ValueError(f"the configuration has no {old!r}")
        text = text.replace(old, new)
    return text


def nginx(layout: Layout, name: str, site: str) -> Program:
    """Write a site and describe the nginx that serves it.

    Parameters
    ----------
    layout : Layout
        Where its folder goes, with its logs. A proxy is no part of the federation.
    name : str
        What both are called.
    site : str
        What stands in ``/etc/nginx/conf.d`` otherwise.

    Raises
    ------
    FileNotFoundError
        If nginx is not installed.
    """
    binary = find_nginx()
    if binary is None:
        raise FileNotFoundError("nginx is not installed: apt install nginx")
    folder = layout.folder / name
    folder.mkdir(exist_ok=True)
    user = "user root;" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(MAIN.format(user=user))
    (folder / "site.conf").write_text(site)
    command = [binary, "-p", str(folder), "-c", "nginx.conf", "-g", "daemon off;"]
    return Program(name, command, layout.environment(), folder / "nginx.log")


def find_nginx() -> str | None:
    """Find nginx, which Debian puts where only administrators look."""
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
