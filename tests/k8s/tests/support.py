"""Helpers that break manifests and look for the reported problem."""

import copy
import unittest

import documented
import k8s_check

PAGE = documented.PAGE.read_text()
SECRETS = documented.secrets(PAGE)
INSTALLATIONS = k8s_check.load()


class Case(unittest.TestCase):
    def assert_finds(self, found, complaint):
        found = list(found)
        self.assertTrue(any(complaint in problem for problem in found), f"nobody says `{complaint}`: {found}")

    def broken(self, name, breaks, secrets=SECRETS):
        """The problems of a folder, after `breaks` has changed its objects."""
        changed = copy.deepcopy(INSTALLATIONS[name])
        breaks(changed)
        return list(k8s_check.of_one(name, {**INSTALLATIONS, name: changed}, secrets))

    def assert_breaks(self, name, complaint, breaks, secrets=SECRETS):
        self.assert_finds(self.broken(name, breaks, secrets), complaint)


def spec(one, kind, name):
    return one.one(kind, name)["spec"]


def pod(one, kind="Deployment", name="doorward"):
    return spec(one, kind, name)["template"]["spec"]


def box(one, kind="Deployment", name="doorward", at=0):
    return pod(one, kind, name)["containers"][at]


def secrets_of(one):
    """The projected volume of the gateways."""
    return next(volume for volume in pod(one)["volumes"] if volume["name"] == "secrets")["projected"]


def settings(one, old, new):
    held = one.one("ConfigMap", "doorward-config")["data"]
    assert old in held["gateway.toml"], old
    held["gateway.toml"] = held["gateway.toml"].replace(old, new)


def policy(one, name):
    return spec(one, "NetworkPolicy", name)
