"""Hold an RO-Crate against the Provenance Run Crate profile, by its authors' validator, offline.

    python judge.py FOLDER      a folder with ro-crate-metadata.json

The validator fetches the context of RO-Crate 1.1, which no package brings; `rocrate` brings that of
1.3, which differs in the terms of Bioschemas alone as far as a crate of ours goes.
"""

import json
import sys
from importlib import resources
from types import SimpleNamespace

from rocrate_validator import services
from rocrate_validator.models import Severity
from rocrate_validator.utils.http import HttpRequester

CONTEXT = "https://w3id.org/ro/crate/1.1/context"
WORKFLOW = "https://bioschemas.org/ComputationalWorkflow"
TERMS = {
    "ComputationalWorkflow": WORKFLOW,
    "FormalParameter": "https://bioschemas.org/FormalParameter",
    "input": f"{WORKFLOW}#input",
    "output": f"{WORKFLOW}#output",
}


def get(_requester, url, **_options):
    """Answer as the web would, if it is asked for the context."""
    assert url == CONTEXT, url
    text = resources.files("rocrate").joinpath("data/ro-crate.jsonld").read_text(encoding="utf-8")
    document = json.loads(text)
    document["@context"].update(TERMS)
    content = json.dumps(document)
    return SimpleNamespace(
        status_code=200,
        headers={"Content-Type": "application/ld+json"},
        url=url,
        text=content,
        content=content.encode(),
        json=lambda: document,
    )


HttpRequester.get = get
found = services.validate(
    services.ValidationSettings(
        rocrate_uri=sys.argv[1],
        profile_identifier="provenance-run-crate",
        requirement_severity=Severity.REQUIRED,
        offline=True,
    )
)
for issue in found.get_issues():
    print(f"{issue.check.identifier}: {issue.message} ({issue.violatingEntity})", file=sys.stderr)
print("The crate is valid." if found.passed() else "The crate is not valid.")
sys.exit(not found.passed())
