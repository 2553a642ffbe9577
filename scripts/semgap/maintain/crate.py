"""What was run, for machines: a Provenance Run RO-Crate of a copy of the project.

Usage: crate.py FOLDER writes ro-crate-metadata.json into the copy. Its profile is
https://w3id.org/ro/wfrun/provenance/0.5: the workflow is the Snakefile, each recorded experiment or
sweep is a run of it, and each of its repeats a run of the script that measures.
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
from semgap.maintain.archive import ARCHIVE, REFERENCE, SUFFIX
from semgap.maintain.readme_parts import COMMANDS, sweeps_in
from semgap.maintain.reference_results import BUILD, rebuilt_numbers, rebuilt_points
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
        evidence = self.file(f"{place}/{ARCHIVE}")
        inputs = [self._named_in(name, "CONFIG", "config/default.yaml")]
        inputs.append(self.file(f"{place}/manifest.json"))
        repeats = [self._repeat(f"#{name}", one, inputs, evidence) for one in found.records]
        return self._action(name, inputs, self.file(f"{place}/table.md"), [evidence], repeats)

    def add_sweep(self, name: str, points: Mapping[str, Numbers]) -> Entity:
        """The action that made a recorded sweep, with one for each repeat of each point."""
        place = f"results/reference/{name}"
        inputs = [
            self._named_in(name, "CONFIG", "config/default.yaml"),
            self._named_in(name, "SWEEP", "config/sweeps/links.yaml"),
        ]
        archives = {point: self.file(f"{place}/{point}{SUFFIX}") for point in points}
        repeats = [
            self._repeat(f"#{name}-{point}", one, inputs, archives[point])
            for point, found in points.items()
            for one in found.records
        ]
        scaling = self.file(f"{place}/scaling.md")
        return self._action(name, inputs, scaling, list(archives.values()), repeats)

    def _named_in(self, name: str, variable: str, default: str) -> Entity:
        """The file that a variable of the experiment's command names."""
        said = COMMANDS[name].partition(f"{variable}=")[2].split()
        file = self.file(said[0] if said else default)
        file["exampleOfWork"] = self.workflow["input"]
        return file

    def _action(
        self,
        name: str,
        inputs: list[Entity],
        table: Entity,
        evidence: list[Entity],
        repeats: list[Entity],
    ) -> Entity:
        table["exampleOfWork"] = self.workflow["output"]
        action = self.entity(
            f"#{name}",
            "CreateAction",
            name=COMMANDS[name],
            instrument=self.workflow,
            startTime=min(one["startTime"] for one in repeats),
            endTime=max(one["endTime"] for one in repeats),
            actionStatus=_DONE,
            object=inputs,
            result=[table, *evidence],
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


def crate_of(
    folder: Path, recorded: Mapping[str, Numbers], sweeps: Mapping[str, Mapping[str, Numbers]]
) -> ROCrate:
    """Describe a copy of the project, and what its results/reference/ has.

    Args:
        recorded: experiments by name.
        sweeps: of each sweep the points by name.
    """
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
    actions += [growing.add_sweep(name, points) for name, points in sorted(sweeps.items())]
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
    by_sweep = {folder.name: rebuilt_points(folder) for folder in sweeps_in(REFERENCE)}
    crate_of(copy, experiments, by_sweep).metadata.write(copy)
