"""The files of a side: what a walk makes before its first step, edits, and a picture of all names and their inodes."""

import os
import stat
import zlib

# What the sources hold, in bytes. The last one is holes, and longer than what a 1.5 reads ahead of its client.
LENGTHS = [0, 9, (4 << 20) + 5, 40 * (4 << 20) + 1]
LONG = len(LENGTHS) - 1
# Longer than any disk.
HUGE = 1 << 43


def make(side):
    """The sources, and links to each: absolute, in its directory, and by way of the directory above."""
    sources = side.dir / "sources"
    for number, length in enumerate(LENGTHS):
        path = sources / f"source-{number}"
        with open(path, "wb") as file:
            if number != LONG:
                file.write(bytes((at // 7 + number) % 256 for at in range(length)))
            file.truncate(length)
        (sources / f"absolute-{number}").symlink_to(path)
        (sources / f"relative-{number}").symlink_to(f"source-{number}")
        (sources / f"above-{number}").symlink_to(f"../sources/source-{number}")
    (sources / "dangling").symlink_to("nothing")
    (sources / "directory").mkdir()
    with open(sources / "huge", "wb") as file:
        file.truncate(HUGE)


def edit(path, by):
    """Writes another first byte into a file, through links."""
    try:
        with open(path, "r+b") as file:
            first = file.read(1)
            if first:
                file.seek(0)
                file.write(bytes([(first[0] + by) % 256]))
    except OSError:
        # Nothing is there, or a directory: on the other side too, or the pictures differ.
        pass


def replace(path, by):
    """Puts another file of the same length in the place of a source."""
    length = path.stat().st_size
    new = path.with_name("new")
    with open(new, "wb") as file:
        file.truncate(length)
        if length:
            file.seek(length - 1)
            file.write(bytes([by % 255 + 1]))
    os.rename(new, path)


def cut(path, length):
    try:
        os.truncate(path, length)
    except OSError:
        pass


class Pictures:
    """Pictures of a side's files. What a file holds is read again only after it has changed."""

    def __init__(self, side):
        self.side, self.read = side, {}

    def roots(self, hosts):
        yield "sources", self.side.dir / "sources"
        yield "outputs", self.side.dir / "outputs"
        for host in range(hosts):
            yield f"host-{host}", self.side.content(host)

    def take(self, hosts):
        """Each name with what it leads to, and the first name of its inode."""
        names = []
        for label, root in self.roots(hosts):
            for directory, directories, files in os.walk(root):
                for name in files + directories:
                    if name.endswith(".json"):
                        # Records of the fake.
                        continue
                    path = os.path.join(directory, name)
                    names.append((os.path.join(label, os.path.relpath(path, root)), path))
        picture, inodes = {}, {}
        for name, path in sorted(names):
            found = os.lstat(path)
            if stat.S_ISDIR(found.st_mode):
                # Empty ones of tasks that are gone are no content.
                if not name.startswith("host-"):
                    picture[name] = "directory"
                continue
            # The first name of an inode stands for it.
            inode = inodes.setdefault(found.st_ino, name)
            if stat.S_ISLNK(found.st_mode):
                picture[name] = ("link", self.side.normal(os.readlink(path)), inode)
            else:
                picture[name] = ("file", found.st_size, self.held(path, found), inode)
        return picture

    def held(self, path, found):
        if found.st_size == HUGE:
            return "holes"
        state = (found.st_size, found.st_mtime_ns, found.st_ctime_ns)
        key = (found.st_dev, found.st_ino)
        before = self.read.get(key)
        if not before or before[0] != state:
            self.read[key] = before = (state, checksum(path))
        return before[1]


def checksum(path):
    crc = 0
    with open(path, "rb") as file:
        while part := file.read(1 << 20):
            crc = zlib.crc32(part, crc)
    return crc
