"""The stand-in for AWS's APIs and our client, each held against the vendor's own models (botocore)."""

import json
import os
import sys
import unittest

DEBIAN = "/usr/bin/python3"
if sys.executable != DEBIAN:  # Debian's modules are for Debian's Python
    os.execv(DEBIAN, [DEBIAN, "-B", *sys.argv])

import botocore.session
import boto3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.validate import ParamValidator
from datetime import datetime

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, os.path.join(HERE, ".."))

import aws  # noqa: E402
from localfleet.cloud.operations import OPERATIONS  # noqa: E402

BOTO = {"elasticloadbalancing": "elbv2", "monitoring": "cloudwatch"}
CODEDEPLOY = {"deploymentId": "d-A1B2C3D4E", "status": "InProgress", "createTime": 1790000000.5,
              "deploymentStyle": {"deploymentType": "BLUE_GREEN"}, "rollbackInfo": {"rollbackDeploymentId": "d-F5G6H7I8J"}}
# Younger than Debian's botocore (1.29): what they say was held against AWS's API reference by hand.
YOUNGER = {("ecs", "ListServiceDeployments"), ("ecs", "DescribeServiceDeployments")}
FLEET = aws.SHOP + "clusters: [local, batch]\n"


def parameters_of(estate):
    """What each operation is to be asked, so that it has something to say."""
    ecs = estate["ecs"]["clusters"]["local"]
    registry = next(one["Id"] for one in estate["servicediscovery"]["services"] if one["Name"] == "cache")
    return {
        "ListServices": {"cluster": "local"},
        "DescribeServices": {"cluster": "local", "services": [one["serviceArn"] for one in ecs["services"]]},
        "ListTasks": {"cluster": "local"},
        "DescribeTasks": {"cluster": "local", "tasks": [one["taskArn"] for one in ecs["tasks"]]},
        "DescribeTaskDefinition": {"taskDefinition": "web:1"},
        "ListInstances": {"ServiceId": registry}, "GetInstancesHealthStatus": {"ServiceId": registry},
        "DescribeVpcAttribute": {"VpcId": aws.estates.VPC, "Attribute": "enableDnsSupport"},
        "GetManagedPrefixListEntries": {"PrefixListId": "pl-0123456789abcdef0"},
        "DescribeTargetHealth": {"TargetGroupArn": estate["elb"]["groups"][0]["TargetGroupArn"]},
        "ListHostedZonesByVPC": {"VPCId": aws.estates.VPC, "VPCRegion": "eu-west-1"},
        "ListResourceRecordSets": {"HostedZoneId": estate["route53"]["zones"][0]["Id"]},
        "LookupEvents": {"LookupAttributes": [{"AttributeKey": "ResourceName",
                                               "AttributeValue": estate["ec2"]["groups"][0]["groupId"]}]},
        "FilterLogEvents": {"logGroupName": "/vpc/flow", "logStreamNamePrefix": "eni-"},
        "GetLogEvents": {"logGroupName": "/ecs/web", "logStreamName": "ecs/web/0123"},
        "GetDeployment": {"deploymentId": CODEDEPLOY["deploymentId"]},
        "Publish": {"TopicArn": "arn:aws:sns:eu-west-1:123456789012:alerts", "Subject": "canreach", "Message": "all well"},
        "PutMetricData": {"Namespace": "canreach", "MetricData": [{"MetricName": "pairs_failing", "Value": 1.0}]},
        "AssumeRole": {"RoleArn": "arn:aws:iam::123456789012:role/reader", "RoleSessionName": "canreach"},
        "AssumeRoleWithWebIdentity": {"RoleArn": "arn:aws:iam::123456789012:role/reader", "RoleSessionName": "canreach",
                                      "WebIdentityToken": "token"}}


