"""What was run, for machines: a Provenance Run RO-Crate of a copy of the project.

Usage: crate.py FOLDER writes ro-crate-metadata.json into the copy. Its profile is
https://w3id.org/ro/wfrun/provenance/0.5: the workflow is the Snakefile, each recorded experiment is
a run of it, and each of its repeats a run of the script that measures. Sweeps are not described.
"""

import datetime
import sys
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml
from rocrate.model.contextentity import ContextEntity
from rocrate.model.entity import Entity
from rocrate.rocrate import ROCrate

from semgap.analysis.numbers.numbers import Numbers
from semgap.maintain.archive import ARCHIVE, REFERENCE
from semgap.maintain.readme_parts import COMMANDS
from semgap.maintain.reference_results import BUILD, rebuilt_numbers
from semgap.measurement.run_record import RunRecord

_PROFILES = (
    "https://w3id.org/ro/wfrun/process/0.5",
    "https://w3id.org/ro/wfrun/workflow/0.5",
    "https://w3id.org/ro/wfrun/provenance/0.5",
    "https://w3id.org/workflowhub/workflow-ro-crate/1.0",
)
_DONE = "http://schema.org/CompletedActionStatus"


class _Crate:
    """A crate that grows by the experiments that it describes.

    Args:
        folder: the copy, whose files have the paths that they have in the project.
        commit: what it is a copy of.
    """

    def __init__(self, folder: Path, commit: str) -> None:
        self._folder = folder
        self.crate = ROCrate(gen_preview=False, version="1.1")
        self.workflow = self.file(
            "Snakefile", "File", "SoftwareSourceCode", "ComputationalWorkflow", "HowTo"
        )
        self.crate.mainEntity = self.workflow
        self.workflow["version"] = commit
        self.workflow["programmingLanguage"] = self.entity(
            "#language", "ComputerLanguage", name="Snakemake", url="https://snakemake.github.io"
        )
        self.tool = self.file("scripts/benchmark.py", "File", "SoftwareApplication")
        self.tool["softwareVersion"] = commit
        self.step = self.entity("#step", "HowToStep", name="Measure", workExample=self.tool)
        self.workflow["hasPart"], self.workflow["step"] = [self.tool], [self.step]
        self.engine = self.entity(
            "#snakemake",
            "SoftwareApplication",
            name="Snakemake",
            url="https://snakemake.github.io",
            softwareVersion=metadata.version("snakemake"),
        )
        for direction, name in (("input", "configuration"), ("output", "table")):
            self.workflow[direction] = self.entity(
                f"#parameter-{name}", "FormalParameter", name=name, additionalType="File"
            )

    def entity(self, identifier: str, kind: str, **properties: Any) -> Entity:
        entity = self.crate.add(ContextEntity(self.crate, identifier, {"@type": kind}))
        for name, value in properties.items():
            entity[name] = value
        return entity

    def file(self, path: str, *types: str, **properties: Any) -> Entity:
        known = self.crate.get(path)
        properties |= {"name": path} | ({"@type": list(types)} if types else {})
        return known or self.crate.add_file(self._folder / path, path, properties=properties)

    def add_experiment(self, name: str, found: Numbers) -> Entity:
        """The action that made a recorded experiment, with one for each of its repeats."""
        place = f"results/reference/{name}"
        config = COMMANDS[name].partition("CONFIG=")[2].split()[:1] or ["config/default.yaml"]
        asked, table = self.file(config[0]), self.file(f"{place}/table.md")
        asked["exampleOfWork"], table["exampleOfWork"] = (
            self.workflow["input"],
            self.workflow["output"],
        )
        inputs = [asked, self.file(f"{place}/manifest.json")]
        evidence = self.file(f"{place}/{ARCHIVE}")
        repeats = [self._repeat(f"#{name}", one, inputs, evidence) for one in found.records]
        action = self.entity(
            f"#{name}",
            "CreateAction",
            name=COMMANDS[name],
            instrument=self.workflow,
            startTime=min(one["startTime"] for one in repeats),
            endTime=max(one["endTime"] for one in repeats),
            actionStatus=_DONE,
            object=inputs,
            result=[table, evidence],
        )
        steps = [
            self.entity(f"{one.id}-step", "ControlAction", instrument=self.step, object=one)
            for one in repeats
        ]
        self.entity(
            f"#{name}-engine", "OrganizeAction", instrument=self.engine, object=steps, result=action
        )
        return action

    def _repeat(
        self, experiment: str, record: RunRecord, inputs: list[Entity], evidence: Entity
    ) -> Entity:
        action = f"{experiment}-{record.mode}-{record.repeat}"
        return self.entity(
            action,
            "CreateAction",
            name=record.name,
            instrument=self.tool,
            startTime=_time(record.started_unix_ns / 1e9),
            endTime=_time(record.boot_s + record.end_s),
            actionStatus=_DONE,
            object=[
                *inputs,
                *(
                    self.entity(f"{action}-{name}", "PropertyValue", name=name, value=value)
                    for name, value in _what_differs(record)
                ),
            ],
            result=[evidence],
        )


def _what_differs(record: RunRecord) -> Iterator[tuple[str, str]]:
    yield "mode", record.mode
    yield "repeat", str(record.repeat)
    yield "transport", record.transport
    yield "commit", record.provenance.commit


def crate_of(folder: Path, recorded: Mapping[str, Numbers]) -> ROCrate:
    """Describe a copy of the project and the experiments of its results/reference/."""
    cited = yaml.safe_load((folder / "CITATION.cff").read_text(encoding="utf-8"))
    growing = _Crate(folder, (folder / "COMMIT").read_text(encoding="ascii").strip())
    crate = growing.crate
    crate.name, crate.description = cited["title"], cited["abstract"]
    crate.license = cited["license"]
    crate.creator = [
        growing.entity(f"#author-{number}", "Person", name=author["name"])
        for number, author in enumerate(cited["authors"], start=1)
    ]
    crate.root_dataset["conformsTo"] = [
        growing.entity(profile, "CreativeWork", name=profile) for profile in _PROFILES
    ]
    actions = [growing.add_experiment(name, found) for name, found in sorted(recorded.items())]
    crate.root_dataset["mentions"] = actions
    crate.datePublished = max(action["endTime"] for action in actions)
    growing.file("README.md", about=crate.root_dataset, encodingFormat="text/markdown")
    return crate


def _time(unix_s: float) -> str:
    return datetime.datetime.fromtimestamp(unix_s, datetime.UTC).isoformat(timespec="seconds")


if __name__ == "__main__":
    copy = Path(sys.argv[1])
    experiments = {
        file.parent.name: rebuilt_numbers(file.parent, BUILD / file.parent.name)
        for file in sorted(REFERENCE.glob("*/manifest.json"))
    }
    crate_of(copy, experiments).metadata.write(copy)
