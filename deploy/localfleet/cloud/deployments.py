"""Deployments of a local fleet's services: what ECS and CodeDeploy do when they are told to.

A rolling update takes the tasks of a service one by one: its records go, its agent and its server
end and start again as the new revision, its records come back. A task definition's environment says
what the app of that revision does: PORT (it listens there), STATUS (of its health path), ISOLATED
(nothing gets in or out). In cloud.json, beside the fleet's state: "pause": {SERVICE: HOOK} waits at a
PAUSE hook, "canary": {SERVICE: HOOK} does so once the first task is replaced, "breaker": [SERVICE] rolls back by itself
after the first task, "codedeploy": {SERVICE: ID} makes it a deployment of CodeDeploy's, "slow": {SERVICE: SECONDS} between two tasks, "bake": {SERVICE: SECONDS} after the last.
"""

import json
import os
import threading
import time

from .. import network
from ..model import LocalError
from .estate import CLUSTER, arn, short_id
from .sigv4 import Refused

OPERATIONS = {("ecs", "RegisterTaskDefinition"), ("ecs", "UpdateService"), ("ecs", "StopServiceDeployment"),
              ("ecs", "ContinueServiceDeployment"), ("codedeploy", "PutLifecycleEventHookExecutionStatus"),
              ("codedeploy", "StopDeployment")}
OVER = ("SUCCESSFUL", "STOPPED", "ROLLBACK_SUCCESSFUL", "ROLLBACK_FAILED")
AGENT_SECONDS = 20


class Deployment:
    def __init__(self, service, revision, former, number, codedeploy):
        self.service, self.revision, self.former = service, revision, former
        self.arn = arn("ecs", f"service-deployment/{CLUSTER}/{service}/{short_id(service, str(number))[:21]}")
        self.codedeploy = codedeploy
        self.status, self.stage, self.reason, self.hook = "IN_PROGRESS", "SCALE_UP", "", None
        self.created, self.finished = time.time(), None
        self.order = None  # "CONTINUE" or "ROLLBACK", once somebody says so

    @property
    def is_over(self):
        return self.status in OVER

    def document(self):
        """As DescribeServiceDeployments has it."""
        hooks = [{"hookId": self.hook, "targetType": "PAUSE", "status": "AWAITING_ACTION",
                  "timeoutAction": "ROLLBACK"}] if self.hook else []
        return {"serviceDeploymentArn": self.arn, "serviceArn": arn("ecs", f"service/{CLUSTER}/{self.service}"),
                "clusterArn": arn("ecs", f"cluster/{CLUSTER}"), "createdAt": self.created, "startedAt": self.created,
                "updatedAt": self.finished or time.time(), "status": self.status, "statusReason": self.reason,
                "lifecycleStage": self.stage, "lifecycleHookDetails": hooks,
                **({"finishedAt": self.finished} if self.finished else {})}

    def codedeploy_document(self):
        status = {"SUCCESSFUL": "Succeeded", "IN_PROGRESS": "InProgress"}.get(self.status, "Stopped")
        info = {"deploymentId": self.codedeploy, "status": status, "createTime": self.created,
                "deploymentStyle": {"deploymentType": "BLUE_GREEN"}}
        if status == "Stopped":
            info["rollbackInfo"] = {"rollbackDeploymentId": self.codedeploy + "R"}
        return info

    def rollback_document(self):
        return {"deploymentId": self.codedeploy + "R", "createTime": self.created,
                "status": "Succeeded" if self.status == "ROLLBACK_SUCCESSFUL" else "InProgress"}


