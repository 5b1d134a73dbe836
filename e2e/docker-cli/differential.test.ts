// The same docker commands against this engine and a real dockerd (TSD_PEER_DOCKER_HOST names its socket): equal output, once
// what differs by nature (ids, times, addresses) is taken out.
import { existsSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { run } from "../harness/command.ts";
import { hasDocker, TestDaemon } from "../harness/daemon.ts";

const peer = process.env.TSD_PEER_DOCKER_HOST ?? "";
const hasPeer = hasDocker && existsSync(peer.replace("unix://", ""));

let daemon: TestDaemon;
beforeAll(async () => {
  if (!hasPeer) return;
  daemon = await TestDaemon.start("differential");
  await daemon.importBusybox();
});
afterAll(async () => {
  if (hasPeer) await daemon.stop();
});

/** Shell scripts; $C is a container name of their own. What each prints, and its exit statuses, are compared. */
const scenarios: Readonly<Record<string, string>> = {
  "run: output, status, errors": `
    docker run --rm busybox echo hello; s
    docker run --rm busybox sh -c 'echo err >&2; exit 7'; s
    docker run --rm busybox /nosuch; s
    docker run --rm busybox nosuch; s
    docker run --rm busybox /etc; s
    docker run --rm nosuchimage:nope true 2>&1 | head -c 30; s
    docker run --rm --name 'b@d' busybox true; s`,
  "create, start, ps, rename, rm": `
    docker create --name $C -l a=b busybox sleep 1000 >/dev/null; s
    docker ps -a --filter name=$C --format '{{.Names}} {{.Image}} {{.Command}} {{.Status}} {{.State}} {{.Ports}} {{.Labels}} {{.LocalVolumes}} {{.Networks}} {{.Mounts}} {{.Size}}'
    docker start $C; s
    docker ps --filter label=a=b --filter name=$C --format '{{.State}} {{.Status}}'
    docker rename $C $C-new; s
    docker rename $C-new $C-new; s
    docker rename nosuch x; s
    docker rm $C-new; s
    docker rm -f $C-new; s
    docker rm $C-new; s
    docker ps -a --filter status=nope; s
    docker ps -a --filter nope=1; s`,
  "stop, kill, restart, wait": `
    docker run -d --name $C --stop-timeout 1 busybox sh -c 'trap "exit 9" TERM; while :; do sleep 0.1; done' >/dev/null; s
    sleep 0.3; docker stop $C; s; docker wait $C; docker inspect -f '{{.State.Status}} {{.State.ExitCode}} {{.State.Error}} {{.State.OOMKilled}}' $C
    docker stop $C; s
    docker start $C; docker kill -s KILL $C; s; docker wait $C; docker kill $C; s
    docker kill -s NOPE $C; s
    docker restart -t 0 $C; s; docker inspect -f '{{.State.Running}} {{.RestartCount}}' $C
    docker wait nosuch; s; docker stop nosuch; s; docker start nosuch; s`,
  "pause and what can't be done meanwhile": `
    docker run -d --name $C busybox sleep 1000 >/dev/null
    docker pause $C; s; docker pause $C; s
    docker ps --filter name=$C --format '{{.State}}'; docker ps --filter status=paused --filter name=$C --format '{{.Names}}'
    docker exec $C true; s; docker start $C; s; docker rm $C; s
    docker attach $C; s
    docker unpause $C; s; docker unpause $C; s
    docker pause $C; docker stop -t 0 $C; s; docker inspect -f '{{.State.Status}} {{.State.Paused}}' $C
    docker pause $C; s; docker pause nosuch; s`,
  exec: `
    docker run -d --name $C -e A=1 -w /tmp --user nobody busybox sleep 1000 >/dev/null
    docker exec $C sh -c 'id -un; pwd; echo $A $B'; s
    docker exec -e B=2 -w / -u root $C sh -c 'id -un; pwd; echo $A $B'; s
    docker exec $C sh -c 'exit 42'; s; docker exec $C nosuch; s; docker exec -d $C true; s
    echo piped | docker exec -i $C cat; s
    docker exec -u nosuch $C true; s; docker exec -w /nosuch $C true; s
    docker exec nosuch true; s; docker stop -t 0 $C >/dev/null; docker exec $C true; s`,
  logs: `
    docker run --name $C busybox sh -c 'for i in 1 2 3 4 5; do echo out $i; done; sleep 0.1; echo err >&2; sleep 0.1; printf unfinished' >/dev/null 2>&1; s
    docker logs $C 2>/dev/null; s; docker logs $C 2>&1 >/dev/null; docker logs --tail 2 $C 2>/dev/null; docker logs --tail 0 $C; docker logs --since 1h $C 2>&1 | tail -1; echo; docker logs --until 1h $C
    docker logs -f $C 2>/dev/null | head -2; docker logs -t $C 2>&1 | head -1 | cut -c1-5
    docker logs nosuch; s; docker logs --since nonsense $C; s
    docker run --name $C-none --log-driver none busybox echo x; docker logs $C-none; s; docker rm $C-none >/dev/null
    docker run --log-driver nope busybox true; s; docker run --log-opt nope=1 busybox true; s`,
  "diff, cp, export, commit": `
    docker run --name $C busybox sh -c 'echo a > /new; mkdir /d; echo b > /d/f; rm /bin/vi; ln -s /new /link'; s
    docker diff $C | sort; s; docker diff nosuch; s
    docker cp $C:/d - | tar -tv | awk '{print $1, $2, $6}'; docker cp $C:/link - | tar -t; docker cp -L $C:/link - | tar -t; docker cp $C:/d/. - | tar -t
    docker cp $C:/nope - ; s
    echo in > /tmp/$C.in; docker cp /tmp/$C.in $C:/d/copied; s; docker cp $C:/d/copied - | tar -xO; docker cp /tmp/$C.in $C:/no/dir/; s; rm /tmp/$C.in
    docker export $C | tar -t | grep -E '^(new|d/|etc/hosts|bin/vi|link|.dockerenv)' | sort
    docker commit $C $C:image >/dev/null; s; docker run --rm $C:image cat /d/f; docker commit -c 'CMD cat /new' -c 'ENV X=y' -a me -m msg $C $C:image >/dev/null; s
    docker run --rm $C:image; docker inspect -f '{{.Author}} {{.Comment}} {{json .Config.Cmd}} {{index .Config.Env 0}}' $C:image; docker rmi -f $C:image >/dev/null`,
  top: `
    docker run -d --name $C busybox sleep 1000 >/dev/null
    docker top $C -o pid,user,args | sed 's/[0-9]\\{2,\\} /PID /'; s; docker top $C -o user | head -c 60; s`,
  "stats, and top of what does not run": `
    docker run -d --name $C busybox sleep 1000 >/dev/null
    docker stats --no-stream --format '{{.Name}} {{.PIDs}}' $C | sed "s/$C/C/"; docker stop -t 0 $C >/dev/null; docker top $C; s; docker top nosuch; s`,
  "update and inspect": `
    docker run -d --name $C -m 64m --cpu-shares 200 busybox sleep 1000 >/dev/null
    docker inspect -f '{{.HostConfig.Memory}} {{.HostConfig.MemorySwap}} {{.HostConfig.CpuShares}} {{.HostConfig.RestartPolicy.Name}}' $C
    docker update -m 128m --memory-swap 256m --cpu-shares 300 --pids-limit 77 --restart on-failure:4 $C; s
    docker inspect -f '{{.HostConfig.Memory}} {{.HostConfig.MemorySwap}} {{.HostConfig.CpuShares}} {{.HostConfig.PidsLimit}} {{.HostConfig.RestartPolicy.Name}} {{.HostConfig.RestartPolicy.MaximumRetryCount}}' $C
    docker update -m 1m $C; s; docker update -m 900m $C; s; docker update nosuch --cpus 1; s; docker update $C; s
    docker update --cpus 0.5 $C; s; docker inspect -f '{{.HostConfig.NanoCpus}}' $C`,
  "restart policies": `
    docker run -d --name $C --restart on-failure:2 busybox sh -c 'exit 3' >/dev/null; sleep 2
    docker inspect -f '{{.State.Status}} {{.State.ExitCode}} {{.RestartCount}} {{.State.Restarting}}' $C
    docker run -d --name $C-b --restart always busybox true >/dev/null; sleep 1.2; docker stop $C-b; s; docker inspect -f '{{.State.Status}} {{.State.Restarting}}' $C-b; docker rm -f $C-b
    docker run --rm --restart always busybox true; s; docker run --restart nope busybox true; s`,
  healthchecks: `
    docker run -d --name $C --health-cmd 'test -e /ok' --health-interval 300ms --health-retries 2 busybox sleep 1000 >/dev/null
    docker inspect -f '{{.State.Health.Status}}' $C; sleep 1.5; docker inspect -f '{{.State.Health.Status}}' $C
    docker ps --filter name=$C --filter health=unhealthy --format '{{.State}}'; docker exec $C touch /ok; sleep 1
    docker inspect -f '{{.State.Health.Status}} {{.State.Health.FailingStreak}} {{(index .State.Health.Log 0).ExitCode}} {{json .Config.Healthcheck}}' $C
    docker run --health-interval 1us --health-cmd true busybox true; s; docker run --health-retries=-1 --health-cmd true busybox true; s; docker run --no-healthcheck --health-cmd true busybox true; s`,
  events: `
    S=$(date +%s.%N); docker run --name $C -v $C:/v busybox true; docker rename $C $C-x; docker rm $C-x >/dev/null; docker volume rm $C >/dev/null 2>&1
    docker events --since $S --until $(date +%s.%N) --filter type=container --format '{{.Type}} {{.Action}} {{.Actor.Attributes.image}} {{.Actor.Attributes.exitCode}}'`,
  "networks: made, listed, looked at, refused": `
    docker network create --subnet 10.167.0.0/24 -l a=$C --opt com.docker.network.driver.mtu=1400 $C >/dev/null; s
    docker network inspect $C --format '{{.Name}} {{.Driver}} {{.Scope}} {{.Internal}} {{.Attachable}} {{.Ingress}} {{.EnableIPv6}} {{json .IPAM.Config}} {{.IPAM.Driver}} {{json .Options}} {{json .Labels}} {{json .Containers}}'
    docker network ls --filter label=a=$C --format '{{.Name}} {{.Driver}} {{.Scope}} {{.IPv6}} {{.Internal}} {{.Labels}}'
    docker network ls --filter name=$C -q | wc -c; docker network ls --filter driver=nope -q; docker network ls --filter type=builtin --format '{{.Name}}' | sort; docker network ls --filter type=nope; s; docker network ls --filter nope=1; s
    docker network create $C; s; docker network create bridge; s; docker network create -d nope $C-x; s; docker network create -d host $C-x; s
    docker network create --subnet 10.167.0.0/25 $C-x; s; docker network create --subnet 10.168.0.5/24 $C-x; s; docker network create --subnet bad $C-x; s
    docker network create --subnet 10.168.0.0/24 --gateway 10.99.0.1 $C-x; s; docker network create --subnet 10.168.0.0/24 --ip-range 10.99.0.0/25 $C-x; s
    docker network create -o com.docker.network.bridge.enable_icc=perhaps $C-x; s; docker network create -o com.docker.network.driver.mtu=x $C-x; s
    docker network rm bridge; s; docker network rm $C-nope; s; docker network inspect $C-nope; s
    docker network rm $C; s; docker network prune -f --filter label=a=$C; s; docker network prune -f --filter nope=1; s; docker network rm $C-x >/dev/null 2>&1`,
  "networks: endpoints": `
    docker network create --subnet 10.167.0.0/24 $C >/dev/null; docker network create --subnet 10.168.0.0/24 $C-2 >/dev/null
    docker run -d --name $C --network $C --network-alias web --ip 10.167.0.9 --hostname hh -p 18999:80 -p 127.0.0.1:18997-18998:90-91/udp --expose 70 busybox sleep 1000 >/dev/null; s
    docker inspect $C --format '{{range $n, $e := .NetworkSettings.Networks}}{{$n}} {{json $e.IPAMConfig}} {{json $e.Links}} {{json $e.Aliases}} {{$e.MacAddress}} {{json $e.DriverOpts}} {{$e.Gateway}} {{$e.IPAddress}} {{$e.IPPrefixLen}} {{$e.IPv6Gateway}} {{$e.GlobalIPv6Address}} {{$e.GlobalIPv6PrefixLen}} {{json $e.DNSNames}}{{end}}'
    docker inspect $C --format '{{.NetworkSettings.IPAddress}}|{{.NetworkSettings.Gateway}}|{{.NetworkSettings.MacAddress}}|{{.NetworkSettings.Bridge}}|{{.HostConfig.NetworkMode}}|{{json .HostConfig.PortBindings}}|{{json .Config.ExposedPorts}}'
    docker port $C 90/udp; s; docker port $C 99; s; docker exec $C sh -c 'ip -o -4 addr show eth0 | sed "s/.*inet //; s/ scope.*//"; ip route; tail -1 /etc/hosts; grep -v "^#" /etc/resolv.conf | grep nameserver'
    docker network connect --alias two $C-2 $C; s; docker network connect $C-2 $C; s; docker exec $C ip route
    docker inspect $C --format '{{range $n, $e := .NetworkSettings.Networks}}{{$n}} {{$e.IPAddress}} {{json $e.Aliases}};{{end}}'
    docker network inspect $C --format '{{range .Containers}}{{.Name}} {{.MacAddress}} {{.IPv4Address}} {{.IPv6Address}}{{end}}'
    docker network rm $C; s; docker network disconnect $C-2 $C; s; docker network disconnect $C-2 $C; s; docker exec $C ip route
    docker network connect host $C; s; docker network connect none $C; s; docker network connect --alias x bridge $C; s; docker network connect $C-nope $C; s; docker network connect $C $C-nope; s
    docker run --rm --network $C --ip 10.167.0.9 busybox true; s; docker run --rm --network $C --ip 10.99.0.1 busybox true 2>&1 | head -1; docker run --rm -p 18999:80 busybox true 2>&1 | sed 's/endpoint [^:]*:/endpoint E:/; s/Bind for.*8999/Bind for X/'; docker run --rm --network nope busybox true; s
    docker run --rm --network container:$C --hostname x busybox true; s; docker run --rm --network container:$C -p 1:1 busybox true; s; docker run --rm --network container:$C busybox ip route; docker run --rm --ip 10.0.0.1 busybox true; s
    docker stop -t 0 $C >/dev/null; docker inspect $C --format '{{json .NetworkSettings.Ports}} {{range $n, $e := .NetworkSettings.Networks}}{{$n}} {{$e.IPAddress}}{{$e.Gateway}}{{$e.MacAddress}} {{json $e.Aliases}}{{end}}'
    docker network rm $C; s; docker rm -f $C >/dev/null; docker network rm $C $C-2; s`,
  "networks: names": `
    docker network create $C >/dev/null; docker run -d --name $C --network $C --network-alias web --dns 127.0.0.1 busybox sleep 1000 >/dev/null
    docker run --rm --network $C --dns 127.0.0.1 busybox sh -c "ping -c1 -W1 $C >/dev/null; echo $?; ping -c1 -W1 web >/dev/null; echo $?; ping -c1 -W1 WEB >/dev/null; echo $?; ping -c1 -W1 web.$C >/dev/null; echo $?; ping -c1 -W1 nobody"; s
    docker run --rm --network $C --link $C:store --dns 127.0.0.1 busybox ping -c1 -W1 store >/dev/null; s
    docker run -d --name $C-b -e SECRET=1 --expose 5432 busybox sleep 1000 >/dev/null; docker run --rm --name $C-x --link $C-b:the-db busybox sh -c 'ping -c1 -W1 the-db >/dev/null; echo $?; env | grep -i the_db | sed "s/[0-9]*[.][0-9.]*[.][0-9]*/IP/" | sort'; s
    docker run --rm --link $C-nope:x busybox true; s; docker run --rm --network host --link $C-b:x busybox true; s
    docker rm -f $C $C-b >/dev/null; docker network rm $C; s`,
  "volumes: create, ls, inspect, rm": `
    docker volume create --label a=$C $C; s; docker volume create --label other=1 -o type=tmpfs -o device=tmpfs $C; s
    docker volume inspect $C --format '{{.Name}} {{.Driver}} {{json .Labels}} {{json .Options}} {{.Scope}}'; docker volume create -o type=tmpfs -o device=tmpfs -o o=size=1m $C-x; docker volume inspect $C-x --format '{{json .Labels}} {{json .Options}}'
    docker volume ls --filter name=$C; docker volume ls -q --filter label=a=$C; docker volume ls --filter name=$C --format '{{.Name}} {{.Driver}} {{.Labels}} {{.Scope}}'; docker volume ls -q --filter name=$C --filter dangling=true; docker volume ls -q --filter dangling=maybe; s; docker volume ls --filter nope=1; s; docker volume ls -q --filter driver=foo; docker volume ls -q --filter name='^diff.*-x$'
    docker volume create x; s; docker volume create a/b; s; docker volume create -d foo $C-y; s; docker volume create -o foo=1 $C-y; s; docker volume create -o device=/x $C-y; s; docker volume create -o type=none $C-y; s; docker volume create -o size=x $C-y; s
    docker volume rm $C $C-x; s; docker volume rm $C; s; docker volume rm -f $C; s; docker volume inspect $C; s; docker volume prune -f --filter until=1h; s; docker volume prune -f --filter all=maybe; s; docker volume prune -f --filter label=nope=$C; s`,
  "volumes: in containers": `
    docker run --rm -v $C:/v busybox sh -c 'mkdir /v/d; echo hi >/v/d/f; ln -s /etc /v/esc; ln -s d /v/in'; s
    docker run --rm -v $C:/v:ro busybox sh -c 'exec 2>&1; cat /v/d/f; touch /v/x'; s
    docker create --name $C -v $C:/a -v $C:/b:ro -v /anon -v /tmp:/t --mount type=volume,src=$C,dst=/c --mount type=tmpfs,dst=/tm,tmpfs-size=1m --mount type=volume,dst=/d --tmpfs /tt --mount type=bind,src=/tmp,dst=/t2,ro --mount type=volume,src=$C,dst=/sub,volume-subpath=d busybox sh -c 'exec 2>&1; ls /a /sub; grep -c " /tm " /proc/mounts; touch /b/x' >/dev/null; s
    docker inspect $C --format '{{range .Mounts}}{{.Type}} {{.Destination}} {{.Mode}} {{.RW}} {{.Propagation}} {{.Driver}};{{println}}{{end}}' | sort
    docker start -a $C; s; docker volume rm $C; s
    docker rm -v $C >/dev/null; docker create --name $C -v $C:/a -v $C:/b:ro -v /anon -v /tmp:/t --mount type=volume,src=$C,dst=/sub,volume-subpath=d busybox true >/dev/null; docker create --name $C-new --volumes-from $C:ro -v /tmp:/b busybox sh -c 'exec 2>&1; ls /a; touch /a/x; touch /anon/x; ls /sub' >/dev/null; s
    docker inspect $C-new --format '{{json .HostConfig.VolumesFrom}}{{println}}{{range .Mounts}}{{.Type}} {{.Destination}} "{{.Mode}}" {{.RW}} {{.Propagation}} {{.Driver}};{{println}}{{end}}' | sort; docker start -a $C-new; s
    A=$(docker inspect $C --format '{{range .Mounts}}{{if eq .Destination "/anon"}}{{.Name}}{{end}}{{end}}'); docker rm -v $C-new >/dev/null; docker volume ls -q --filter name=$A | wc -l; docker rm -v $C >/dev/null; docker volume ls -q --filter name=$A | wc -l; docker run -d --rm --name $C -v /anon busybox sleep 1000 >/dev/null; A=$(docker inspect $C --format '{{range .Mounts}}{{.Name}}{{end}}'); docker volume inspect $A --format '{{json .Labels}}'; docker stop -t 0 $C >/dev/null; sleep 0.5; docker volume ls -q --filter name=$A | wc -l
    docker run --rm --volumes-from $C-nope busybox true; s; docker run --rm --volumes-from $C:foo busybox true; s
    docker run --rm --mount type=volume,src=$C,dst=/x,volume-subpath=d busybox ls /x; s; docker run --rm --mount type=volume,src=$C,dst=/x,volume-subpath=d/f busybox cat /x; s; docker run --rm --mount type=volume,src=$C,dst=/x,volume-subpath=in busybox ls /x; s
    docker run --rm --mount type=volume,src=$C,dst=/x,volume-subpath=nope busybox ls /x 2>&1 | sed 's#/[^ :]*/volumes/#VOLUMES/#g'; docker run --rm --mount type=volume,src=$C,dst=/x,volume-subpath=esc busybox ls /x 2>&1 | sed 's#/[^ :]*/volumes/#VOLUMES/#g'; docker run --rm --mount type=volume,src=$C,dst=/x,volume-subpath=../x busybox ls /x; s
    docker run --rm --mount type=volume,dst=/x,ro busybox true; s; docker run --rm -v $C:/x --tmpfs /x busybox true; s
    docker volume rm $C; s`,
  "volumes: copy-up": `
    docker run --rm -v $C:/bin busybox sh -c 'ls /bin | wc -l; stat -c "%a %u %g" /bin'; docker run --rm -v $C:/x busybox sh -c 'ls /x | wc -l'; s
    docker run --rm -v $C:/etc busybox sh -c 'ls /etc | wc -l' >/dev/null; docker run --rm --mount type=volume,src=$C-x,dst=/bin,volume-nocopy busybox ls; s; docker run --rm -v $C-x:/x busybox sh -c 'ls /x | wc -l'
    docker run --rm -v $C-y:/etc/passwd busybox true 2>&1 | sed 's/source [^ ]*etc/source etc/'; docker run --rm -v $C-z:/nope busybox stat -c '%a %u' /nope
    docker run --rm -v $C-w:/root busybox stat -c '%a %u' /root; docker volume rm -f $C $C-w $C-x $C-y $C-z; s`,
  "volumes: options": `
    docker volume create -o type=tmpfs -o device=tmpfs -o o=size=1m,mode=1700,uid=5 $C; docker run --rm -v $C:/t busybox sh -c 'grep " /t " /proc/mounts; stat -c "%a %u" /t; touch /t/x 2>&1'; docker run --rm -v $C:/t busybox ls /t; s
    docker run -d --name $C -v $C:/t busybox sh -c 'touch /t/x; sleep 1000' >/dev/null; sleep 0.3; docker run --rm -v $C:/q busybox ls /q; docker volume rm $C; s; docker rm -f $C >/dev/null; docker run --rm -v $C:/q busybox ls /q
    docker volume create -o type=none -o device=/tmp -o o=bind,ro $C-x; docker run --rm -v $C-x:/t busybox sh -c 'touch /t/x'; s
    docker volume create -o type=none -o device=/nonexistent-$C -o o=bind $C-y; docker run --rm -v $C-y:/t busybox true 2>&1 | sed 's#/[^ :]*/volumes/#VOLUMES/#g'; docker volume create -o type=nope -o device=/tmp -o o=foo=1,nosuid $C-z; docker run --rm -v $C-z:/t busybox true 2>&1 | sed 's#/[^ :]*/volumes/#VOLUMES/#g'
    docker run --rm --mount type=volume,src=$C-m,dst=/t,volume-driver=local,volume-opt=type=tmpfs,volume-opt=device=tmpfs,volume-opt=o=size=2m busybox grep -o 'size=2048k' /proc/mounts; docker volume inspect $C-m --format '{{json .Options}}'
    docker volume rm $C $C-x $C-y $C-z $C-m; s`,
  prune: `
    docker create --name $C -l prune=$C busybox >/dev/null; docker container prune -f --filter label=prune=$C | wc -l; docker inspect $C; s
    docker container prune -f --filter nope=1; s`,
};

function normalise(text: string, name: string): string {
  return (
    text
      .replaceAll(name, "C")
      .replace(/\b[0-9a-f]{64}\b/g, "ID64")
      .replace(",idmapped,", ",") // the default of one's own user namespace
      .replace(/\b[0-9a-f]{12}\b/g, "ID12")
      .replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, "TIME")
      .replace(/Up (\d+|Less than a|About a) \w+/g, "Up SOMETIME")
      .replace(/(runc|tsd) create failed/g, "RUNTIME create failed")
      // In a user namespace of their own, which the peer's containers have not.
      .replace(/,idmapped\b/g, "")
      .replace(/^(Successfully copied).*$/gm, "$1")
      // What docker's own goroutines say when it leaves early.
      .replace(/^time=.*closed pipe"\n/gm, "")
      // What binds are mounted with where containers have a user namespace of their own.
      .replace(/,idmapped\b/g, "")
      .replace(/[ \t]+$/gm, "")
  );
}

describe.skipIf(!hasPeer)("docker against both", () => {
  it.for(Object.entries(scenarios))("%s", { timeout: 120_000 }, async ([title, script], context) => {
    const name = `diff-${title.replace(/\W+/g, "").slice(0, 12).toLowerCase()}`;
    const whole = `s() { echo "status $?"; }; C=${name}; exec 2>&1; ${script.trim().replace(/\n\s*/g, "\n")}\ndocker rm -f $C $C-new $C-x $C-b >/dev/null 2>&1 || true`;
    const of = async (host: string): Promise<string[]> => {
      const { stdout } = await run("sh", ["-c", whole], { env: { DOCKER_HOST: host }, timeout: 100_000 });
      return normalise(stdout, name).split("\n");
    };
    const [ours, theirs] = [await of(daemon.host), await of(peer)];
    if (theirs.some((line) => line.includes('exec: "ps": executable file not found')))
      return context.skip("the peer has no ps");
    expect(ours).toEqual(theirs);
  });
});
