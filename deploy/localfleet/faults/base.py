"""What a fault is."""

import os

from ..model import LocalError

HERE = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))  # what is started from here


class Fault:
    kind = ""
    arguments = ""
    summary = ""

    @property
    def is_in_cloud(self):
        """Whether the cloud's APIs show it: then their rules are what filters."""
        return type(self).cloud is not Fault.cloud

    def __init__(self, lab, number, words):
        expected = [word for word in self.arguments.split() if not word.startswith("[")]
        if len(words) < len(expected) or len(words) > len(self.arguments.split()):
            raise LocalError(f"usage: fault {self.kind} {self.arguments}")
        self.lab, self.number, self.words = lab, number, words
        self.prepare()

    def prepare(self):
        """Checks the arguments."""

    def plant(self):
        raise NotImplementedError

    def heal(self):
        raise NotImplementedError

    def cloud(self, estate):
        """What of it the cloud's APIs would show (../cloud/estate.py); the records speak for themselves."""

    def __str__(self):
        return " ".join([self.kind, *self.words])


class Early(Fault):
    """Rules that come before what is established: each the tasks it is for, and the rest of it."""

    def sources(self):
        return self.lab.fleet.find(self.words[0])

    def rule(self):
        raise NotImplementedError

    def rules(self):
        return [(self.sources(), self.rule())]

    def prepare(self):
        self.rules()

    def plant(self):
        self.lab.early_rules += [(self.number, sources, rule) for sources, rule in self.rules() if sources]
        self.lab.apply_filters()

    def heal(self):
        self.lab.early_rules = [rule for rule in self.lab.early_rules if rule[0] != self.number]
        self.lab.apply_filters()
