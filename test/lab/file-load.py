"""file-load.py FOLDER SEED OPERATIONS SUMS: makes FOLDER, does random things to files and folders in it, and writes what every file must
hold now to SUMS, as sha256sum does. What it did is known from the seed alone."""

import hashlib
import os
import random
import sys

folder, seed, operations, sums = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
draw = random.Random(seed)
os.makedirs(folder)
# Names of one file, by links, share one bytearray.
files = {}
folders = [folder]
made = 0


def new_name():
    global made
    made += 1
    return os.path.join(draw.choice(folders), f"n{made}")


def write(path, at, data, flags=0):
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | flags, 0o644)
    os.pwrite(handle, data, at)
    if draw.random() < 0.2:
        os.fsync(handle)
    os.close(handle)


def create():
    path, data = new_name(), draw.randbytes(draw.choice([0, 1, 511, 4096, 70_000, 300_000]))
    write(path, 0, data, draw.choice([0, os.O_DSYNC]))
    files[path] = bytearray(data)


def overwrite():
    path = draw.choice(list(files))
    content = files[path]
    at, data = draw.randrange(len(content) + 20_000), draw.randbytes(draw.randrange(1, 30_000))
    write(path, at, data)
    content.extend(bytes(max(0, at + len(data) - len(content))))
    content[at : at + len(data)] = data


def truncate():
    path = draw.choice(list(files))
    content, length = files[path], draw.randrange(200_000)
    os.truncate(path, length)
    del content[length:]
    content.extend(bytes(length - len(content)))


def rename():
    path, other = draw.choice(list(files)), draw.choice([new_name(), draw.choice(list(files))])
    if files.get(other) is files[path]:
        return
    os.rename(path, other)
    files[other] = files.pop(path)


def link():
    path, other = draw.choice(list(files)), new_name()
    os.link(path, other)
    files[other] = files[path]


def unlink():
    path = draw.choice(list(files))
    os.unlink(path)
    del files[path]


def make_folder():
    path = new_name()
    os.mkdir(path)
    folders.append(path)


create()
for _ in range(operations):
    [step] = draw.choices([create, overwrite, truncate, rename, link, unlink, make_folder], [5, 6, 2, 3, 2, 3, 1])
    if not files:
        create()
    step()
with open(sums, "w") as out:
    for path, content in sorted(files.items()):
        out.write(f"{hashlib.sha256(content).hexdigest()}  {path}\n")
