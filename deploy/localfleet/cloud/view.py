"""What the cloud says of a running fleet: its records, the planted faults and the calls that were made, in one
estate; written where the stand-in reads it, and with a trail of who changed what."""

import json
import os
import time

from ..model import CLOUD
from . import trail
from .changes import CHANGES
from .estate import Estate, KEYS, REGION
from .sigv4 import Refused


class View:
    def __init__(self, fleet, registry, state, deployments):
        self.deployments = deployments
        self.fleet, self.registry, self.state = fleet, registry, state
        self.started = time.time()
        self.path = os.path.join(state, "estate.json")
        self.document = None  # as it was written last
        self.calls = []  # (service, operation, parameters) that changed something
        self.trail = []

    @property
    def address(self):
        return self.fleet.infra[CLOUD].address

    def settings(self):
        """The environment that AWS's tools, and the collector, find the stand-in by."""
        access, key = next(iter(KEYS.items()))
        return [f"AWS_ENDPOINT_URL=http://{self.address}", f"AWS_REGION={REGION}", f"AWS_ACCESS_KEY_ID={access}",
                f"AWS_SECRET_ACCESS_KEY={key['secret']}"]

    def write(self, planted, by=trail.PLANTER):
        """As the records, these faults and the calls have it now."""
        estate = Estate(self.fleet, self.started)
        for fault in planted:
            fault.cloud(estate)
        self.deployments.show(estate)
        document = estate.document(self.registry.rows())
        document["ecs"].update(self.deployments.document())
        for service, operation, parameters in self.calls:
            try:
                CHANGES[service, operation](document, parameters)
            except Refused:  # what it spoke of has been healed, or removed
                pass
        self.note(document, by)
        document["trail"] = self.trail
        self.add_what_else(document)
        with open(self.path + ".new", "w", encoding="utf-8") as file:
            json.dump(document, file)
        os.rename(self.path + ".new", self.path)
        self.document = document

    def note(self, document, by):
        """Who made the former into this."""
        for operation, source, resource, parameters in trail.differences(self.document or document, document):
            self.trail.append(trail.event(len(self.trail) + 1, operation, source, by, int(time.time()), resource, parameters))

    def add_what_else(self, document):
        """What the file cloud.json in the state folder has beside it: flow logs, logs."""
        path = os.path.join(self.state, "cloud.json")
        if os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                more = json.load(file)
            document["logs"].update(more.get("logs", {}))
            document["ec2"].update(more.get("ec2", {}))
            document["denied"] += more.get("denied", [])

    def call(self, service, operation, parameters):
        """A call that changes something: tried on a copy, and kept for the next write(); its answer."""
        answer = CHANGES[service, operation](json.loads(json.dumps(self.document)), parameters)
        if operation == "DeregisterInstance":
            self.deregister(parameters)
        else:
            self.calls.append((service, operation, parameters))
        return answer

    def deregister(self, parameters):
        """The records of a registry's instance."""
        estate, rows = Estate(self.fleet), self.registry.rows()
        gone = [row for service in self.fleet.services.values() for name in service.names
                if estate.registry_id(name) == parameters["ServiceId"]
                for row in estate.rows_of(name, parameters["InstanceId"], rows)]
        self.registry.change([], gone)
        self.registry.flush(gone)
