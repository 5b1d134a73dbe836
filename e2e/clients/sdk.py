"""What a script with Docker's SDK for Python does all day. Prints what it saw as JSON. Usage: sdk.py DIRECTORY (DOCKER_HOST)."""
import io
import json
import os
import sys
import tarfile
import threading

import docker
from docker.errors import ContainerError, ImageNotFound, NotFound
from docker.types import LogConfig, Mount, Ulimit

directory = sys.argv[1]
client = docker.from_env()
seen = {"ping": client.ping(), "version": client.version()["ApiVersion"] != "", "info": client.info()["OSType"]}

# Containers.run in its kinds.
seen["run"] = client.containers.run("busybox", ["echo", "out"]).decode()
seen["both"] = client.containers.run("busybox", "sh -c 'echo out; echo err >&2'", stderr=True, remove=True).decode()
try:
    client.containers.run("busybox", "sh -c 'echo no >&2; exit 3'", remove=True)
except ContainerError as error:
    seen["failed"] = [error.exit_status, error.stderr.decode()]
try:
    client.images.get("nothing-of-this-name:1")
except ImageNotFound as error:
    seen["missing"] = error.response.status_code
seen["lines"] = [line.decode() for line in client.containers.run("busybox", "seq 3", stream=True, remove=True)]

# One with everything.
box = client.containers.run(
    "busybox",
    "sleep 1000",
    name="py-box",
    detach=True,
    init=True,
    environment={"A": "1"},
    labels={"of": "python"},
    mem_limit="64m",
    nano_cpus=500_000_000,
    pids_limit=50,
    ulimits=[Ulimit(name="nofile", soft=100, hard=200)],
    mounts=[Mount("/data", "py-data"), Mount("/scratch", "", type="tmpfs", tmpfs_size=1 << 20)],
    volumes={directory: {"bind": "/host", "mode": "ro"}},
    log_config=LogConfig(type="json-file", config={"max-size": "1m"}),
    working_dir="/tmp",
    hostname="py",
    ports={"80/tcp": ("127.0.0.1", None)},
    restart_policy={"Name": "on-failure", "MaximumRetryCount": 2},
    healthcheck={"test": ["CMD", "true"], "interval": 1_000_000_000},
)
box.reload()
attributes = box.attrs
seen["status"] = box.status
seen["limits"] = [attributes["HostConfig"][key] for key in ("Memory", "NanoCpus", "PidsLimit")]
seen["port"] = attributes["NetworkSettings"]["Ports"]["80/tcp"][0]["HostIp"]
seen["exec"] = list(box.exec_run("sh -c 'echo $A; hostname; pwd; ulimit -n; cat /host/note'", demux=False))[0:2]
seen["exec"][1] = seen["exec"][1].decode()
code, (out, err) = box.exec_run("sh -c 'echo o; echo e >&2; exit 4'", demux=True)
seen["demultiplexed"] = [code, out.decode(), err.decode()]
exec_id = client.api.exec_create("py-box", "cat", stdin=True)["Id"]
connection = client.api.exec_start(exec_id, socket=True)
raw = getattr(connection, "_sock", connection)
raw.sendall(b"typed\n")
header = raw.recv(8)
seen["typed"] = raw.recv(header[7]).decode()
raw.close()

# Files in and out.
archive = io.BytesIO()
with tarfile.open(fileobj=archive, mode="w") as tar:
    entry = tarfile.TarInfo("put")
    entry.size = 3
    tar.addfile(entry, io.BytesIO(b"put"))
seen["put"] = box.put_archive("/data", archive.getvalue())
chunks, facts = box.get_archive("/data/put")
with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as tar:
    seen["got"] = [facts["name"], facts["size"], tar.extractfile("put").read().decode()]
seen["diff"] = sorted(change["Path"] for change in client.containers.get("py-box").diff() or [])

# Life.
stats = box.stats(stream=False)
seen["stats"] = stats["memory_stats"]["limit"]
seen["top"] = any(row[-1] == "sleep 1000" for row in box.top()["Processes"])
box.pause()
box.reload()
seen["paused"] = box.status
box.unpause()
box.update(mem_limit="32m", memswap_limit="64m")
box.reload()
seen["updated"] = box.attrs["HostConfig"]["Memory"]
box.rename("py-other")
seen["listed"] = [one.name for one in client.containers.list(filters={"label": "of=python"})]
box.restart(timeout=0)
box.kill()
seen["waited"] = box.wait()["StatusCode"]
seen["committed"] = box.commit("py-image", "1").tags
box.remove(v=True)
try:
    client.containers.get("py-other")
except NotFound as error:
    seen["gone"] = error.response.status_code

# Logs with time and tail; followed until the end.
talker = client.containers.run("busybox", "sh -c 'echo a; sleep 0.3; echo b'", detach=True)
seen["followed"] = b"".join(talker.logs(stream=True, follow=True)).decode()
seen["tail"] = talker.logs(tail=1).decode()
seen["stamped"] = len(talker.logs(timestamps=True).decode().split("\n")[0].split(" ")[0])
talker.remove()

# Images.
image, lines = client.images.build(fileobj=io.BytesIO(b"FROM busybox\nLABEL by=python\nRUN echo built > /built\nCMD cat /built\n"), tag="py-built:1", rm=True)
seen["built"] = [image.labels, client.containers.run("py-built:1", remove=True).decode(), any("Successfully" in line.get("stream", "") for line in lines)]
image.tag("py-again", "2")
seen["tags"] = sorted(client.images.get("py-built:1").tags)
saved = b"".join(image.save(named=True))
client.images.remove("py-again:2")
client.images.remove("py-built:1")
seen["loaded"] = client.images.load(saved)[0].tags
seen["history"] = len(client.images.get("py-built:1").history()) >= 3

# Networks, volumes, events.
network = client.networks.create("py-net", driver="bridge", labels={"of": "python"})
first = client.containers.run("busybox", "sleep 1000", name="py-first", network="py-net", detach=True)
seen["name"] = client.containers.run("busybox", "ping -c 1 -q py-first", network="py-net", remove=True).decode().split("\n")[0].split(" ")[1]
second = client.containers.create("busybox", "sleep 1000")
network.connect(second, aliases=["second"])
network.reload()
network.disconnect(second)
first.remove(force=True)
second.remove()
network.remove()
volume = client.volumes.create("py-volume", labels={"of": "python"})
seen["volumes"] = [one.name for one in client.volumes.list(filters={"label": "of=python"})]
volume.remove()
events = client.events(decode=True, filters={"type": "container"})
told = []
listener = threading.Thread(target=lambda: told.extend(next(events)["Action"] for _ in range(4)))
listener.start()
client.containers.run("busybox", "true", remove=True)
listener.join(20)
events.close()
seen["events"] = told[:2]
seen["pruned"] = sorted(client.containers.prune())
client.volumes.get("py-data").remove(force=True)
print(json.dumps(seen))
