#!/usr/bin/env python3
"""Start, serve or stop the server that gives each benchmark job a worker of its own."""

import argparse
from pathlib import Path

from semgap.model.manifest import Manifest
from semgap.pipeline.cli import add_settings, run_script, script_parser
from semgap.plumbing.files import read_record, write_record
from semgap.server.endpoint import ServerEndpoint, ServerJob


def start(arguments: argparse.Namespace) -> None:
    """Describe the endpoint, start its server and wait for a handshake."""
    import json

    from semgap.plumbing.versions import versions
    from semgap.server.lifecycle import ensure_server

    manifest = read_record(arguments.manifest, Manifest)
    endpoint = ServerEndpoint(
        settings=arguments.settings.server,
        worker=arguments.settings.worker,
        secret_file=str(arguments.endpoint.with_name("secret")),
        model_type=json.loads(manifest.model_config)["model_type"],
        model_fingerprint=manifest.fingerprint,
        code=arguments.code,
        versions=versions(),
    )
    write_record(arguments.endpoint, endpoint)
    ensure_server(endpoint, arguments.endpoint)


def serve(arguments: argparse.Namespace) -> None:
    """Be the server, in the foreground."""
    from semgap.model.skeleton import import_model_type
    from semgap.plumbing.versions import versions
    from semgap.server.supervisor import Supervisor

    endpoint = read_record(arguments.endpoint, ServerEndpoint)
    import_model_type(endpoint.model_type)
    Supervisor(endpoint, versions()).run()


def stop(arguments: argparse.Namespace) -> None:
    """Stop the server if it runs."""
    from semgap.server.lifecycle import stop_server

    if arguments.endpoint.exists():
        stop_server(read_record(arguments.endpoint, ServerEndpoint), arguments.endpoint)


def main() -> None:
    """Command line."""
    parser = script_parser(__doc__)
    commands = parser.add_subparsers(required=True)
    for action in (start, serve, stop):
        command = commands.add_parser(action.__name__, help=action.__doc__)
        command.add_argument("--endpoint", required=True, type=Path, help="the endpoint's file")
        command.set_defaults(action=action)
    starting = commands.choices["start"]
    starting.add_argument("--manifest", required=True, type=Path, help="describes the model")
    starting.add_argument("--code", required=True, help="fingerprint of the server's code")
    add_settings(starting, ServerJob)
    run_script(parser, lambda arguments: arguments.action(arguments))


if __name__ == "__main__":
    main()
