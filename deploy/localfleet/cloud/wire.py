"""How AWS's services put an answer on the wire: JSON 1.1, and three kinds of XML."""

import json
from xml.sax.saxutils import escape

# Where the items of a list are not <item> (EC2) or <member> (query).
ROUTE53_ITEMS = {"HostedZoneSummaries": "HostedZoneSummary", "ResourceRecordSets": "ResourceRecordSet",
                 "ResourceRecords": "ResourceRecord"}


def to_xml(value, item_of, name=""):
    if isinstance(value, dict):
        return "".join(element(key, inner, item_of) for key, inner in value.items() if inner is not None)
    if isinstance(value, list):
        return "".join(element(item_of(name), inner, item_of) for inner in value)
    if isinstance(value, bool):
        return "true" if value else "false"
    return escape(str(value))


def element(name, value, item_of):
    return f"<{name}>{to_xml(value, item_of, name)}</{name}>"


def document(root, namespace, body):
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<{root} xmlns="{namespace}">{body}</{root}>'


class Json:
    content_type = "application/x-amz-json-1.1"

    def answer(self, operation, answer):
        return json.dumps(answer)

    def error(self, code, text):
        return json.dumps({"__type": f"com.amazonaws.service#{code}", "message": text})


class Ec2:
    content_type = "text/xml;charset=UTF-8"
    namespace = "http://ec2.amazonaws.com/doc/2016-11-15/"

    def answer(self, operation, answer):
        body = to_xml({"requestId": "59dbff89-35bd-4eac-99ed-be587EXAMPLE", **answer}, lambda name: "item")
        return document(f"{operation}Response", self.namespace, body)

    def error(self, code, text):
        return ('<?xml version="1.0" encoding="UTF-8"?>\n<Response><Errors><Error>'
                f"<Code>{escape(code)}</Code><Message>{escape(text)}</Message></Error></Errors>"
                "<RequestID>ea966190-f9aa-478e-9ede-example</RequestID></Response>")


class Query:
    content_type = "text/xml"

    def __init__(self, namespace):
        self.namespace = namespace

    def answer(self, operation, answer):
        body = to_xml(answer, lambda name: "member")
        return document(f"{operation}Response", self.namespace,
                        f"<{operation}Result>{body}</{operation}Result><ResponseMetadata>"
                        "<RequestId>f0d6f6f5-aaaa-11e3-EXAMPLE</RequestId></ResponseMetadata>")

    def error(self, code, text):
        return document("ErrorResponse", self.namespace,
                        f"<Error><Type>Sender</Type><Code>{escape(code)}</Code><Message>{escape(text)}</Message>"
                        "</Error><RequestId>f0d6f6f5-EXAMPLE</RequestId>")


class Rest(Query):
    def answer(self, operation, answer):
        return document(f"{operation}Response", self.namespace, to_xml(answer, ROUTE53_ITEMS.__getitem__))


JSON = Json()
PROTOCOLS = {"ecs": JSON, "codedeploy": JSON, "servicediscovery": JSON, "route53resolver": JSON, "cloudtrail": JSON, "logs": JSON, "ec2": Ec2(),
             "elasticloadbalancing": Query("http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/"),
             "sts": Query("https://sts.amazonaws.com/doc/2011-06-15/"),
             "sns": Query("http://sns.amazonaws.com/doc/2010-03-31/"),
             "monitoring": Query("http://monitoring.amazonaws.com/doc/2010-08-01/"),
             "route53": Rest("https://route53.amazonaws.com/doc/2013-04-01/")}
