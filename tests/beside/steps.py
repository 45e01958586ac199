"""The steps of a walk: drawn from a seed, the same for both sides."""

import random
from dataclasses import dataclass, field

from daemons import HOSTS
from files import LENGTHS, LONG

# Texts that ids are made of.
NAMES = ["a", "b", "c"]
MIB = 1 << 20


@dataclass
class Step:
    kind: str
    host: int = 0
    fields: dict = field(default_factory=dict)

    def __str__(self):
        fields = ", ".join(f"{name}={value!r}" for name, value in self.fields.items())
        return f"{self.kind} host-{self.host} {fields}"


class Steps:
    """An endless walk, without the kinds that are left out: `links`, `leaving`, `hosts`."""

    def __init__(self, seed, without=()):
        self.random, self.without = random.Random(seed), set(without)
        self.kinds = {
            "import": 12,
            "fill": 1,
            "export": 18,
            "leave": 3,
            "stat": 2,
            "stat_local": 2,
            "update": 3,
            "delete": 3,
            "edit_source": 2,
            "replace_source": 1,
            "edit_output": 2,
            "cut": 1,
            "sleep": 1,
            "kill": 1,
            "shut_down": 1,
            "start": 4,
        }
        if "leaving" in self.without:
            del self.kinds["leave"]
        if "hosts" in self.without:
            for kind in ("kill", "shut_down", "start"):
                del self.kinds[kind]

    def draw(self):
        kind = self.pick(self.kinds)
        fields = getattr(self, "import_" if kind == "import" else kind, self.other)()
        return Step(kind, self.random.randrange(HOSTS), fields)

    def pick(self, weights):
        names = list(weights)
        return self.random.choices(names, [weights[name] for name in names])[0]

    def maybe(self, chance):
        return self.random.random() < chance

    def source(self):
        # The long one takes its time.
        return self.pick({number: 1 if number == LONG else 3 for number in range(len(LENGTHS))})

    def other(self):
        return {"by": self.random.randrange(1, 250)}

    def task(self):
        kinds = {"known": 27, "unknown": 1, "empty": 1, "out of the store": 1}
        return self.pick(kinds), self.random.randrange(64)

    def import_(self):
        paths = {"source": 10, "absolute": 2, "relative": 2, "above": 1, "dangling": 1, "directory": 1, "missing": 1}
        if "links" in self.without:
            paths = {"source": 10, "directory": 1, "missing": 1}
        ttls = {(0, 0): 1, (300, 0): 1, (299, 900_000_000): 1, (604_800, 0): 1, (604_801, 0): 1, None: 1}
        ttls |= {(-self.random.randrange(1, 9), 0): 1, (self.random.randrange(900, 90_000), 0): 10}
        ttl = self.pick(ttls)
        if ttl and ttl[0] == 300:
            # So that no task expires in a walk.
            ttl = (86_400, 0)
        return {
            "path": self.pick(paths),
            "source": self.source(),
            "name": self.random.choice(NAMES) if self.maybe(0.6) else None,
            "ttl": ttl,
            "replicas": self.pick({0: 1, 1: 5, 2: 4, 1 << 40: 1}),
            "piece_length": self.pick({None: 10, 8 * MIB: 2, 4 * MIB - 1: 1, 4 * MIB: 1}),
            "tag": self.pick({None: 8, "x": 1, "": 1}),
            "application": self.pick({None: 8, "x": 1, "": 1}),
        }

    def fill(self):
        return {"name": self.random.choice(NAMES)} | {"replicas": 1, "ttl": (86_400, 0)}

    def export(self):
        outputs = {"none": 4, "new": 6, "earlier": 5, "directory": 1, "no parent": 1, "dangling": 2, "link to file": 1}
        return {
            "task": self.task(),
            "by_peer": self.maybe(0.2),
            "persistent": self.maybe(0.2),
            "with_content": self.maybe(0.4),
            "output": (self.pick(outputs), self.random.randrange(64)),
            "force_hard_link": self.maybe(0.2),
            "overwrite": self.maybe(0.2),
            "digest": self.pick({None: 12, "sha256": 1, "crc32": 1, "crc32 in hex": 1, "wrong": 1, "malformed": 1}),
        }

    def leave(self):
        return {"task": self.task(), "by_peer": self.maybe(0.5), "with_content": self.maybe(0.8)}

    def stat(self):
        return {"task": self.task(), "by_peer": self.maybe(0.5)}

    def stat_local(self):
        return {"task": self.task()}

    def update(self):
        return {"task": self.task(), "persistent": self.maybe(0.5)}

    def delete(self):
        return {"task": self.task()}

    def edit_source(self):
        return {"source": self.source()} | self.other()

    replace_source = edit_source

    def edit_output(self):
        return {"output": self.random.randrange(64)} | self.other()

    def cut(self):
        return {"output": self.random.randrange(64), "to": self.random.choice([0, 5, 9, 100, 5 * MIB])}