# Operation: (the answer's list for boto3, how many of it the estate has).
COUNTS = {
    "ListServices": ("serviceArns", lambda estate: len(estate["ecs"]["clusters"]["local"]["services"])),
    "DescribeServices": ("services", lambda estate: len(estate["ecs"]["clusters"]["local"]["services"])),
    "ListTasks": ("taskArns", lambda estate: len(estate["ecs"]["clusters"]["local"]["tasks"]) - 1),
    "DescribeTasks": ("tasks", lambda estate: len(estate["ecs"]["clusters"]["local"]["tasks"])),
    "ListNamespaces": ("Namespaces", lambda estate: 2),
    "ListInstances": ("Instances", lambda estate: 3), "GetInstancesHealthStatus": ("Status", lambda estate: 3),
    "DescribeSecurityGroups": ("SecurityGroups", lambda estate: len(estate["ec2"]["groups"])),
    "DescribeSecurityGroupRules": ("SecurityGroupRules", lambda estate: len(estate["ec2"]["rules"])),
    "DescribeNetworkAcls": ("NetworkAcls", lambda estate: 2), "DescribeRouteTables": ("RouteTables", lambda estate: 2),
    "DescribeSubnets": ("Subnets", lambda estate: 2), "DescribeVpcs": ("Vpcs", lambda estate: 1),
    "DescribeDhcpOptions": ("DhcpOptions", lambda estate: 1),
    "DescribeNetworkInterfaces": ("NetworkInterfaces", lambda estate: len(estate["ec2"]["interfaces"])),
    "DescribeManagedPrefixLists": ("PrefixLists", lambda estate: 2),
    "GetManagedPrefixListEntries": ("Entries", lambda estate: 3),
    "DescribeTargetGroups": ("TargetGroups", lambda estate: 2),
    "DescribeTargetHealth": ("TargetHealthDescriptions", lambda estate: 2),
    "ListHostedZonesByVPC": ("HostedZoneSummaries", lambda estate: 1),
    "ListResourceRecordSets": ("ResourceRecordSets", lambda estate: len(estate["route53"]["zones"][0]["records"])),
    "DescribeFlowLogs": ("FlowLogs", lambda estate: 1), "LookupEvents": ("Events", lambda estate: 1),
    "FilterLogEvents": ("events", lambda estate: 1), "GetLogEvents": ("events", lambda estate: 2),
    "ListResolverRules": ("ResolverRules", lambda estate: 1),
    "ListResolverRuleAssociations": ("ResolverRuleAssociations", lambda estate: 1)}


def modelled():
    """The operations that botocore has a model of, each with it."""
    session = botocore.session.get_session()
    for service, operation in OPERATIONS:
        model = session.get_service_model(BOTO.get(service, service))
        if operation in model.operation_names:
            yield service, operation, model
        else:
            assert (service, operation) in YOUNGER, (service, operation)


class Answers(unittest.TestCase):
    """Every answer of the stand-in is parsed by boto3, page by page."""

    @classmethod
    def setUpClass(cls):
        cls.estate = aws.rich()
        cls.estate["keys"]["ASIAROLE"] = {"secret": "role", "token": "a token",
                                          "role": "arn:aws:iam::123456789012:role/reader"}
        cls.estate["ecs"]["codedeploy"] = {CODEDEPLOY["deploymentId"]: CODEDEPLOY}
        cls.aws = aws.Aws(cls.estate, "--page", "2")

    @classmethod
    def tearDownClass(cls):
        cls.aws.close()

    def client(self, service):
        return boto3.client(BOTO.get(service, service), endpoint_url=self.aws.url, region_name="eu-west-1",
                            aws_access_key_id=aws.ACCESS, aws_secret_access_key=aws.SECRET)

    def pages(self, service, operation, parameters):
        """The list of all pages, and each answer."""
        client = self.client(service)
        method = botocore.xform_name(operation)
        if client.can_paginate(method):
            return list(client.get_paginator(method).paginate(**parameters))
        answers, token = [], {}
        while True:
            answers.append(getattr(client, method)(**parameters, **token))
            following = answers[-1].get("NextToken")
            if not following:
                return answers
            token = {"NextToken": following}

    def test_every_operation(self):
        wanted = parameters_of(self.estate)
        for service, operation, _ in modelled():
            with self.subTest(operation=operation):
                name, count = COUNTS.get(operation, (None, None))
                parameters = wanted.get(operation, {})
                if (service, operation) == ("servicediscovery", "ListServices"):
                    name, count, parameters = "Services", lambda estate: len(estate["servicediscovery"]["services"]), {}
                answers = self.pages(service, operation, parameters)
                if name:
                    self.assertEqual(sum(len(answer[name]) for answer in answers), count(self.estate))

    def test_fields_are_the_models(self):
        """A member that the vendor's model does not have would be dropped without a word."""
        for service, operation, model in modelled():
            with self.subTest(operation=operation):
                function, key, _, _ = OPERATIONS[service, operation]
                shape = model.operation_model(operation).output_shape
                answer = function(self.estate, {**parameters_of(self.estate).get(operation, {}),
                                                **{"Id": self.estate["route53"]["zones"][0]["Id"], "vpcid": aws.estates.VPC}})
                if shape:
                    self.check_members(answer, shape, operation)
                else:
                    self.assertEqual(answer, {})

    def check_members(self, value, shape, path):
        if shape.type_name == "structure":
            known = {name: member for name, member in shape.members.items()}
            known.update({member.serialization["name"]: member for member in shape.members.values()
                          if "name" in member.serialization})
            for name, inner in value.items():
                self.assertIn(name, known, path)
                self.check_members(inner, known[name], f"{path}.{name}")
        elif shape.type_name == "list":
            for inner in value:
                self.check_members(inner, shape.member, path + "[]")

    def test_words(self):
        groups = self.client("ec2").describe_security_group_rules()["SecurityGroupRules"]
        odd = next(rule for page in [groups] for rule in self.all_rules() if rule.get("PrefixListId"))
        self.assertEqual(odd["Description"], "ping <from> & \"office\"")
        self.assertEqual((odd["FromPort"], odd["ToPort"], odd["IsEgress"]), (8, -1, False))

    def all_rules(self):
        return [rule for answer in self.pages("ec2", "DescribeSecurityGroupRules", {})
                for rule in answer["SecurityGroupRules"]]

    def test_refuses(self):
        client = boto3.client("ecs", endpoint_url=self.aws.url, region_name="eu-west-1", aws_access_key_id=aws.ACCESS,
                              aws_secret_access_key="wrong")
        with self.assertRaisesRegex(botocore.exceptions.ClientError, "SignatureDoesNotMatch"):
            client.list_services(cluster="local")
        with self.assertRaisesRegex(botocore.exceptions.ClientError, "ClusterNotFoundException"):
            self.client("ecs").list_services(cluster="nowhere")
        for service, call in (("ec2", "describe_vpcs"), ("elasticloadbalancing", "describe_target_groups"),
                              ("servicediscovery", "list_namespaces")):
            self.aws.order({"operation": "*", "do": "deny", "times": 1})
            with self.assertRaisesRegex(botocore.exceptions.ClientError, "not authorized to perform"):
                getattr(self.client(service), call)()


