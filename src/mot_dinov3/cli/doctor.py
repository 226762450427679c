"""`doctor`: checks of the installation, with fixes."""

from __future__ import annotations

import argparse
import dataclasses
import json

DESCRIPTION = (
    "Check every part in a separate process: versions, device, codecs, local models, and tracking "
    "without weights on a generated clip. Nothing is downloaded or sent. Exits with 0 if tracking works."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to `parser`."""
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")


def run(args: argparse.Namespace) -> int:
    """Print the findings as they arrive and return the exit code."""
    from mot_dinov3.apps.doctor.checks import run_checks

    findings = []
    for finding in run_checks():
        findings.append(finding)
        if not args.json:
            print(f"{finding.state:<8} {finding.name:<13} {finding.text}", flush=True)
            if finding.fix:
                print(f"{'':<22} fix: {finding.fix}", flush=True)
    if args.json:
        print(json.dumps([dataclasses.asdict(finding) for finding in findings], indent=2))
    return max(finding.exit_code for finding in findings)
