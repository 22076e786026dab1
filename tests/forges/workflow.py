"""Prints a workflow of GitHub or GitLab as JSON, with references and `extends` resolved as the forge does."""

import json
import sys

import yaml


class Loader(yaml.SafeLoader):
    """YAML with GitLab's `!reference`; a key that stands twice is an error."""

    def construct_mapping(self, node, deep=False):
        keys = [self.construct_object(key) for key, _ in node.value]
        if len(set(keys)) != len(keys):
            raise ValueError(f"a key stands twice among {keys}")
        return super().construct_mapping(node, deep)


class Reference(list):
    """A path to what is meant."""


Loader.add_constructor("!reference", lambda loader, node: Reference(loader.construct_sequence(node)))


def resolved(value, whole):
    if isinstance(value, Reference):
        found = whole
        for step in value:
            found = found[step]
        return resolved(found, whole)
    if isinstance(value, dict):
        # YAML 1.1 reads `on` as a truth value; the forges do not.
        return {"on" if key is True else key: resolved(inner, whole) for key, inner in value.items()}
    if isinstance(value, list):
        items = []
        for item in value:
            inner = resolved(item, whole)
            items.extend(inner if isinstance(item, Reference) else [inner])
        return items
    return value


with open(sys.argv[1], encoding="utf-8") as file:
    workflow = yaml.load(file, Loader)
workflow = resolved(workflow, workflow)
for job in workflow.values():
    if isinstance(job, dict) and "extends" in job:
        for key, inner in workflow[job["extends"]].items():
            job.setdefault(key, inner)
json.dump(workflow, sys.stdout)
