"""Lambda functions that ask canreach whether a deployment may go on. Python 3.9 and later, nothing to install.

  ecs_hook          an ECS lifecycle hook (blue/green: POST_SCALE_UP, POST_TEST_TRAFFIC_SHIFT). Its answer is
                    {"hookStatus": "SUCCEEDED" | "FAILED" | "IN_PROGRESS", "callBackDelay": seconds}; ECS takes an
                    answer that is none for a failure, and rolls back.
  codedeploy_hook   a hook of CodeDeploy's AppSpec (AfterAllowTestTraffic). It begins the gate; the collector ends the
                    hook itself, with PutLifecycleEventHookExecutionStatus (rollback: codedeploy).

CANREACH_URL says where the collector is (the function has to be in its VPC), CANREACH_SERVICE which service of the
fleet file is deployed, where that is not what ECS calls it; CANREACH_ON_INCONCLUSIVE is fail (default) or pass.
"""

import json
import os
import urllib.error
import urllib.request

CALL_BACK_S = 15  # until ECS asks again; 5 to 3600
TIMEOUT_S = 10


def post_gate(request):
    """The gate of this deployment, as it stands: asking again begins no other one."""
    call = urllib.request.Request(os.environ["CANREACH_URL"] + "/api/v1/gates", json.dumps(request).encode(),
                                  {"Content-Type": "application/json"})
    with urllib.request.urlopen(call, timeout=TIMEOUT_S) as answer:
        return json.load(answer)["gate"]


def in_progress():
    return {"hookStatus": "IN_PROGRESS", "callBackDelay": CALL_BACK_S}


def ecs_hook(event, _context):
    details = event["executionDetails"]
    arn = details.get("serviceDeploymentArn") or event["executionId"]
    service = os.environ.get("CANREACH_SERVICE") or details["serviceArn"].rsplit("/", 1)[-1]
    stage = event.get("lifecycleStage", "")
    try:
        # One gate a stage: the name tells them apart.
        gate = post_gate({"service": service, "deployment": f"{stage}/{arn}"})
    except urllib.error.HTTPError as error:
        print(json.dumps({"canreach": error.code, "detail": error.read().decode()[:500]}))
        if error.code in (409, 503):  # another gate is open; the collector starts: it may be asked again
            return in_progress()
        return {"hookStatus": "FAILED"}
    except OSError as error:  # not reachable now: ECS's own time-out of the hook ends this
        print(json.dumps({"canreach": "unreachable", "detail": str(error)}))
        return in_progress()
    print(json.dumps({"gate": gate["id"], "state": gate["state"], "verdict": gate["verdict"], "summary": gate["summary"]}))
    if gate["verdict"] is None or gate["state"] != "done":
        return in_progress()
    passes = gate["verdict"] == "pass" or (
        gate["verdict"] == "inconclusive" and os.environ.get("CANREACH_ON_INCONCLUSIVE", "fail") == "pass")
    return {"hookStatus": "SUCCEEDED" if passes else "FAILED"}


def codedeploy_hook(event, _context):
    return post_gate({"service": os.environ["CANREACH_SERVICE"], "deployment": event["DeploymentId"],
                      "execution": event["LifecycleEventHookExecutionId"], "rollback": "codedeploy",
                      "on_inconclusive": os.environ.get("CANREACH_ON_INCONCLUSIVE", "fail")})
