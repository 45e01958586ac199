"""Walks at random on two hosts of a real dfdaemon and of a fake, step by step, and compares all that can be seen.

    walk.py SEED STEPS DFDAEMON FAKE_DFDAEMON [WITHOUT…]

WITHOUT names kinds of steps to leave out: `links` (imports through symbolic links), `leaving` (clients that leave),
`hosts` (hosts that die, leave and start again). With `quirks` the fake has none. Ends with 1 when a step differed.
"""

import shutil
import signal
import sys
import tempfile
import time
from concurrent.futures import wait
from pathlib import Path

import files
import races
from daemons import Fake, Real
from steps import Steps
from world import PATIENCE, UNKNOWN, World, both

# Differences that are printed of a step.
SHOWN = 12


class Walk:
    def __init__(self, seed, without, dfdaemon, fake_dfdaemon, directory):
        self.steps = Steps(seed, without)
        directory = Path(directory)
        sides = [Real(dfdaemon, directory / "real"), Fake(fake_dfdaemon, directory / "fake", "quirks" not in without)]
        self.worlds = [World(side) for side in sides]
        self.task_ids, self.outputs = [], []
        self.set_aside, self.standing = {}, {}
        self.differed = 0

    def close(self):
        for world in self.worlds:
            world.close()

    def run(self, steps):
        for number in range(steps):
            step = self.steps.draw()
            started = time.monotonic()
            answers = self.take(step)
            if answers is not None:
                self.compare(number, step, answers)
            if time.monotonic() - started > 20:
                print(f"step {number} took {time.monotonic() - started:.0f} s: {step}", flush=True)
        print(f"{steps} steps, {self.differed} differed, set aside: {self.set_aside or 'none'}")
        return self.differed

    def compare(self, number, step, answers):
        for world in self.worlds:
            world.settle()
        states = both(self.worlds, lambda world: world.state(self.task_ids))
        real, fake = ({"answer": answer} | state for answer, state in zip(answers, states))
        differences = {name: (real.get(name), fake.get(name)) for name in real.keys() | fake.keys()}
        differences = {name: pair for name, pair in differences.items() if pair[0] != pair[1]}
        # One that lasts is printed and counted once.
        new = {name: pair for name, pair in differences.items() if self.standing.get(name) != pair}
        self.standing = differences
        for reason in races.set_aside(new):
            self.set_aside[reason] = self.set_aside.get(reason, 0) + 1
        if new:
            self.differed += 1
            print(f"step {number} differs: {step}")
            for name, pair in sorted(new.items())[:SHOWN]:
                of_real, of_fake = shortened(*pair)
                print(f"  {name}\n    dfdaemon {of_real}\n    fake     {of_fake}", flush=True)

    def take(self, step):
        """Does a step on both sides. `None` if there is nothing to do."""
        if step.kind in ("start", "kill", "shut_down"):
            if self.worlds[0].is_up(step.host) == (step.kind == "start"):
                return None
            return both(self.worlds, lambda world: getattr(world, step.kind)(step.host))
        if step.kind in ("edit_source", "replace_source", "edit_output", "cut", "sleep"):
            return self.edit(step)
        if not self.worlds[0].is_up(step.host):
            return None
        return getattr(self, "import_" if step.kind == "import" else step.kind)(step)

    def edit(self, step):
        fields = step.fields
        if step.kind == "sleep":
            time.sleep(1.1)
        elif "source" in fields:
            name = f"sources/source-{fields['source']}"
            change = files.edit if step.kind == "edit_source" else files.replace
            both(self.worlds, lambda world: change(world.side.dir / name, fields["by"]))
        elif not self.outputs:
            return None
        else:
            name = self.outputs[fields["output"] % len(self.outputs)]
            change, value = (files.cut, fields["to"]) if step.kind == "cut" else (files.edit, fields["by"])
            both(self.worlds, lambda world: change(world.side.dir / name, value))
        return "done", "done"

    def task_id(self, task):
        kind, at = task
        if kind in UNKNOWN:
            return UNKNOWN[kind]
        return self.task_ids[at % len(self.task_ids)] if self.task_ids else UNKNOWN["unknown"]

    def local_id(self, task):
        """An id for what is asked of a host alone. One of less than three bytes breaks a real one, and one of
        less than 64 does if it was built with Debian's RocksDB."""
        task_id = self.task_id(task)
        return task_id if len(task_id) == 64 else UNKNOWN["unknown"]

    def import_(self, step):
        fields = step.fields
        number = fields["source"]
        name = {"directory": "directory", "missing": "missing", "dangling": "dangling"}.get(
            fields["path"], f"{fields['path']}-{number}"
        )
        return self.imported(step.host, f"sources/{name}", fields)

    def fill(self, step):
        return self.imported(step.host, "sources/huge", step.fields)

    def imported(self, host, path, fields):
        request = {"path": path, "persistent_replica_count": fields["replicas"]}
        if fields["name"] is not None:
            request["content_for_calculating_task_id"] = fields["name"]
        if fields["ttl"] is not None:
            seconds, nanos = fields["ttl"]
            request["ttl"] = {"seconds": seconds, "nanos": nanos}
        for name in ("piece_length", "tag", "application"):
            if fields.get(name) is not None:
                request[name] = fields[name]
        answers = both(self.worlds, lambda world: world.import_(host, request))
        for answer in answers:
            if isinstance(answer, dict) and answer["id"] not in self.task_ids:
                self.task_ids.append(answer["id"])
        return answers

    def stat(self, step):
        task_id = self.task_id(step.fields["task"])
        return both(self.worlds, lambda world: world.stat(step.host, task_id, step.fields["by_peer"]))

    def stat_local(self, step):
        task_id = self.local_id(step.fields["task"])
        return both(self.worlds, lambda world: world.stat_local(step.host, task_id))

    def update(self, step):
        task_id = self.local_id(step.fields["task"])
        return both(self.worlds, lambda world: world.update(step.host, task_id, step.fields["persistent"]))

    def delete(self, step):
        task_id = self.local_id(step.fields["task"])
        return both(self.worlds, lambda world: world.delete(step.host, task_id))

    def export(self, step):
        fields = step.fields
        task_id = self.task_id(fields["task"])
        request = {"task_id": task_id, "persistent": fields["persistent"]}
        request |= {"need_piece_content": fields["with_content"], "overwrite": fields["overwrite"]}
        output = self.output(*fields["output"])
        if output:
            request |= {"output_path": output, "force_hard_link": fields["force_hard_link"]}
        if fields["digest"]:
            request["digest"] = self.worlds[0].digest(fields["digest"], task_id, step.host)
        begin = lambda world: world.begin_export(step.host, request, fields["by_peer"])
        return self.ended(step.host, task_id, both(self.worlds, begin))

    def leave(self, step):
        fields = step.fields
        task_id = self.task_id(fields["task"])
        if self.worlds[0].fetches_long(step.host, task_id):
            return None
        request = {"task_id": task_id, "need_piece_content": fields["with_content"]}
        begin = lambda world: world.begin_leaving(step.host, request, fields["by_peer"])
        answers = self.ended(step.host, task_id, both(self.worlds, begin))
        both(self.worlds, lambda world: world.at_rest())
        return answers

    def ended(self, host, task_id, begun):
        """How calls end. One that waits for a parent gets it by an export or a deletion there."""
        streams, exports = zip(*begun)
        wait(exports, PATIENCE)
        if any(export.done() for export in exports) or any(world.comes.is_set() for world in self.worlds):
            wait(exports, 10 * PATIENCE)
        other = 1 - host
        waited = [not export.done() for export in exports]
        if all(waited) and self.worlds[0].is_up(other):
            cure = {"task_id": task_id}
            both(self.worlds, lambda world: self.cured(world, other, cure))
            wait(exports, PATIENCE)
        if not all(export.done() for export in exports) and self.worlds[0].is_up(other):
            both(self.worlds, lambda world: world.delete(other, task_id))
            wait(exports, 5 * PATIENCE)
        for stream in streams:
            # What has ended is not changed by it.
            stream.cancel()
        return [(waits, export.result()) for waits, export in zip(waited, exports)]

    @staticmethod
    def cured(world, host, request):
        stream, export = world.begin_export(host, request, False)
        wait([export], PATIENCE)
        stream.cancel()

    def output(self, kind, at):
        """Where an output goes, below the directory of a side."""
        new = f"outputs/output-{len(self.outputs)}"
        if kind == "none":
            return None
        if kind == "no parent":
            return "no-parent/output"
        if kind == "earlier":
            return self.outputs[at % len(self.outputs)] if self.outputs else None
        self.outputs.append(new)
        for world in self.worlds:
            path = world.side.dir / new
            if kind == "directory":
                path.mkdir()
            elif kind != "new":
                path.symlink_to(f"target-{len(self.outputs)}")
            if kind == "link to file":
                path.resolve().write_text("other")
        return new


def shortened(real, fake):
    """Of two records only what differs."""
    if not (isinstance(real, dict) and isinstance(fake, dict)):
        return real, fake
    names = [name for name in real.keys() | fake.keys() if real.get(name) != fake.get(name)]
    return tuple({name: of.get(name) for name in names} for of in (real, fake))


def main(seed, steps, dfdaemon, fake_dfdaemon, *without):
    directory = tempfile.mkdtemp(prefix="beside-")
    print(f"seed {seed}, {steps} steps, in {directory}", flush=True)
    # As by Ctrl-C: the daemons are ended too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    walk = Walk(int(seed), without, dfdaemon, fake_dfdaemon, directory)
    try:
        differed = walk.run(int(steps))
    finally:
        walk.close()
    if differed == 0:
        shutil.rmtree(directory)
    return 1 if differed else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