def wire_name(shape, name, member, protocol):
    """How a member is called in a request."""
    if protocol == "ec2":
        text = member.serialization.get("queryName") or member.serialization.get("name") or name
        return text[0].upper() + text[1:]
    return member.serialization.get("name", name)


def to_input(value, shape, protocol):
    """Query parameters, as the members of the model's input."""
    if shape.type_name == "structure":
        names = {wire_name(shape, name, member, protocol): (name, member) for name, member in shape.members.items()}
        unknown = set(value) - set(names)
        assert not unknown, f"not in the model: {unknown}"
        return {names[key][0]: to_input(inner, names[key][1], protocol) for key, inner in value.items()}
    if shape.type_name == "list":
        return [to_input(inner, shape.member, protocol) for inner in value]
    if shape.type_name == "integer":
        return int(value)
    return value


def signature_of(call):
    return call["headers"]["authorization"].rsplit("Signature=", 1)[1]


def botocores(call, credentials):
    """The signature that botocore makes for a request as it came."""
    names = ("host", "content-type", "x-amz-target", "x-amz-date", "x-amz-security-token")
    headers = {name: value for name, value in call["headers"].items() if name in names}
    request = AWSRequest(call["method"], f"http://{call['headers']['host']}{call['path']}", data=call["body"],
                         headers=headers)
    request.context["timestamp"] = headers["x-amz-date"]
    signer = SigV4Auth(credentials, call["operation"].split(":")[0], call["region"])
    return signer.signature(signer.string_to_sign(request, signer.canonical_request(request)), request)