class Deployments:
    def __init__(self, lab):
        self.lab = lab
        self.definitions = {}  # "web:2" -> {name: value} of its environment
        self.last = {name: 1 for name in lab.fleet.services}  # the highest revision
        self.current = dict(self.last)  # that the service is to run
        self.history = []  # oldest first
        self.isolated = {}  # task -> number of its rules

    # ---- what the cloud shows ----

    def show(self, estate):
        estate.revisions.update(self.lab.revisions)
        estate.deployments = {name: [one for one in self.history if one.service == name] for name in self.current}
        estate.current = self.current
        estate.registered = self.definitions

    def document(self):
        ones = {one.codedeploy: one.codedeploy_document() for one in self.history if one.codedeploy}
        ones.update({one.codedeploy + "R": one.rollback_document() for one in self.history if one.codedeploy})
        return {"service_deployments": [one.document() for one in self.history], "codedeploy": ones}

    # ---- calls ----

    def call(self, operation, parameters):
        return {"RegisterTaskDefinition": self.register, "UpdateService": self.update,
                "StopServiceDeployment": self.stop, "ContinueServiceDeployment": self.go_on,
                "PutLifecycleEventHookExecutionStatus": self.end_hook,
                "StopDeployment": self.stop_codedeploy}[operation](parameters)

    def register(self, parameters):
        family = parameters["family"]
        if family not in self.last:
            raise Refused("ClientException", f"the local fleet has no service {family}")
        self.last[family] += 1
        name = f"{family}:{self.last[family]}"
        self.definitions[name] = {one["name"]: one["value"] for container in parameters["containerDefinitions"]
                                  for one in container.get("environment", [])}
        return {"taskDefinition": {"taskDefinitionArn": arn("ecs", f"task-definition/{name}"), "family": family,
                                   "revision": self.last[family], "status": "ACTIVE"}}

    def update(self, parameters):
        service = parameters["service"].rsplit("/", 1)[-1]
        if service not in self.current:
            raise Refused("ServiceNotFoundException", "Service not found.")
        if any(not one.is_over for one in self.history if one.service == service):
            raise Refused("InvalidParameterException", "the local fleet deploys one revision at a time")
        wanted = parameters.get("taskDefinition", f"{service}:{self.current[service]}").rsplit("/", 1)[-1]
        revision = int(wanted.rsplit(":", 1)[1]) if ":" in wanted else self.last[service]
        if not 1 <= revision <= self.last[service]:
            raise Refused("ClientException", "TaskDefinition not found.")
        if revision != self.current[service]:
            codedeploy = self.more("codedeploy").get(service)
            one = Deployment(service, revision, self.current[service], len(self.history), codedeploy)
            self.history.append(one)
            self.current[service] = revision
            threading.Thread(target=self.roll, args=(one,), daemon=True).start()
        return {"service": {"serviceName": service, "taskDefinition": arn("ecs", f"task-definition/{service}:{revision}"),
                            "serviceArn": arn("ecs", f"service/{CLUSTER}/{service}"), "status": "ACTIVE"}}

    def find(self, parameters):
        for one in self.history:
            if one.arn == parameters["serviceDeploymentArn"]:
                return one
        raise Refused("ServiceDeploymentNotFoundException", "Service deployment not found.")

    def stop(self, parameters):
        one = self.find(parameters)
        if one.is_over or one.order:
            raise Refused("ConflictException", f"The service deployment is {one.status}.")
        if parameters.get("stopType") != "ROLLBACK":
            raise Refused("InvalidParameterException", "the local fleet knows stopType ROLLBACK only")
        one.order, one.status = "ROLLBACK", "STOP_REQUESTED"
        return {"serviceDeploymentArn": one.arn}

    def go_on(self, parameters):
        one = self.find(parameters)
        if not one.hook or parameters["hookId"] != one.hook:
            raise Refused("ClientException", "The hook does not wait.")
        one.order = parameters.get("action", "CONTINUE")
        return {"serviceDeploymentArn": one.arn}

    def find_codedeploy(self, parameters):
        for one in self.history:
            if one.codedeploy == parameters["deploymentId"]:
                return one
        raise Refused("DeploymentDoesNotExistException", "No deployment found.")

    def end_hook(self, parameters):
        one = self.find_codedeploy(parameters)
        if one.order or one.is_over:
            raise Refused("LifecycleEventAlreadyCompletedException", "The lifecycle event has completed.")
        one.order = "CONTINUE" if parameters["status"] == "Succeeded" else "ROLLBACK"
        return {"lifecycleEventHookExecutionId": parameters["lifecycleEventHookExecutionId"]}

    def stop_codedeploy(self, parameters):
        one = self.find_codedeploy(parameters)
        if one.is_over:
            raise Refused("DeploymentAlreadyCompletedException", "The deployment has completed.")
        if parameters.get("autoRollbackEnabled") is not True:
            raise Refused("InvalidParameterException", "the local fleet rolls back")
        one.order = "ROLLBACK"
        return {"status": "Pending", "statusMessage": "stopping"}

    # ---- doing it ----

    def more(self, key):
        path = os.path.join(self.lab.state, "cloud.json")
        if not os.path.exists(path):
            return {}
        with open(path, encoding="utf-8") as file:
            return json.load(file).get(key, {})

    def roll(self, one):
        try:
            self.roll_tasks(one)
        except (LocalError, RuntimeError, OSError) as error:
            print(f"deployment of {one.service}: {error}", flush=True)
            one.status, one.reason = "ROLLBACK_FAILED", str(error)
        one.finished = time.time()
        with self.lab.lock:
            self.lab.show_cloud("ecs")

    def roll_tasks(self, one):
        tasks = self.lab.fleet.services[one.service].tasks
        for task in tasks:
            if one.order == "ROLLBACK":
                break
            self.replace(task, one.revision)
            if one.service in self.more("breaker"):
                one.order, one.reason = "ROLLBACK", "tasks failed to start: rolled back by the circuit breaker"
            if one.service in self.more("canary") and task is tasks[0] and not one.order:
                self.wait_at_hook(one, self.more("canary")[one.service])
                one.order = None if one.order == "CONTINUE" else one.order
            time.sleep(self.more("slow").get(one.service, 0))
        one.stage = "POST_SCALE_UP"
        baked = time.monotonic() + self.more("bake").get(one.service, 0)
        while time.monotonic() < baked and not one.order:
            time.sleep(0.02)
        if (one.service in self.more("pause") or one.codedeploy) and not one.order:
            self.wait_at_hook(one, self.more("pause").get(one.service))
        if one.order != "ROLLBACK":
            one.status, one.stage = "SUCCESSFUL", "CLEAN_UP"
            return
        one.status = "ROLLBACK_IN_PROGRESS"
        self.current[one.service] = one.former
        with self.lab.lock:
            self.lab.show_cloud("ecs")
        for task in tasks:
            self.replace(task, one.former)
        one.status = "ROLLBACK_SUCCESSFUL"

    def wait_at_hook(self, one, hook):
        """Until somebody says how it goes on; without a hook of ECS's it is CodeDeploy's that waits."""
        one.hook = hook
        with self.lab.lock:
            self.lab.show_cloud("ecs")
        while not one.order:
            time.sleep(0.02)
        one.hook = None

    def replace(self, task, revision):
        """The task as another revision, unless it is."""
        lab, name = self.lab, f"{task.service}:{revision}"
        if lab.revisions.get(task.name, f"{task.service}:1") == name:
            return
        rows = lab.registry.records(lab.fleet.services[task.service], task.name, task.address)
        environment = self.definitions.get(name, {})
        with lab.lock:
            lab.registry.change([], rows)
            lab.registry.flush(rows)
            before = lab.instance_of(task)
            lab.processes.stop(f"{task.name}/agent")
            lab.stop_servers(task)
            self.set_up(task, environment)
            lab.revisions[task.name] = name
            lab.show_cloud("ecs")  # its filters first
            lab.start_servers(task)
            lab.start_agent(task)
            lab.registry.change(rows, [])
            lab.registry.flush(rows)
            lab.show_cloud("ecs")
        if "ISOLATED" not in environment:
            deadline = time.monotonic() + AGENT_SECONDS
            while lab.instance_of(task) in (None, before):
                if time.monotonic() > deadline:
                    raise LocalError(f"the agent of {task.name} did not come back")
                time.sleep(0.05)

    def set_up(self, task, environment):
        """What the app of that revision does."""
        for places, key in ((self.lab.servers.ports, "PORT"), (self.lab.servers.statuses, "STATUS")):
            places.pop(task.name, None)
            if key in environment:
                places[task.name] = int(environment[key])
        number = self.isolated.pop(task.name, None)
        self.lab.early_rules = [rule for rule in self.lab.early_rules if rule[0] != number]
        if "ISOLATED" in environment:
            number = self.isolated[task.name] = 100000 + len(self.isolated)
            others = [host for host in self.lab.fleet.hosts() if host is not task]
            self.lab.early_rules += [(number, [task], "drop"),
                                     (number, others, f"oifname {network.interfaces([task])} drop")]
