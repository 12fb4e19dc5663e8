"""Small programs that run on the machine before anything of mlship is there. Python 3.9, stdlib only."""

RECEIVE = """
import fcntl, os, sys, threading
target, size = sys.argv[1], int(sys.argv[2])
os.umask(0o077)
def folder(path):
    if not os.path.isdir(path):
        folder(os.path.dirname(path))
        try:
            os.mkdir(path)
        except FileExistsError:
            pass
        sync(os.path.dirname(path))
def sync(path):
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)
def widen():
    try:
        fcntl.fcntl(0, 1031, 1 << 20)
    except OSError:
        pass
failed = []
def write_back():
    try:
        os.fdatasync(file)
    except OSError as error:
        failed.append(error)
def take(have):
    room, written, writer = memoryview(bytearray(1 << 20)), have, None
    while have < size:
        count = os.readv(0, [room[:min(size - have, len(room))]])
        if not count:
            sys.exit("the transfer was cut; what came stays")
        data = room[:count]
        while data:
            data = data[os.write(file, data):]
        have += count
        if have - written > 32 << 20 and not (writer and writer.is_alive()):
            written, writer = have, threading.Thread(target=write_back)
            writer.start()
    if writer:
        writer.join()
try:
    folder(os.path.dirname(target))
    part = target + ".part"
    file = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    have = os.lseek(file, 0, os.SEEK_END)
    if have > size:
        os.ftruncate(file, 0)
        have = os.lseek(file, 0, os.SEEK_SET)
    space = os.statvfs(part)
    if space.f_bavail * space.f_frsize < size - have:
        sys.exit("No space left: %d bytes are needed" % (size - have))
    widen()
    os.write(1, b"%d\\n" % have)
    take(have)
    try:
        if failed:
            raise failed[0]
        os.fsync(file)
    except OSError:
        os.unlink(part)
        raise
    os.close(file)
    os.rename(part, target)
    sync(os.path.dirname(target))
except OSError as error:
    sys.exit("%s: %s" % (error.strerror, error.filename or target))
"""
"""`-c RECEIVE TARGET SIZE`: says how many bytes are here already, then takes the rest from standard input.

The file is whole and on the disk when it has its name; a part that a cut has left lies beside it. The pipe
from sshd is made wider (F_SETPIPE_SZ, which Python names from 3.10 on), for 64 KiB are two packets; the disk
writes while more comes, and an error that it tells then is not told again by the last fsync."""

RELAY = """
import os, socket, sys, threading
kind, _, where = sys.argv[1].partition(":")
try:
    if kind == "unix":
        stream = socket.socket(socket.AF_UNIX)
        stream.settimeout(float(sys.argv[2]))
        stream.connect(where)
    else:
        host, _, port = where.rpartition(":")
        stream = socket.create_connection((host, int(port)), timeout=float(sys.argv[2]))
    stream.settimeout(None)
except OSError as error:
    sys.exit(error.strerror or str(error))
os.write(1, b"connected\\n")
def upwards():
    try:
        while True:
            data = os.read(0, 1 << 18)
            if not data:
                break
            stream.sendall(data)
        stream.shutdown(socket.SHUT_WR)
    except OSError:
        pass
threading.Thread(target=upwards, daemon=True).start()
try:
    while True:
        data = stream.recv(1 << 18)
        if not data:
            break
        while data:
            data = data[os.write(1, data):]
except OSError:
    pass
os._exit(0)
"""
"""`-c RELAY ADDRESS SECONDS`: says "connected", then carries bytes between its own streams and `ADDRESS`."""