class Requests(unittest.TestCase):
    """Every request of ours is one that botocore's models allow, signed as botocore signs it."""

    @classmethod
    def setUpClass(cls):
        cls.estate = aws.rich()
        cls.aws = aws.Aws(cls.estate, "--page", "3")
        cls.collector = aws.Collector(cls.aws, FLEET)
        cls.run_id, cls.facts = cls.collector.run()
        cls.calls = cls.aws.calls()

    @classmethod
    def tearDownClass(cls):
        cls.collector.close()
        cls.aws.close()

    def test_nothing_is_missing(self):
        self.assertEqual(self.facts["missing"], [])

    def test_parameters_are_the_models(self):
        validator = ParamValidator()
        for call in self.calls:
            service, operation = call["operation"].split(":")
            model = botocore.session.get_session().get_service_model(BOTO.get(service, service))
            shape = model.operation_model(operation).input_shape
            parameters = self.read_parameters(call, model, operation, shape)
            report = validator.validate(parameters, shape)
            self.assertFalse(report.has_errors(), f"{call['operation']} {parameters}: {report.generate_report()}")

    def read_parameters(self, call, model, operation, shape):
        protocol = model.metadata["protocol"]
        if protocol == "json":
            self.assertEqual(call["headers"]["x-amz-target"], f"{model.metadata['targetPrefix']}.{operation}")
            self.assertEqual(call["headers"]["content-type"], "application/x-amz-json-" + model.metadata["jsonVersion"])
            unknown = set(call["parameters"]) - set(shape.members)
            self.assertFalse(unknown, call["operation"])
            return call["parameters"]
        if protocol == "rest-xml":
            names = {member.serialization["name"]: (name, member) for name, member in shape.members.items()}
            self.assertEqual(call["method"], model.operation_model(operation).http["method"])
            return {names[key][0]: value for key, value in call["parameters"].items()}
        return to_input(call["parameters"], shape, protocol)

    def test_signatures_are_botocores(self):
        for call in self.calls:
            self.assertEqual(signature_of(call), botocores(call, Credentials(aws.ACCESS, aws.SECRET)), call["operation"])

    def test_session_token_and_a_clock_that_is_off(self):
        """A token is signed, too; and a request is signed for the time that it is over there."""
        self.estate["keys"]["ASIASESSION"] = {"secret": "s3cr3t/+", "token": "token/with+all==of%it"}
        self.aws.put(self.estate)
        self.aws.order({"operation": "*", "do": "skew", "seconds": -7200})
        result = self.aws.import_fleet(env={"AWS_ACCESS_KEY_ID": "ASIASESSION", "AWS_SECRET_ACCESS_KEY": "s3cr3t/+",
                                            "AWS_SESSION_TOKEN": "token/with+all==of%it"})
        self.assertEqual(result.returncode, 0, result.stderr)
        calls = [call for call in self.aws.calls() if not call["operation"].endswith(":refused")]
        self.assertGreater(len(calls), 5)
        for call in calls:
            self.assertIn("x-amz-security-token", call["headers"]["authorization"])
            self.assertEqual(signature_of(call), botocores(call, Credentials("ASIASESSION", "s3cr3t/+", "token/with+all==of%it")))
            signed = datetime.strptime(call["headers"]["x-amz-date"], "%Y%m%dT%H%M%SZ")
            self.assertLess(abs((datetime.utcnow() - signed).total_seconds() - 7200), 60)

    def test_regions(self):
        for call in self.calls:
            self.assertEqual(call["region"], "us-east-1" if call["operation"].startswith("route53:") else "eu-west-1")

    def test_least_privilege(self):
        """The policy in deploy/ allows what is called, and nothing else."""
        with open(os.path.join(aws.ROOT, "deploy", "aws", "collector-policy.json"), encoding="utf-8") as file:
            policy = json.load(file)
        allowed = {action for statement in policy["Statement"] for action in statement["Action"]}
        self.assertEqual({statement["Effect"] for statement in policy["Statement"]}, {"Allow"})
        # What is asked for a run that fails, and that alone: test_past.py sees these.
        past = {"cloudtrail:LookupEvents", "ec2:DescribeFlowLogs", "logs:FilterLogEvents", "logs:GetLogEvents"}
        self.assertEqual({call["operation"] for call in self.calls} | past, allowed)
        self.assertFalse({call["operation"] for call in self.calls} & past)
        self.assertFalse([action for action in allowed
                          if not action.split(":")[1].startswith(("List", "Describe", "Get", "Lookup", "Filter"))])

    def test_what_was_read(self):
        """Each field that only a rich estate has, where the reader put it."""
        facts = self.facts
        by = {part: {one.get("name") or one.get("id"): one for one in facts[part]}
              for part in ("services", "groups", "target_groups", "prefix_lists", "resolver_rules", "registries")}
        self.assertEqual(by["services"]["quotes"]["connect"],
                         [{"port_name": "http", "discovery_name": "quotes", "aliases": [{"name": "quotes", "port": 80}]},
                          {"port_name": "admin", "aliases": [{"port": 9001}]}])
        self.assertEqual([target["state"] for target in by["target_groups"]["web"]["targets"]], ["healthy", "unhealthy"])
        self.assertEqual(set(by["target_groups"]), {"web"})
        self.assertEqual(by["prefix_lists"]["offices"]["blocks"], ["192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24"])
        self.assertNotIn("blocks", by["prefix_lists"]["com.amazonaws.eu-west-1.s3"])
        self.assertEqual(by["resolver_rules"]["corp"]["vpcs"], [aws.estates.VPC])
        self.assertEqual(by["resolver_rules"]["corp"]["targets"], ["10.1.1.1", "10.1.1.2"])
        self.assertEqual({one["id"]: one["health"] for one in by["registries"]["cache"]["instances"]}["0" * 32], "UNHEALTHY")
        self.assertNotIn("instances", by["registries"]["web"])  # its records are its tasks': nobody asks
        stopped = next(task for task in facts["tasks"] if task["status"] == "STOPPED")
        self.assertEqual(stopped["containers"][0]["exit_code"], 137)
        self.assertEqual(sum(len(group["rules"]) for group in facts["groups"]), len(self.estate["ec2"]["rules"]))
        self.assertEqual(len(facts["zones"][0]["records"]), len(self.estate["route53"]["zones"][0]["records"]))


if __name__ == "__main__":
    unittest.main(verbosity=2, warnings="ignore")  # boto3 leaves its connections to the collector of garbage
